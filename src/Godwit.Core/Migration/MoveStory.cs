using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;

namespace Godwit.Core.Migration;

/// <summary>The sentences of <see cref="MigrateVm"/>: each does one thing, journals it, and is safe to say twice.</summary>
internal sealed class MoveStory(
    Func<HostId, IHostAgent> agents, IMigrationJournal journal, TimeProvider time, Action<Migration> published,
    Migration begun, CancellationToken serverStopping)
{
    /// <summary>How long a silent host is asked before the move is left to a person (the VM stays as it is).</summary>
    private static readonly TimeSpan SilenceMax = TimeSpan.FromMinutes(5);
    /// <summary>The same for a move that is repaired: somebody waits for the answer.</summary>
    private static readonly TimeSpan RepairMax = TimeSpan.FromSeconds(20);
    /// <summary>How long a move that is over waits for a host that does not answer, before it ends with a warning.</summary>
    private static readonly TimeSpan LeftoversMax = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan AskEvery = TimeSpan.FromMilliseconds(200);

    /// <summary>Three days, as long as a source gives: then a person says what becomes of a guest that waits.</summary>
    private const int MemoryAsksMax = 1_300_000, ProgressEvery = 5;

    private readonly Dictionary<Phase, double> phaseMs = [];
    private long phaseEntered = time.GetTimestamp();
    private string? noted;
    private long heardOf;
    private bool memoryFollows, stillFollows;

    public Migration Move { get; private set; } = begun;
    public FailPoints? FailPoints { get; init; }

    /// <summary>Where a test can hold the server: in this phase, before its first step.</summary>
    public static string PlaceIn(Phase phase) => $"move.{phase.ToString().ToLowerInvariant()}";

    private IHostAgent Source => agents(Move.Source);
    private IHostAgent Target => agents(Move.Target);
    private bool IsRefresh => Move.Mode == MoveMode.Refresh;
    private bool IsLazy => Move.Mode == MoveMode.Lazy;

    public async Task EnterAsync(Phase phase)
    {
        if (Move.Phase > phase) return; // A later phase was journaled before a crash: the step is repeated, not the label.
        CountPhase();
        await SaveAsync(Move with { Phase = phase });
        if (FailPoints is not null) await FailPoints.HitAsync(PlaceIn(phase));
    }

    public async Task<IReadOnlyList<Refusal>> CheckAsync(CancellationToken cancel)
    {
        var vm = await journal.ReadVmAsync(Move.Vm);
        var asked = time.GetTimestamp();
        var source = await Source.CheckSourceAsync(Move.Vm, cancel);
        var target = await Target.CheckTargetAsync(vm.Spec, cancel);
        var asking = time.GetElapsedTime(asked);
        if (target.AlreadyHere && await IsCandidateAsync(cancel)) target = target with
        {
            AlreadyHere = false,
            Host = target.Host with // Its room is taken, and by nobody else.
            {
                MemoryAvailableBytes = target.Host.MemoryAvailableBytes + vm.Spec.MemoryBytes,
                RamFileSpaceBytes = target.Host.RamFileSpaceBytes + vm.Spec.MemoryBytes,
            },
        };
        return Compatibility.Check(vm, Move, source, target, asking);
    }

    /// <summary>What a server before this one had prepared for this very move: a phase repeated after a crash finds it.</summary>
    private async Task<bool> IsCandidateAsync(CancellationToken cancel) => Move.Phase >= Phase.Preparing
        && (await Target.QueryMoveAsync(Move.AtAgents, cancel)).Standing == MoveStanding.TargetCandidate;

    /// <summary>A stopped guest has no state to be compatible with: only its new home is asked.</summary>
    public async Task<IReadOnlyList<Refusal>> CheckColdAsync(CancellationToken cancel)
    {
        var vm = await journal.ReadVmAsync(Move.Vm);
        return Compatibility.CheckCold(vm, Move, await Target.CheckTargetAsync(vm.Spec, cancel));
    }

    public async Task<Refusal?> ReserveAsync()
    {
        if (IsRefresh) return null; // The memory is there already: the new process maps the same file.
        var vm = await journal.ReadVmAsync(Move.Vm);
        return await journal.ReserveAsync(Move.Id, Move.Target, vm.Spec.MemoryBytes + Host.QemuOverheadBytes);
    }

    public async Task<IncomingReady?> PrepareTargetAsync(CancellationToken cancel)
    {
        if (IsRefresh) return null;
        var vm = await journal.ReadVmAsync(Move.Vm);
        var source = await Source.CheckSourceAsync(Move.Vm, cancel);
        var ready = await Target.PrepareIncomingAsync(new IncomingOrder(
            Move.AtAgents, vm.Spec, Move.Epoch.Next(), Move.Source, source.State == VmState.Paused, Move.Rehearses)
            { Lazily = IsLazy, KeepsMemory = Move.MayTurnLazy }, cancel);
        if (IsLazy && !ready.Lazily)
            throw new RefusedException("agent-too-old", $"the agent of {Move.Target} knows no lazy moves", "upgrade it, then try again");
        if (Move.Mode == MoveMode.Hybrid && !ready.Lazily)
            throw new RefusedException("lazy-memory-not-allowed",
                $"{Move.Target} does not let a QEMU wait for its memory, or gives memory by huge pages only, or its agent knows no "
                + "hybrid moves", "'--mode lazy' tells which; or go live");
        if (Move.Rehearses && !ready.Isolated)
            throw new RefusedException("agent-too-old", $"the agent of {Move.Target} knows no rehearsals", "upgrade it, then try again");
        if (Compatibility.CheckDevices(source.Devices, ready.Devices) is { } different)
            throw new RefusedException([different]);
        return ready;
    }

    public Task StartAsync(IncomingReady? ready, CancellationToken cancel) => IsRefresh
        ? Source.StartRefreshAsync(
            new RefreshOrder(Move.AtAgents, Move.Vm, Move.Epoch, Move.Limits, Move.Refresh ?? new RefreshWish(null, null)), cancel)
        : Source.StartOutgoingAsync(
            new OutgoingOrder(Move.AtAgents, Move.Vm, Move.Epoch, Move.Target, Move.Mode == MoveMode.Hybrid ? MoveMode.Live : Move.Mode,
                Move.Limits, ready!, Move.Rehearses), cancel);

    /// <summary>Remembers why starting went wrong, for the end's sentence; decides nothing.</summary>
    public void Note(Exception reason) => noted = reason.Message;

    /// <summary>Watches until both hosts together prove where the guest is.</summary>
    public async Task<Settlement> FollowAsync(CancellationToken cancelRequested)
    {
        heardOf = time.GetTimestamp();
        long? proved = null;
        var cancelTold = false;
        while (true)
        {
            serverStopping.ThrowIfCancellationRequested();
            if (cancelRequested.IsCancellationRequested && !cancelTold)
                cancelTold = await AskAsync(a => a.CancelMoveAsync(Move.AtAgents, serverStopping), Source) is not null;

            var source = await FencedAsync(Move.Source, MoveStanding.SourceLost)
                ?? await WatchSourceAsync(cancelTold ? CancellationToken.None : cancelRequested);
            if (source is { Standing: MoveStanding.SourceSending or MoveStanding.SourceSwitching })
            {
                // The watch was broken off: by a cancel, which is told at once, or by an agent that said no more.
                if (cancelTold || !cancelRequested.IsCancellationRequested) await Task.Delay(AskEvery, time, serverStopping);
                continue;
            }

            var target = IsRefresh ? Nothing() : await FencedAsync(Move.Target, MoveStanding.TargetLost)
                ?? await AskAsync(a => a.QueryMoveAsync(Move.AtAgents, serverStopping), Target);
            // Not begun is no end while the order to begin may be on its way: the source is told, and from then on refuses it.
            if (source is { Standing: MoveStanding.Nothing }
                && target is { Standing: MoveStanding.Nothing or MoveStanding.TargetCandidate or MoveStanding.TargetAborted })
                source = await AskAsync(a => a.CancelMoveAsync(Move.AtAgents, serverStopping), Source);
            // Asked of the hosts, not of the record: one that was rebuilt from them does not know that a move is lazy.
            memoryFollows |= source?.MemoryArriving == true || target?.MemoryArriving == true;
            var step = Recovery.Decide(source, target);
            // What both say and yet settles nothing may take a while (a target that loads), but not for ever.
            if (source is not null && target is not null && step is not RecoveryStep.Wait) heardOf = time.GetTimestamp();
            switch (step)
            {
                case RecoveryStep.Settled settled: return settled.Where;
                case RecoveryStep.TellSource tell:
                    await AskAsync(a => a.SettleOutgoingAsync(Move.AtAgents, tell.Proof, serverStopping), Source);
                    break;
                case RecoveryStep.AbandonTarget:
                    var lazyFollows = TurnsLazyFor(source?.Reason) && !cancelRequested.IsCancellationRequested;
                    await AskAsync(a => a.AbandonIncomingAsync(Move.AtAgents, lazyFollows, serverStopping), Target);
                    break;
            }
            // From the proof on: a source that was cut off until this moment is asked for its figures, and told, like any other.
            if (step is not RecoveryStep.WaitForSource) proved = null;
            else if (time.GetElapsedTime(proved ??= time.GetTimestamp()) > LeftoversMax) return new Settlement.AtTarget(null);
            var silence = time.GetElapsedTime(heardOf);
            if (proved is null && silence > (Move.Repairs > 0 ? RepairMax : SilenceMax))
                return new Settlement.Doubt(Silence(source, target));
            await Task.Delay(AskEvery, time, serverStopping);
        }
    }

    /// <summary>Proof is in hand; the record follows. Refused only for an older epoch, which cannot be.</summary>
    public async Task RecordNewHomeAsync(Settlement.AtTarget home)
    {
        var state = VmState.Running;
        if (await AskAsync(a => a.ListVmsAsync(serverStopping), Target) is { } there
            && there.FirstOrDefault(v => v.Spec.Id == Move.Vm) is { } report) state = report.State;
        await journal.RecordOwnerAsync(Move.Vm, Move.Target, Move.Epoch.Next(), state);
        if (home.Receipt is null)
            await SaveAsync(Warned("the source could not be asked for its figures; its leftovers are removed when it answers"));
    }

    /// <summary>
    /// The guest runs at the target, and may wait for its memory: the source is needed until all of it is there, or none is wanted any
    /// more. While one of them is silent nobody knows, and nothing is removed. A source that was fenced has none: the guest is ended, as
    /// after a power cut. A cancel stops the waiting and nothing else: the agents go on without the server, and the VM may be stopped.
    /// </summary>
    public async Task<Settlement.AtTarget> AwaitMemoryAsync(Settlement.AtTarget home, CancellationToken cancelRequested)
    {
        memoryFollows |= IsLazy;
        if (memoryFollows) Publish(Move with { Progress = null });
        for (var ask = 0; memoryFollows; ask++)
        {
            if (await journal.IsFencedAsync(Move.Target)) break;
            var target = await AskAsync(a => a.QueryMoveAsync(Move.AtAgents, serverStopping), Target);
            if (target is { MemoryArriving: false } && await TellIfCrashedAsync()) break;
            if (cancelRequested.IsCancellationRequested || ask >= MemoryAsksMax)
            {
                stillFollows = true;
                await SaveAsync(Warned("its memory still follows: until all is there it needs both hosts")
                    with { Late = Move.Late ?? LateMemory.Unwatched });
                return home;
            }
            if (target is { MemoryArriving: true } && await journal.IsFencedAsync(Move.Source)) await EndAtTargetAsync();
            if (ask % ProgressEvery == ProgressEvery - 1
                && await AskAsync(a => a.QueryMoveAsync(Move.AtAgents, serverStopping), Source) is { } source) TellFollowed(source);
            await Task.Delay(AskEvery, time, serverStopping);
        }
        if (!memoryFollows || home.Receipt is not { } receipt) return home;
        var given = (await AskAsync(a => a.QueryMoveAsync(Move.AtAgents, serverStopping), Source))?.MemoryGivenBytes ?? 0;
        return home with { Receipt = receipt with { WireBytes = receipt.WireBytes + given } };
    }

    private async Task EndAtTargetAsync()
    {
        await MarkLostAsync();
        try { await TellAsync(a => a.EndLostVmAsync(Move.Vm, Move.Epoch.Next(), Move.LostWords, serverStopping), Target); }
        catch (RefusedException) { } // The move has it there for a moment yet.
    }

    /// <summary>
    /// No memory is waited for: all is there, or the guest crashed, ended as above or by its agent, which heard from the source that it
    /// has none. Recorded before the VM is anybody else's: its recovery goes by that. False: the target is silent, nobody knows.
    /// </summary>
    private async Task<bool> TellIfCrashedAsync()
    {
        if (await AskAsync(a => a.ListVmsAsync(serverStopping), Target) is not { } there) return false;
        if (there.FirstOrDefault(v => v.Spec.Id == Move.Vm) is not { State: VmState.Crashed } report)
        {
            if (Move.Late is not null) await SaveAsync(Move with { Late = null }); // The last of it had just come.
            return true;
        }
        await MarkLostAsync();
        var vm = await journal.ReadVmAsync(Move.Vm);
        await journal.RecordOwnerAsync(Move.Vm, Move.Target, Move.Epoch.Next(), VmState.Crashed);
        await SaveAsync(Warned($"it crashed before all of its memory was there: {report.Note}; "
            + (Move.Late != LateMemory.Lost ? $"'godwit vm start {Move.VmName}' boots it from its disk"
                : vm.Ha ? $"the recovery of {Move.Source} starts it again"
                : $"it has no HA and stays so: 'godwit vm start {Move.VmName}' boots it from its disk")));
        return true;
    }

    /// <summary>Before it is ended: whoever recovers the source's host starts what ran again, as what ran on that host itself.</summary>
    private async Task MarkLostAsync()
    {
        if (Move.Late is null && HaRules.IsToRun(await journal.ReadVmAsync(Move.Vm)) && await journal.IsFencedAsync(Move.Source))
            await SaveAsync(Move with { Late = LateMemory.Lost });
    }

    private void TellFollowed(MoveStatus source)
    {
        var before = Move.Progress?.SentBytes ?? 0;
        Publish(Move with
        {
            Progress = new MoveProgress
            {
                SentBytes = source.MemoryGivenBytes,
                BytesPerSecond = (long)(Math.Max(0, source.MemoryGivenBytes - before) / (ProgressEvery * AskEvery.TotalSeconds)),
            },
        });
    }

    /// <summary>
    /// The last step of the ladder: a live move that stayed at home for its limit or deadline begins once more, lazily, by consent. The
    /// record says so before anything is asked for or cleaned.
    /// </summary>
    public async Task<bool> TurnLazyAsync(Settlement where)
    {
        if (where is not Settlement.AtSource { Reason: var reason } || !TurnsLazyFor(reason)
            || (await journal.ReadAsync(Move.Id)).CancelRequested) return false;
        CountPhase();
        await SaveAsync(Warned($"live: {reason}") with
        {
            Mode = MoveMode.Lazy, BeganAs = Move.Mode, BytesBefore = Move.Progress?.SentBytes ?? 0, Phase = Phase.Checking,
            Progress = null, Quote = Move.Mode == MoveMode.Hybrid ? Move.Quote : null, // Of all of it.
        });
        noted = null;
        return true;
    }

    private bool TurnsLazyFor(string? reason) =>
        Move.MayTurnLazy && reason?.StartsWith(PromiseScore.WouldHavePaused, StringComparison.Ordinal) == true;

    /// <summary>What the first beginning of a move left at both hosts, if this is its second. Safe to repeat.</summary>
    public async Task CleanFirstAsync()
    {
        if (Move.BeganAs is null) return;
        foreach (var side in new[] { Source, Target }) await TellAsync(a => a.CleanMoveAsync(Move.Id, serverStopping), side);
    }

    /// <summary>After the guest has moved nothing can fail the move: what cannot be cleaned is a warning.</summary>
    public async Task CleanAsync()
    {
        await journal.ReleaseReservationAsync(Move.Id);
        foreach (var side in stillFollows ? [] : IsRefresh ? [Source] : new[] { Source, Target })
            if (!await TellAsync(a => a.CleanMoveAsync(Move.AtAgents, serverStopping), side))
                await SaveAsync(Warned("a host did not answer while the move was cleaned; it cleans up by itself on return"));
    }

    public Task<Migration> RefuseAsync(IReadOnlyList<Refusal> reasons) => UndoAsync(new RefusedException(reasons), false);

    /// <summary>Nothing has left the source yet: take back what was made at the target, in reverse order.</summary>
    public async Task<Migration> UndoAsync(Exception reason, bool cancelled)
    {
        if (!IsRefresh && Move.Phase >= Phase.Preparing && !await TakeBackCandidateAsync())
            await SaveAsync(Warned("the target did not answer; what it prepared is taken back by itself within 5 minutes"));
        await journal.ReleaseReservationAsync(Move.Id);
        var refused = reason as RefusedException;
        return await FinishAsync(Move with
        {
            End = cancelled ? MoveEnd.Cancelled : MoveEnd.RolledBack,
            Refusals = refused?.Reasons ?? [],
            Reason = cancelled ? "cancelled before any memory was sent"
                : refused is null ? $"{Move.Phase}: {reason.Message}" : $"refused: {reason.Message}",
        });
    }

    /// <summary>
    /// The order to prepare may have arrived although its answer did not: told until it is heard, for a bounded time. A
    /// candidate that nobody takes back would be in the next move's way.
    /// </summary>
    private async Task<bool> TakeBackCandidateAsync()
    {
        for (var since = time.GetTimestamp(); ; await Task.Delay(AskEvery, time, serverStopping))
        {
            if (await TellAsync(a => a.AbandonIncomingAsync(Move.AtAgents, lazyFollows: false, serverStopping), Target)) return true;
            if (time.GetElapsedTime(since) > LeftoversMax) return false;
        }
    }

    public async Task<Migration> EndAsync(Settlement where)
    {
        if (where is not Settlement.Doubt) await journal.ReleaseReservationAsync(Move.Id);
        var ended = where switch
        {
            Settlement.AtTarget home => Move with { End = MoveEnd.Done, Receipt = WithPhases(home.Receipt) },
            Settlement.AtSource { Rehearsed: { } found } s when Move.Rehearses =>
                Move with { End = MoveEnd.Rehearsed, Reason = s.Reason, Receipt = WithPhases(found) },
            Settlement.AtSource s when Move.CancelRequested || (await journal.ReadAsync(Move.Id)).CancelRequested =>
                Move with { End = MoveEnd.Cancelled, Reason = s.Reason },
            Settlement.AtSource s => Move with { End = MoveEnd.RolledBack, Reason = noted is null ? s.Reason : $"{s.Reason} ({noted})" },
            Settlement.GuestStopped => Move with
                { End = MoveEnd.RolledBack, Reason = "vm-stopped: the guest powered itself off during the move" },
            Settlement.Lost lost => Move with { End = MoveEnd.NeedsOperator, Reason = lost.Reason },
            Settlement.Doubt doubt => Move with { End = MoveEnd.NeedsOperator, Reason = doubt.Reason },
            _ => throw new InvalidOperationException($"unknown settlement {where}"),
        };
        if (await WasSettledSinceAsync()) return await FinishAsync(ended);
        if (where is Settlement.GuestStopped) await journal.RecordOwnerAsync(Move.Vm, Move.Source, Move.Epoch, VmState.Stopped);
        if (where is Settlement.Lost) await journal.RecordOwnerAsync(Move.Vm, Move.Source, Move.Epoch, VmState.Crashed);
        if (where is Settlement.Doubt) await journal.RecordOwnerAsync(Move.Vm, Move.Source, Move.Epoch, VmState.Unknown);
        return await FinishAsync(ended);
    }

    /// <summary>A repaired move tells what became of a VM nobody knew about; never of one that was started since.</summary>
    private async Task<bool> WasSettledSinceAsync() =>
        Move.Repairs > 0 && (await journal.ReadVmAsync(Move.Vm)).State != VmState.Unknown;

    /// <summary>
    /// A fenced host's copy is gone. That it may have run before is never ruled out by its death: the other side is told
    /// "lost", not "it never ran".
    /// </summary>
    private async Task<MoveStatus?> FencedAsync(HostId host, MoveStanding standing)
    {
        if (Move.Fenced != host && !await journal.IsFencedAsync(host)) return null;
        Move = Move with { Fenced = Move.Fenced ?? host }; // Saved with the end: the next boot's epoch depends on it.
        return Nothing() with
        {
            Standing = standing, Reason = $"{host} is off, as a fence or a person proved: what it held is as after a power cut",
        };
    }

    /// <summary>Follows the source until it is settled, in doubt, or silent (null).</summary>
    private async Task<MoveStatus?> WatchSourceAsync(CancellationToken cancelRequested)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancelRequested, serverStopping);
        MoveStatus? last = null;
        try
        {
            await foreach (var status in Source.WatchMoveAsync(Move.AtAgents, stop.Token))
            {
                last = status;
                if (status.Standing is MoveStanding.SourceSending or MoveStanding.SourceSwitching) heardOf = time.GetTimestamp();
                // A source tells of the switch-over once the pause is over; one in doubt is in the middle of it.
                if (status.Standing is MoveStanding.SourceSwitching or MoveStanding.SourceDoubt) await EnterAsync(Phase.Switching);
                if (status.Progress is { } progress) Publish(Move with { Progress = progress });
            }
        }
        catch (OperationCanceledException) when (!serverStopping.IsCancellationRequested) { } // A cancel was asked: act on it.
        catch (AgentUnreachableException) { return null; }
        return last;
    }

    private static async Task<T?> AskAsync<T>(Func<IHostAgent, Task<T>> question, IHostAgent agent) where T : class
    {
        try { return await question(agent); }
        catch (AgentUnreachableException) { return null; } // Silence is not an answer: the loop asks again.
    }

    private static async Task<bool> TellAsync(Func<IHostAgent, Task> word, IHostAgent agent)
    {
        try { await word(agent); return true; }
        catch (AgentUnreachableException) { return false; } // Reported by the caller as a warning.
    }

    private MoveStatus Nothing() => new() { Move = Move.AtAgents, Standing = MoveStanding.Nothing };

    private string Silence(MoveStatus? source, MoveStatus? target) =>
        source is null && target is null ? $"neither {Move.Source} nor {Move.Target} answers"
        : source is null ? $"{Move.Source} does not answer; {Move.Target} says {target!.Standing}"
        : target is null ? $"{Move.Target} does not answer and {Move.Source} says {source.Standing}: wait for it, or fence it and repair"
        : $"{Move.Source} says {source.Standing} and {Move.Target} says {target.Standing}";

    private Migration Warned(string warning) =>
        Move.Warnings.Contains(warning) ? Move : Move with { Warnings = [.. Move.Warnings, warning] };

    private Receipt? WithPhases(Receipt? receipt)
    {
        CountPhase();
        return receipt is null ? null : receipt with
        {
            TotalMs = (time.GetUtcNow() - Move.CreatedAt).TotalMilliseconds,
            WireBytes = receipt.WireBytes + Move.BytesBefore,
            PhaseMs = new Dictionary<Phase, double>(phaseMs),
        };
    }

    private void CountPhase()
    {
        phaseMs[Move.Phase] = phaseMs.GetValueOrDefault(Move.Phase) + time.GetElapsedTime(phaseEntered).TotalMilliseconds;
        phaseEntered = time.GetTimestamp();
    }

    public Task<Migration> FinishAsync(Migration ended) => SaveAsync(ended with { EndedAt = time.GetUtcNow() });

    public async Task<Migration> SaveAsync(Migration changed)
    {
        await journal.SaveAsync(changed);
        Publish(changed);
        return changed;
    }

    private void Publish(Migration changed)
    {
        Move = changed;
        published(changed);
    }
}
