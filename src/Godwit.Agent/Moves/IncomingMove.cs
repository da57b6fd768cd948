using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Agent.Saved;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>
/// The target's half of a move between hosts.
///
///   1 "candidate" made durable, QEMU started paused (-S), incoming; devices listed for comparison
///   2 bytes from the link go straight into QEMU
///   3 TOKEN: length and digest must be what was handed to QEMU; "intent to run" made durable while QEMU still loads
///   4 QEMU says completed: cont; RESUME event: RUNNING goes back at once, everything else after it
///
/// Without a token it never runs: link closed, abort, mismatch, load failure and a person's cancel all end in the same
/// place: QEMU killed with proof, tombstone, ABORTED. <see cref="decision"/> makes intent and abandonment exclude each
/// other; whichever is durable first stands, and a late token finds the tombstone.
/// Lazily the stream is devices only, kept here until the token is there; QEMU then loads them as those of a post-copy migration, and its
/// memory is asked of the source, before it runs where a device needs it, and all of it while it runs (LazyArriving).
/// What a live move had brought before it ended at home is kept for the lazy one that follows it (KeptMemories).
/// A rehearsal's QEMU is cut off from the network and cannot write its disks; it ends as without a token, whatever comes.
/// </summary>
internal sealed class IncomingMove(IncomingOrder order, MoveTools tools, ArrivingMemory arriving)
{
    /// <summary>From token to loaded guest: device state is some 100 KB. Beyond this the target is given up, unrun.</summary>
    private static readonly TimeSpan LoadMax = TimeSpan.FromSeconds(60);
    /// <summary>A candidate nobody connects to is taken back: its server or source is gone for good.</summary>
    private static readonly TimeSpan ConnectMax = TimeSpan.FromMinutes(5);

    /// <summary>For the disk to take the tombstone; the source's guest may stand still meanwhile.</summary>
    private static readonly TimeSpan TombstoneMax = TimeSpan.FromMilliseconds(250);

    private readonly SemaphoreSlim decision = new(1, 1);
    private readonly TaskCompletionSource connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private MoveRecord record = new()
    {
        Move = order.Move.Value, Vm = order.Spec.Id.Value, Role = MoveRole.Target, Mark = MoveMark.Candidate,
        NewEpoch = order.Epoch.Value, Peer = order.Source.Value, Paused = order.StayPaused, Rehearses = order.Rehearses,
        Lazily = order.Lazily,
    };
    private bool intentTried;
    private Task burial = Task.CompletedTask;
    private readonly CancellationTokenSource populating = new();
    private readonly LazyArriving? lazily = order.Lazily ? new LazyArriving(order, tools, arriving) : null;
    private bool contSent, lazyFollows;
    private QemuInstance? qemu;
    private Machine? vm;
    private QemuSignals signals = null!;
    private IncomingReady ready = null!;

    public MoveBoard Board { get; } = new(new MoveStatus
    {
        Move = order.Move, Standing = MoveStanding.TargetCandidate, Epoch = order.Epoch,
    });

    public IncomingReady Ready => ready;

    /// <summary>Step 1. Throws with nothing left behind.</summary>
    public async Task PrepareAsync(
        string linkEndpoint, Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, CancellationToken cancel)
    {
        var ticket = tools.Randomness.NextHex(32);
        if (order.Lazily) record = record with { Ticket = ticket };
        await tools.Journal.WriteAsync(record);
        try
        {
            if (order.Lazily) MemoryByThePage.Demand(tools.Machines);
            qemu = await tools.Machines.LaunchIncomingAsync(order.Spec, order.Epoch,
                new IncomingWish(Wanted: order.StayPaused ? VmState.Paused : VmState.Running, Isolated: order.Rehearses), cancel);
            vm = tools.Machines.Get(order.Spec.Id);
            tools.Machines.Hold(vm, order.Move);
            record = record with { Incarnation = qemu.Incarnation };
            tools.Journal.MarkNotTold(order.Move);
            await tools.Journal.WriteAsync(record);
            signals = new QemuSignals(qemu.Qmp);
            if (lazily is not null) await lazily.ExpectAsync(vm, ticket);
            else tools.Kept.Drop(order.Spec.Id);
            var mayWait = order.KeepsMemory && MemoryByThePage.WhyNot(tools.Machines) is null && await qemu.Qmp.MayWaitForMemoryAsync();
            await qemu.Qmp.PrepareTargetAsync(qemu.IncomingSocket, sameHost: false, order.Lazily);
            await tools.FailPoints.HitAsync("incoming.prepared");
            ready = new IncomingReady(linkEndpoint, ticket, await listDevices(qemu), order.Rehearses, order.Lazily || mayWait);
            tools.Tickets.Expect(order.Move, ticket, order.Source);
            // Ahead of the stream, which has a network to cross.
            if (!order.Lazily) _ = tools.Machines.Disk.PopulateAsync(qemu.RamPath, populating.Token);
        }
        catch (Exception reason)
        {
            await AbandonAsync($"preparing failed: {reason.Message}");
            throw;
        }
        _ = ReapWhenForgottenAsync();
    }

