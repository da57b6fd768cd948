using System.Diagnostics;
using System.Runtime.CompilerServices;
using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Agent.Saved;
using Godwit.Core;
using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Moves;

/// <summary>
/// All moves this host has a part in: those under way, and those a former agent left in the journal. One move at a
/// time for one VM; the same order twice finds the first one's result.
/// </summary>
internal sealed class MoveDesk(
    MoveTools tools, Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, LinkTest linkTest, ArrivingMemory arriving)
{
    /// <summary>Settled moves kept in memory for questions; older ones are answered from the journal.</summary>
    private const int PartsMax = 4096;

    private readonly SemaphoreSlim opening = new(1, 1);
    private readonly Lock gate = new();
    private readonly Dictionary<MoveId, Part> parts = [];

    /// <summary>Moves that go on here.</summary>
    public int OpenCount
    {
        get { lock (gate) return parts.Values.Count(part => !MoveBoard.IsResting(part.Board.Status.Standing)); }
    }

    /// <summary>Reads the journal and settles what can be settled from this side. Once, before any order is taken.</summary>
    public async Task AdoptAsync()
    {
        var all = await tools.Journal.ReadAllAsync();
        var newest = all.GroupBy(r => r.Vm).ToDictionary(g => g.Key, g => g.Max(r => r.NewEpoch));
        foreach (var record in all.Where(r => !r.IsSettled || (r.NewEpoch == newest[r.Vm] && IsUnburied(r)))) await AdoptAsync(record);
    }

    /// <summary>
    /// The guest went, and the last agent died before it had ended the copy it left. Never one that came back since:
    /// incarnations begin at 1 again where a host had forgotten the VM, so a number alone says nothing.
    /// </summary>
    private bool IsUnburied(MoveRecord record) => record.Mark == MoveMark.Released
        && tools.Machines.Find(new VmId(record.Vm)) is { } vm && record.Role switch
        {
            MoveRole.Source => vm.Epoch.Value < record.NewEpoch || (vm.Epoch.Value == record.NewEpoch && !vm.Record.IsOwner
                && vm.Record.Instances.Any(i => i.Incarnation == record.Incarnation)),
            MoveRole.Refresh => MoveAdoption.HasOldCopy(vm, record),
            _ => false,
        };

    private async Task AdoptAsync(MoveRecord record)
    {
        var adoption = new MoveAdoption(tools);
        Add(new MoveId(record.Move), new VmId(record.Vm), record.Role switch
        {
            MoveRole.Target => new Part(await adoption.AdoptTargetAsync(record)),
            MoveRole.Refresh => Part.Of(await adoption.AdoptRefreshAsync(record)),
            _ => Part.Of(await adoption.AdoptSourceAsync(record)),
        });
    }

    /// <summary>Takes links from other agents and hands each to the move its ticket names. Runs until cancelled.</summary>
    public async Task AcceptLinksAsync(IPeerListener listener, CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try { _ = ReceiveAsync(await listener.AcceptAsync(stopping)); }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested) { return; }
            catch (IOException) { } // One peer that breaks its handshake concerns nobody else.
        }
    }

    public Task<IncomingReady> PrepareIncomingAsync(IncomingOrder order, string linkEndpoint, CancellationToken cancel) =>
        OpenAsync(order.Move, order.Spec.Id, part => part.Incoming?.Ready ?? throw AlreadyEnded(order.Move, part), async () =>
        {
            var incoming = new IncomingMove(order, tools, arriving);
            await incoming.PrepareAsync(linkEndpoint, listDevices, cancel);
            return new Part(incoming.Board) { Incoming = incoming, Trace = MoveTrace.Here, Began = tools.Time.GetUtcNow() };
        });

    public Task StartOutgoingAsync(OutgoingOrder order, CancellationToken cancel) =>
        OpenAsync(order.Move, order.Vm, _ => true, async () =>
        {
            var outgoing = new OutgoingMove(order, Owned(order.Vm, order.Epoch), tools);
            var began = tools.Time.GetUtcNow();
            try { await outgoing.BeginAsync(cancel); }
            catch (IOException) when (outgoing.Board.Status.Standing == MoveStanding.SourceKept)
            {
                _ = WriteDownLaterAsync(outgoing.Ending.Record with { Mark = MoveMark.Kept, Reason = outgoing.Board.Status.Reason });
                return Part.Of(outgoing.Ending);
            }
            if (MoveTrace.Here is { } here) _ = TellAsync("source", here, began, outgoing);
            return Part.Of(outgoing.Ending) with { Cancel = outgoing.CancelAsync };
        });

    public Task StartRefreshAsync(RefreshOrder order, CancellationToken cancel) =>
        OpenAsync(order.Move, order.Vm, _ => true, async () =>
        {
            var refresh = new RefreshMove(order, Owned(order.Vm, order.Epoch), tools);
            await refresh.BeginAsync(listDevices, cancel);
            return new Part(refresh.Board) { Cancel = _ => refresh.CancelAsync() };
        });

    public async IAsyncEnumerable<MoveStatus> WatchAsync(MoveId move, [EnumeratorCancellation] CancellationToken cancel)
    {
        if (Find(move) is not { } part)
        {
            yield return await QueryAsync(move);
            yield break;
        }
        await foreach (var status in part.Board.WatchAsync(cancel)) yield return status;
    }

    public async Task<MoveStatus> QueryAsync(MoveId move)
    {
        if (Find(move) is { } part) return part.Board.Status with
        {
            MemoryArriving = IsArriving(part.Vm, move) || part.Ending?.IsGiving == true, MemoryGivenBytes = part.Ending?.GivenBytes ?? 0,
        };
        var record = await tools.Journal.ReadAsync(move);
        if (record is { IsSettled: false }) return await SettleStrayAsync(move);
        return record is null
            ? new MoveStatus { Move = move, Standing = MoveStanding.Nothing }
            : new MoveStatus
            {
                Move = move, Standing = MoveAdoption.StandingOf(record), Epoch = new Epoch(record.NewEpoch),
                Reason = record.Reason, Receipt = record.Receipt,
                // Of a VM whose record could not be read nobody knows, and its QEMU may live.
                MemoryArriving = IsArriving(new VmId(record.Vm), move)
                    || (record is { Lazily: true, Mark: MoveMark.Runs } && tools.Machines.Find(new VmId(record.Vm)) is null),
            };
    }

    private bool IsArriving(VmId vm, MoveId move) => tools.Machines.Find(vm)?.Record.MemoryFrom == move.Value;

    /// <summary>What the journal says, newest epochs first: of each VM the newest, and all that are not settled.</summary>
    public async Task<IReadOnlyList<MoveHolding>> HoldingsAsync(int most)
    {
        var all = (await tools.Journal.ReadAllAsync()).Where(r => r.Vm.Length > 0).ToList();
        var newest = all.GroupBy(r => r.Vm).ToDictionary(g => g.Key, g => g.Max(r => r.NewEpoch));
        return [.. all.Where(r => !r.IsSettled || r.NewEpoch == newest[r.Vm]).OrderBy(r => r.IsSettled).ThenByDescending(r => r.NewEpoch)
            .Take(most).Select(r => new MoveHolding(
                new MoveId(r.Move), new VmId(r.Vm), (MoveSide)r.Role,
                Find(new MoveId(r.Move))?.Board.Status.Standing ?? MoveAdoption.StandingOf(r), new Epoch(r.NewEpoch),
                r.Peer.Length > 0 ? new HostId(r.Peer) : null, r.IsSettled))];
    }

    /// <summary>
    /// The journal has a move under way that nobody here does: its first word failed to be written, and is there all
    /// the same (a disk may fail after the rename). It is judged as after a restart.
    /// </summary>
    private async Task<MoveStatus> SettleStrayAsync(MoveId move)
    {
        await opening.WaitAsync();
        try
        {
            if (Find(move) is null && await tools.Journal.ReadAsync(move) is { IsSettled: false } record) await AdoptAsync(record);
        }
        finally { opening.Release(); }
        return Find(move) is { } part ? part.Board.Status : await QueryAsync(move);
    }

    /// <summary>Of a move never heard of, too: an order to begin it that is on its way, or being carried out, finds it ended.</summary>
    public async Task<MoveStatus> CancelAsync(MoveId move)
    {
        if (Find(move) is null) await EndUnbegunAsync(move);
        if (Find(move)?.Cancel is { } cancel) await cancel("cancelled by a person");
        return await QueryAsync(move);
    }

    private async Task EndUnbegunAsync(MoveId move)
    {
        await opening.WaitAsync(); // Whoever is just opening it is through then.
        try
        {
            if (Find(move) is not null || await tools.Journal.ReadAsync(move) is not null) return;
            var unbegun = new MoveRecord
            {
                Move = move.Value, Vm = "", Role = MoveRole.Source, Mark = MoveMark.Kept, NewEpoch = 0, Peer = "",
                Reason = "it was taken back before it began at the source",
            };
            try { await tools.Journal.WriteAsync(unbegun); }
            catch (IOException)
            {
                Add(move, default, new Part(new MoveBoard(new MoveStatus
                {
                    Move = move, Standing = MoveStanding.SourceKept, Reason = unbegun.Reason,
                })));
                _ = WriteDownLaterAsync(unbegun);
            }
        }
        finally { opening.Release(); }
    }

    /// <summary>
    /// It ended here before it began, and this agent knows it. The next one may not, and begin it if the order arrives once more: then
    /// its target, which is taken back before the move ends, refuses the link, and the guest has run on all the while.
    /// </summary>
    private async Task WriteDownLaterAsync(MoveRecord kept)
    {
        try { await tools.StubbornlyAsync(() => tools.Journal.WriteAsync(kept)); }
        catch (IOException) { } // For as long as that the disk was not to be had: the journal is what it is.
    }

    /// <summary>
    /// Also for a move never heard of: its tombstone is written first, so that an order still on its way finds it.
    /// </summary>
    public async Task<MoveStatus> AbandonAsync(MoveId move, bool lazyFollows)
    {
        await opening.WaitAsync();
        try
        {
            if (Find(move)?.Incoming is { } incoming) await incoming.AbandonAsync("the server took the move back", lazyFollows);
            else if (await tools.Journal.ReadAsync(move) is null)
                await tools.Journal.WriteAsync(new MoveRecord
                {
                    Move = move.Value, Vm = "", Role = MoveRole.Target, Mark = MoveMark.Aborted, NewEpoch = 0, Peer = "",
                    Reason = "the server took the move back before it began here",
                });
        }
        finally { opening.Release(); }
        return await QueryAsync(move);
    }

    public async Task<MoveStatus> SettleAsync(MoveId move, TargetProof proof)
    {
        if (Find(move)?.Ending is { } ending) await ending.SettleAsync(proof);
        return await QueryAsync(move);
    }

    /// <summary>
    /// This host was fenced and the VM lives on elsewhere: what is left of its moves here is given up. A source that waits
    /// for its target's proof must never run again, whatever the target says.
    /// </summary>
    public async Task LeaveAsync(VmId vm)
    {
        List<Part> left;
        lock (gate) left = [.. parts.Values.Where(p => p.Vm == vm)];
        foreach (var part in left)
        {
            if (part.Incoming is { } incoming) await incoming.AbandonAsync("this host was fenced, and the VM started elsewhere");
            // One that still sends is not cancelled, which would let its guest go on: it ends with its QEMU.
            if (part.Ending is { } ending) await ending.SettleAsync(TargetProof.Lost);
        }
    }

    /// <summary>What is here of the VM is a copy that was disowned, and is kept for its memory's sake.</summary>
    public bool OnlyGives(VmId vm) => Giving(vm).Count > 0;

    private List<SourceEnding> Giving(VmId vm)
    {
        lock (gate) return [.. parts.Values.Where(p => p.Vm == vm).Select(p => p.Ending).OfType<SourceEnding>().Where(e => e.IsGiving)];
    }

    /// <summary>
    /// The VM is to begin here under a newer epoch than the one its memory was kept for: whoever wanted that memory is past, or the
    /// server would not order it. The copy that held it goes.
    /// </summary>
    public async Task EndGivingBeforeAsync(VmId vm, Epoch wanted)
    {
        tools.Kept.Drop(vm); // It is started anew.
        foreach (var ending in Giving(vm).Where(e => e.Record.NewEpoch < wanted.Value))
        {
            await ending.StopGivingAsync();
            await ending.BuriedAsync();
        }
    }

    /// <summary>
    /// Waits until a released copy is buried: a next move may come back at once. The journal line stays: it is what a
    /// late word about this move is answered from.
    /// </summary>
    public async Task CleanAsync(MoveId move)
    {
        if (Find(move) is not { } part || !MoveBoard.IsResting(part.Board.Status.Standing)
            || part.Board.Status.Standing == MoveStanding.SourceDoubt) return;
        if (part.Ending is { } ending)
        {
            await ending.StopGivingAsync();
            await ending.BuriedAsync();
        }
        if (part.Incoming is { } incoming) await incoming.QuietAsync();
        lock (gate) parts.Remove(move);
    }

    private async Task ReceiveAsync(PeerConnection connection)
    {
        try
        {
            var link = await LinkReceiver.AcceptAsync(connection, tools.Tickets, tools.Time, CancellationToken.None);
            if (LinkTest.IsTest(link.Move)) await linkTest.ReceiveAsync(link);
            else if (MemoryLink.IsOne(link.Move)) await tools.Remote.ServeAsync(link);
            else if (Find(link.Move) is { Incoming: { } incoming } part)
            {
                await incoming.ReceiveAsync(link);
                MoveTrace.Tell("target", part.Trace, part.Began, tools.Time.GetUtcNow(), part.Board.Status);
            }
            else await link.DisposeAsync();
        }
        catch (IOException) { } // A stranger, or a source that gave up: its own side says why.
    }

    private async Task TellAsync(string side, ActivityContext here, DateTimeOffset began, OutgoingMove outgoing)
    {
        await outgoing.Completion;
        MoveTrace.Tell(side, here, began, tools.Time.GetUtcNow(), outgoing.Board.Status);
    }

    private async Task<T> OpenAsync<T>(MoveId move, VmId vm, Func<Part, T> repeated, Func<Task<Part>> open)
    {
        await opening.WaitAsync();
        try
        {
            if (Find(move) is { } known) return repeated(known);
            if (await tools.Journal.ReadAsync(move) is { } ended)
                throw new RefusedException("move-ended", $"move {move} ended here before: {ended.Mark} {ended.Reason}", "begin a new move");
            if (Busy(vm) is { } other)
                throw new RefusedException("vm-busy", $"{vm} is in move {other} on this host",
                    $"wait for it, or: godwit migration cancel {other}");
            var part = await open();
            Add(move, vm, part);
            return repeated(part);
        }
        finally { opening.Release(); }
    }

    private Machine Owned(VmId vm, Epoch epoch)
    {
        var machine = tools.Machines.Get(vm);
        if (!machine.Record.IsOwner || machine.Epoch != epoch)
            throw new RefusedException("stale-epoch", $"this host holds epoch {machine.Epoch} of {vm}, the order says {epoch}",
                "look at 'godwit vm show': the VM has moved meanwhile");
        if (machine.Current is null)
            throw new RefusedException("vm-not-running", $"{machine.Spec.Name} is not running here", "a stopped VM moves with --mode cold");
        return machine;
    }

    private static RefusedException AlreadyEnded(MoveId move, Part part) => new(
        "move-ended", $"move {move} is {part.Board.Status.Standing} here: {part.Board.Status.Reason}", "begin a new move");

    private MoveId? Busy(VmId vm)
    {
        lock (gate)
            return parts.Where(p => p.Value.Vm == vm && (!MoveBoard.IsResting(p.Value.Board.Status.Standing)
                || p.Value.Board.Status.Standing == MoveStanding.SourceDoubt)).Select(p => (MoveId?)p.Key).FirstOrDefault();
    }

    private Part? Find(MoveId move)
    {
        lock (gate) return parts.GetValueOrDefault(move);
    }

    private void Add(MoveId move, VmId vm, Part part)
    {
        lock (gate)
        {
            if (parts.Count >= PartsMax)
                foreach (var old in parts.Where(p => MoveBoard.IsResting(p.Value.Board.Status.Standing)
                    && p.Value.Board.Status.Standing != MoveStanding.SourceDoubt).Take(PartsMax / 2).ToList()) parts.Remove(old.Key);
            parts[move] = part with { Vm = vm };
        }
    }

    /// <summary>This host's part in one move; which members are set depends on the side.</summary>
    private sealed record Part(MoveBoard Board)
    {
        public VmId Vm { get; init; }
        public IncomingMove? Incoming { get; init; }
        public SourceEnding? Ending { get; init; }
        public Func<string, Task>? Cancel { get; init; }
        /// <summary>The order that began it, where it is traced.</summary>
        public ActivityContext? Trace { get; init; }
        public DateTimeOffset Began { get; init; }

        public static Part Of(SourceEnding ending) => new(ending.Board) { Ending = ending };
    }
}