    /// <summary>Steps 2 to 4, on the one link that came with this move's ticket. Never faults.</summary>
    public async Task ReceiveAsync(LinkReceiver link)
    {
        connected.TrySetResult();
        try
        {
            var end = await link.PumpAsync(
                cancel => lazily?.TakeDevicesAsync() ?? tools.Network.ConnectUnixAsync(qemu!.IncomingSocket, cancel),
                CancellationToken.None);
            var abandoned = end switch
            {
                LinkEnd.TokenReceived when order.Rehearses => "a token came, and this is a rehearsal",
                LinkEnd.Rehearsed rehearsed when order.Rehearses => await RehearseAsync(link, rehearsed, WallClock.Micros(tools.Time)),
                LinkEnd.Rehearsed => "the source rehearsed, and this is no rehearsal",
                LinkEnd.TokenReceived token when IsWhole(token) => await RunAsync(link, WallClock.Micros(tools.Time)),
                LinkEnd.TokenReceived token => $"the stream is not what the source sent: {token.Token.Length} bytes, "
                    + $"{token.Seen.Length} arrived, epoch {token.Token.Epoch}",
                LinkEnd.Aborted aborted => StoppedBySource(aborted.Reason),
                LinkEnd.Closed closed => $"the link closed before a token came: {closed.Reason}",
                LinkEnd.QemuGone gone => $"the target QEMU did not take the stream: {gone.Reason}",
                _ => $"unexpected end {end}",
            };
            if (abandoned is not null) await AnswerAbortedAsync(link, abandoned);
        }
        catch (Exception e) when (e is IOException or QmpException or OperationCanceledException or TimeoutException)
        {
            if (record.Mark is MoveMark.Candidate or MoveMark.Withdrawn) await AnswerAbortedAsync(link, e.Message);
            else if (record.Mark == MoveMark.Intent) await GoForwardAsync(link, e.Message);
        }
        finally
        {
            populating.Cancel();
            await link.DisposeAsync();
            signals.Dispose();
        }
    }

    /// <summary>For its limit or deadline, or for any other reason: then nobody comes back for what has arrived.</summary>
    private string StoppedBySource(string reason)
    {
        lazyFollows = order.KeepsMemory && reason.StartsWith(PromiseScore.WouldHavePaused, StringComparison.Ordinal);
        return $"the source stopped the move: {reason}";
    }

    private bool IsWhole(LinkEnd.TokenReceived token) =>
        (token.Matches || !tools.Rules.Keeps(SafetyRule.StreamChecked)) && token.Token.Epoch == order.Epoch;

    /// <summary>
    /// A rehearsal's end: what it would have run is loaded and thrown away, tombstone and all, and only then told. Null, or why it
    /// could not have taken over.
    /// </summary>
    private async Task<string?> RehearseAsync(LinkReceiver link, LinkEnd.Rehearsed end, long endMicros)
    {
        if (end.Sent != end.Seen)
            return $"the stream is not what the source sent: {end.Sent.Length} bytes, {end.Seen.Length} arrived";
        if (!await IsLoadedAsync())
            return "the target QEMU could not load the guest";
        await AbandonAsync("rehearsed: it was loaded, never run, and is gone");
        await link.SendAnswerAsync(new LinkAnswer.Loaded(endMicros, signals.EndedTimestampMicros), CancellationToken.None);
        return null;
    }

    /// <summary>Takes the candidate back for good, unless intent to run is durable. The board then says which.</summary>
    public async Task AbandonAsync(string reason, bool lazyFollows = false)
    {
        await decision.WaitAsync();
        try
        {
            this.lazyFollows |= lazyFollows && order.KeepsMemory;
            if (record.Mark is not (MoveMark.Candidate or MoveMark.Withdrawn)) return;
            tools.Tickets.Forget(order.Move);
            if (tools.Rules.Keeps(SafetyRule.TombstoneBeforeAborted)) await AbortAsync(reason);
            else Board.Stand(MoveStanding.TargetAborted, reason);
        }
        finally { decision.Release(); }
    }

    /// <summary>Returns when a decision that has begun is through, with what it does after it was told.</summary>
    public async Task QuietAsync()
    {
        await decision.WaitAsync();
        decision.Release();
        await burial;
    }

    /// <summary>Null once the guest is here for good, or why it never ran here.</summary>
    private async Task<string?> RunAsync(LinkReceiver link, long tokenMicros)
    {
        await decision.WaitAsync(); // No abandonment between the token and its durable intent.
        try
        {
            if (record.Mark != MoveMark.Candidate) return record.Reason ?? "abandoned";
            await tools.FailPoints.HitAsync("incoming.before-intent");
            var intent = record with { Mark = MoveMark.Intent };
            if (lazily is not null)
            {
                if (await lazily.BeginAsync(qemu!) is { } fault)
                {
                    await AbortAsync(fault);
                    return record.Reason;
                }
                intent = intent with { RamSection = lazily.RamSection };
            }
            intentTried = true; // A write that fails may be on the disk all the same.
            try
            {
                // QEMU loads devices meanwhile.
                if (tools.Rules.Keeps(SafetyRule.IntentBeforeCont)) await tools.Journal.WriteIntentAsync(intent);
            }
            catch (IOException notWritten)
            {
                await AbortAsync($"the intent to run it could not be journaled: {notWritten.Message}");
                return record.Reason;
            }
            record = intent;
            Board.Stand(MoveStanding.TargetIntent);
            await tools.FailPoints.HitAsync("incoming.after-intent");

            if (!await IsLoadedAsync())
            {
                // cont was never sent by this agent and QEMU cannot start by itself (-S): it has not run.
                await AbortAsync("the target QEMU could not load the guest");
                return record.Reason;
            }
            tools.Journal.UnmarkNotTold(order.Move); // In memory, no disk is waited for.
            if (!order.StayPaused)
            {
                if (qemu!.Qmp.Closed.IsCompleted) // Gone between load and run: it was never told to.
                {
                    await AbortAsync("the target QEMU died before it was told to run");
                    return record.Reason;
                }
                contSent = true;
                try { await qemu.Qmp.ContAsync(QmpMoves.Deadline, CancellationToken.None); }
                catch (QmpException refused) when (!qemu.Qmp.Closed.IsCompleted && refused.ErrorClass == "GenericError")
                {
                    await AbortAsync($"the target QEMU refuses to run the guest: {refused.Message}"); // Disks not to be had.
                    return record.Reason;
                }
                await signals.Resumed.Joinable().WaitAsync(QmpMoves.Deadline, tools.Time);
            }
            var resumed = order.StayPaused ? 0 : await signals.Resumed;
            await tools.FailPoints.HitAsync("incoming.after-cont");
            await link.SendAnswerAsync(new LinkAnswer.Running(order.Epoch, resumed, tokenMicros,
                lazily?.LoadedMicros ?? signals.EndedTimestampMicros), CancellationToken.None);
            await SettleAsOwnerAsync();
            return null;
        }
        finally
        {
            if (record.Mark is MoveMark.Intent or MoveMark.Runs) lazily?.Follow(vm!, qemu!);
            decision.Release();
        }
    }

    private async Task<bool> IsLoadedAsync()
    {
        if (lazily is not null) return await lazily.IsLoadedAsync(qemu!, LoadMax);
        var ended = await Joining.AnyAsync(signals.MigrationEnded, qemu!.Qmp.Closed, Task.Delay(LoadMax, tools.Time));
        return ended == signals.MigrationEnded && await signals.MigrationEnded == "completed";
    }

    /// <summary>The guest runs; now everything that need not be in the pause. Repeated by a restarted agent.</summary>
    private async Task SettleAsOwnerAsync()
    {
        await tools.FailPoints.HitAsync("incoming.before-settling");
        await tools.StubbornlyAsync(async () =>
        {
            using (await vm!.EnterAsync())
                await tools.Machines.AdoptAsOwnerAsync(vm, qemu!, order.Epoch, order.StayPaused ? VmState.Paused : VmState.Running);
        });
        await EndAsRunAsync();
        if (!order.StayPaused) await qemu!.Qmp.TryAnnounceSelfAsync();
    }

    private async Task EndAsRunAsync()
    {
        await tools.FailPoints.HitAsync("incoming.before-mark");
        await WriteEndAsync(record with { Mark = MoveMark.Runs });
        Board.Stand(MoveStanding.TargetRuns);
        await tools.Machines.ReleaseAsync(vm!, order.Move);
    }

    /// <summary>
    /// Something broke after intent was durable: the way is forward, as for a restarted agent. Back only on proof that
    /// it never ran: this agent never sent <c>cont</c>, and QEMU cannot start by itself.
    /// </summary>
    private async Task GoForwardAsync(LinkReceiver link, string trouble)
    {
        await decision.WaitAsync();
        try
        {
            var neverTold = !contSent && !qemu!.IsAlive;
            contSent |= !neverTold; // What follows tells it to run, if it can hear.
            var arrival = neverTold ? Arrival.NeverRan
                : await new MoveAdoption(tools).ArrivesAsync(vm!, record);
            if (arrival == Arrival.Up) await SettleAsOwnerAsync();
            else if (arrival == Arrival.Gone && vm!.IsOwnedAt(order.Epoch)) await EndAsRunAsync(); // It crashed as this host's own.
            else if (arrival == Arrival.NeverRan || (arrival == Arrival.Gone && !tools.Rules.Keeps(SafetyRule.MayHaveRunIsLost)))
            {
                await AbortAsync($"the target QEMU did not run the guest: {trouble}");
                await link.SendAnswerAsync(new LinkAnswer.Aborted(order.Epoch, trouble), CancellationToken.None);
            }
            else if (arrival == Arrival.Silent) Board.Set(s => s with { Reason = $"its QEMU lives and does not answer: {trouble}" });
            else
            {
                await DropAsync();
                await WriteEndAsync(record with
                {
                    Mark = MoveMark.TargetLost, Reason = $"the target QEMU died after it was told to run: {trouble}",
                });
                Board.Stand(MoveStanding.TargetLost, record.Reason);
                await tools.Machines.ReleaseAsync(vm!, order.Move);
            }
        }
        catch (IOException e) { Board.Set(s => s with { Reason = e.Message }); } // The board stands; the server relays it.
        finally { decision.Release(); }
    }

    private async Task AnswerAbortedAsync(LinkReceiver link, string reason)
    {
        await AbandonAsync(reason);
        if (record.Mark != MoveMark.Aborted) return;
        try { await link.SendAnswerAsync(new LinkAnswer.Aborted(order.Epoch, record.Reason ?? reason), CancellationToken.None); }
        catch (IOException) { } // The tombstone stands; the source learns of it through the server.
    }

    /// <summary>
    /// QEMU ends, with proof, then the tombstone: ABORTED must mean that nothing here can run any more. An intent that may be on the
    /// disk is taken back first, unless memory has it that QEMU was never told to run: then a crash in between does not look as if
    /// it might have run. A disk that fails or hangs keeps the tombstone waiting, and not the guest: once QEMU is gone, whoever
    /// comes after this agent finds a candidate, or an intent surely never told, and says the same.
    /// </summary>
    private async Task AbortAsync(string reason)
    {
        populating.Cancel();
        if (intentTried && !tools.Journal.WasSurelyNotTold(order.Move))
            await WriteEndAsync(record with { Mark = MoveMark.Withdrawn, Reason = reason });
        if (qemu is not null) await tools.StubbornlyAsync(qemu.KillAsync);
        if (qemu is not null && lazyFollows) tools.Kept.Keep(order.Spec.Id, qemu.RamPath);
        if (lazily is not null) await lazily.EndAsync();
        await tools.FailPoints.HitAsync("incoming.before-tombstone");
        burial = BuryAsync(record with { Mark = MoveMark.Aborted, Reason = reason });
        using var buried = new CancellationTokenSource();
        await Joining.AnyAsync(burial, Task.Delay(TombstoneMax, tools.Time, buried.Token));
        buried.Cancel();
        record = record with { Mark = MoveMark.Aborted, Reason = reason };
        Board.Stand(MoveStanding.TargetAborted, reason);
    }

    /// <summary>Never faults: what could not be written in hours is judged by the next agent.</summary>
    private async Task BuryAsync(MoveRecord tombstone)
    {
        try
        {
            await DropAsync();
            await tools.StubbornlyAsync(() => tools.Journal.WriteAsync(tombstone));
            tools.Journal.UnmarkNotTold(order.Move);
            if (vm is not null) await tools.Machines.ReleaseAsync(vm, order.Move);
        }
        catch (IOException e) { Board.Set(s => s with { Reason = $"{tombstone.Reason}; and it could not be written down: {e.Message}" }); }
    }

    private Task DropAsync() => vm is null || qemu is null ? Task.CompletedTask : tools.StubbornlyAsync(async () =>
    {
        using (await vm.EnterAsync()) await tools.Machines.DropAsync(vm, qemu);
    });

    private async Task WriteEndAsync(MoveRecord settled)
    {
        await tools.StubbornlyAsync(() => tools.Journal.WriteAsync(settled));
        record = settled;
        if (record.IsSettled) tools.Journal.UnmarkNotTold(order.Move);
    }

    private async Task ReapWhenForgottenAsync()
    {
        if (await Joining.AnyAsync(connected.Task, Task.Delay(ConnectMax, tools.Time)) != connected.Task)
            await AbandonAsync($"no source connected within {ConnectMax.TotalMinutes:0} minutes");
    }
}
