using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>
/// An agent that starts again finds moves it did not see end. Its journal says what it had allowed, QEMU says what is:
///
/// | record                  | QEMU                              | then                                                   |
/// |-------------------------|-----------------------------------|--------------------------------------------------------|
/// | source, handing over    | its stream not completed          | no token can have left: kept, goes on                  |
/// | source, handing over    | completed (postmigrate)           | a token may have left: doubt, until the target's proof |
/// | source, handing over    | completed, and runs again         | the target had proved ABORTED: kept, goes on           |
/// | source, handing over    | does not answer                   | as completed: silence is no proof                      |
/// | source, rehearsal       | any that lives                    | no token belongs to it: kept, goes on                  |
/// | source, handing over    | gone                              | lost, or the target's: its proof decides               |
/// | source, released        | still there                       | ended: the target runs                                 |
/// | source, released lazily | still there, or its memory        | gives it until the target has all, then ended          |
/// | target, candidate       | any                               | no token came: killed, tombstone                       |
/// | target, withdrawn       | any                               | it never ran: killed, tombstone                        |
/// | target, intent          | runs, or loaded                   | forward: cont is repeated, it runs                     |
/// | target, intent          | does not load, refuses cont       | it never ran, by its own word: withdrawn, killed       |
/// | target, intent          | does not answer                   | left alone and asked again                             |
/// | target, intent          | gone, surely never told to run    | it never ran: tombstone                                |
/// | target, intent          | gone, maybe told to run           | may have run: lost, nobody resumes                     |
/// | refresh                 | new one loaded or running         | forward                                                |
/// | refresh                 | new one not loaded, or withdrawn  | it never got cont: killed, old one goes on             |
/// | refresh                 | new one gone, surely never told   | it never ran: the old one goes on                      |
/// | refresh                 | new one gone, maybe told to run   | may have run: lost                                     |
/// | refresh                 | new one does not answer           | doubt: both are left alone                             |
/// </summary>
internal sealed class MoveAdoption(MoveTools tools)
{
    private static readonly TimeSpan LoadWait = TimeSpan.FromMilliseconds(100);
    private const int LoadWaitsMax = 100, SilencesMax = 2;
    private static readonly TimeSpan AskAgain = TimeSpan.FromSeconds(10);
    private const int AsksMax = 1000;

    /// <summary>The ending of the source's half, in whatever standing it was found.</summary>
    public async Task<SourceEnding> AdoptSourceAsync(MoveRecord record)
    {
        var vm = tools.Machines.Find(new VmId(record.Vm));
        var qemu = vm?.Current;
        var board = NewBoard(record, MoveStanding.SourceSending);
        var ending = new SourceEnding(record, vm, qemu, tools, board);
        if (record.IsSettled)
        {
            board.Set(s => s with
            {
                Standing = StandingOf(record), Reason = record.Reason, Receipt = record.Receipt,
                MemoryArriving = record is { Mark: MoveMark.Released, Lazily: true },
            });
            if (record is { Mark: MoveMark.Released, Lazily: true } && vm is not null)
            {
                tools.Machines.Hold(vm, new MoveId(record.Move));
                _ = ending.GoOnGivingAsync();
            }
            else if (record.Mark == MoveMark.Released) await ending.BuryAsync();
            return ending;
        }
        if (vm is not null) tools.Machines.Hold(vm, new MoveId(record.Move));
        if (vm is not null && qemu is null && IsAnyAlive(vm))
        {
            if (record.Rehearses) await ending.KeepAsync("the source's agent restarted during the rehearsal");
            else
            {
                board.Stand(MoveStanding.SourceDoubt, "its QEMU lives and its monitor does not answer");
                GiveInDoubt(vm, ending);
            }
        }
        else if (vm is not null && record.Lazily && HasMemory(vm, record))
        {
            // Its QEMU is gone, and not what the target needs of it, if a token left.
            board.Stand(MoveStanding.SourceDoubt, "its QEMU died while its agent was away: a token may have left");
            GiveInDoubt(vm, ending);
        }
        else if (vm is null || qemu is null || qemu.Qmp.Closed.IsCompleted)
            await ending.LoseAsync("the QEMU of the source died while its agent was away");
        else
        {
            await qemu.Qmp.TryMigrateCancelAsync(); // Its socket died with the agent; this makes the end certain.
            // A rehearsal's guest may run here by now, and no token belongs to it.
            if (!record.Rehearses && await MayHaveSentAsync(qemu) && tools.Rules.Keeps(SafetyRule.RestartIsNoProof))
            {
                board.Stand(MoveStanding.SourceDoubt, "the agent restarted in the switch-over: a token may have left");
                GiveInDoubt(vm, ending);
            }
            else await ending.KeepAsync("the source's agent restarted during the move");
        }
        return ending;
    }

    /// <summary>Of a QEMU that is gone: its memory file outlives it, until it is buried or the host goes off.</summary>
    private bool HasMemory(Machine vm, MoveRecord record) => !IsAnyAlive(vm)
        && vm.Record.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation) is { } from
        && tools.Machines.Disk.SizeOf(vm.Home.Ram(from.RamOf)) is not null;

    /// <summary>A token may have left, and the target may wait for memory before it can say so.</summary>
    private static void GiveInDoubt(Machine vm, SourceEnding ending)
    {
        var record = ending.Record;
        if (!record.Lazily || vm.Record.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation) is not { } from) return;
        try { ending.BeginGiving(vm.Home.Ram(from.RamOf)).Allow(); }
        catch (IOException) { } // Whoever waits for it hears so once it is settled whose the guest is.
    }

    public async Task<MoveBoard> AdoptTargetAsync(MoveRecord record)
    {
        var board = NewBoard(record, MoveStanding.TargetCandidate);
        if (record.IsSettled)
        {
            tools.Journal.UnmarkNotTold(new MoveId(record.Move));
            board.Stand(StandingOf(record), record.Reason);
            return board;
        }
        var vm = tools.Machines.Find(new VmId(record.Vm));
        if (vm is not null) tools.Machines.Hold(vm, new MoveId(record.Move));
        if (record.Mark is MoveMark.Candidate or MoveMark.Withdrawn)
        {
            try
            {
                if (vm is not null) await KillCandidatesAsync(vm);
                await MarkAsync(record, MoveMark.Aborted, record.Reason ?? "the target's agent restarted before a token came", board);
            }
            finally
            {
                // Also where the disk fails: the record is judged again, and finds the VM held by nobody or by itself.
                if (vm is not null) await tools.Machines.ReleaseAsync(vm, new MoveId(record.Move));
            }
            return board;
        }
        var arrival = vm is null ? Arrival.Gone : await LookAsync(vm, record);
        if (arrival == Arrival.Silent)
        {
            board.Stand(MoveStanding.TargetIntent, "its QEMU lives and does not answer: it may run the guest, and is asked again");
            _ = ConcludeLaterAsync(record, vm!, board);
        }
        else await ConcludeAsync(record, vm, arrival, board);
        return board;
    }

    private async Task ConcludeLaterAsync(MoveRecord record, Machine vm, MoveBoard board)
    {
        try
        {
            var arrival = await ArrivesAsync(vm, record);
            if (arrival != Arrival.Silent) await tools.StubbornlyAsync(() => ConcludeAsync(record, vm, arrival, board));
        }
        catch (IOException e) { board.Set(s => s with { Reason = e.Message }); } // It stands as it stood; the next agent goes on.
    }

    private async Task ConcludeAsync(MoveRecord record, Machine? vm, Arrival arrival, MoveBoard board)
    {
        if (arrival == Arrival.Up && vm?.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation) is { } qemu)
        {
            using (await vm.EnterAsync())
                await tools.Machines.AdoptAsOwnerAsync(
                    vm, qemu, new Epoch(record.NewEpoch), record.Paused ? VmState.Paused : VmState.Running);
            await MarkAsync(record, MoveMark.Runs, null, board);
            if (!record.Paused) await qemu.Qmp.TryAnnounceSelfAsync();
        }
        else if (arrival == Arrival.Gone && vm is not null && vm.IsOwnedAt(new Epoch(record.NewEpoch)))
        {
            // The owner record was turned over before the QEMU ended: it is this host's VM that crashed, not one that is nowhere.
            await MarkAsync(record, MoveMark.Runs, null, board);
        }
        else
        {
            const string NeverRan = "the target QEMU did not run the guest after its agent restarted";
            var neverRan = arrival == Arrival.NeverRan;
            if (neverRan) await tools.Journal.WriteAsync(record with { Mark = MoveMark.Withdrawn, Reason = NeverRan });
            if (vm is not null) await KillCandidatesAsync(vm);
            var back = neverRan || !tools.Rules.Keeps(SafetyRule.MayHaveRunIsLost);
            await MarkAsync(record, back ? MoveMark.Aborted : MoveMark.TargetLost,
                neverRan ? NeverRan : "the target QEMU died after the token came; the guest may have run", board);
        }
        if (vm is not null) await tools.Machines.ReleaseAsync(vm, new MoveId(record.Move));
    }

    public async Task<SourceEnding> AdoptRefreshAsync(MoveRecord record)
    {
        var vm = tools.Machines.Find(new VmId(record.Vm));
        var old = vm?.Current;
        var board = NewBoard(record, MoveStanding.SourceSwitching);
        var ending = new SourceEnding(record, vm, old, tools, board);
        if (record.IsSettled)
        {
            tools.Journal.UnmarkNotTold(new MoveId(record.Move));
            board.Set(s => s with { Standing = StandingOf(record), Reason = record.Reason, Receipt = record.Receipt });
            // All but the new one.
            if (vm is not null && HasOldCopy(vm, record)) await tools.StubbornlyAsync(() => KillCandidatesAsync(vm));
            return ending;
        }
        if (vm is not null) tools.Machines.Hold(vm, new MoveId(record.Move));
        var fresh = vm?.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation);
        if (vm is null) await ending.LoseAsync("this host no longer knows the VM");
        else if (fresh is not null && fresh.Incarnation == vm.Record.Current)
        {
            // The owner record was already turned over: only the old process and the mark are left to do.
            await KillCandidatesAsync(vm);
            await MarkAsync(record, MoveMark.Released, null, board);
        }
        else if (await LookAtFreshAsync(vm, fresh, record) is var arrival && arrival == Arrival.Silent)
        {
            board.Stand(MoveStanding.SourceDoubt, "the new QEMU lives and does not answer: it may run the guest");
            return ending;
        }
        else if (arrival == Arrival.Up && fresh is not null)
        {
            using (await vm.EnterAsync())
                await tools.Machines.AdoptAsOwnerAsync(vm, fresh, new Epoch(record.NewEpoch), vm.Record.Wanted);
            await KillCandidatesAsync(vm); // The old one goes whether it answers or not.
            await MarkAsync(record, MoveMark.Released, null, board);
        }
        else
        {
            var hung = old is null && IsAlive(vm, vm.Record.Current ?? 0);
            var mayHaveRun = arrival == Arrival.Gone
                && !tools.Journal.WasSurelyNotTold(new MoveId(record.Move)) && (old is null || await MayHaveSentAsync(old));
            await KillCandidatesAsync(vm);
            // It was told to run and died: it may have run before, and both wrote the same memory.
            if ((old is null && !hung) || mayHaveRun) await ending.LoseAsync("the new QEMU died while the agent was away; it may have run");
            else await ending.KeepAsync("the agent restarted during the refresh");
        }
        tools.Journal.UnmarkNotTold(new MoveId(record.Move));
        if (vm is not null) await tools.Machines.ReleaseAsync(vm, new MoveId(record.Move));
        return ending;
    }

    /// <summary>As <see cref="LookAsync"/>, asked again for hours while it is silent: nothing else can be done about it.</summary>
    public async Task<Arrival> ArrivesAsync(Machine vm, MoveRecord record)
    {
        for (var ask = 1; ; ask++)
        {
            var arrival = await LookAsync(vm, record);
            if (arrival != Arrival.Silent || ask >= AsksMax) return arrival;
            await Task.Delay(AskAgain, tools.Time);
            if (vm.Record.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation) is { } silent)
                await MachineAdoption.ReconnectAsync(tools.Machines, vm, silent);
        }
    }

    private async Task<Arrival> LookAsync(Machine vm, MoveRecord record) =>
        vm.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation) is { } qemu ? await ComesUpAsync(qemu, record)
        : IsAlive(vm, record.Incarnation) ? Arrival.Silent : GoneOrNeverRan(record);

    private Arrival GoneOrNeverRan(MoveRecord record) =>
        tools.Journal.WasSurelyNotTold(new MoveId(record.Move)) ? Arrival.NeverRan : Arrival.Gone;

    /// <summary>
    /// Forward only: cont twice is cont once. A QEMU that answers and yet does not come up says itself that it never ran:
    /// still loading, or loaded and <c>cont</c> refused (nothing but a first <c>cont</c> leads out of "paused" while a move
    /// holds the VM). Any other state is one that a guest gets into by running.
    /// </summary>
    private async Task<Arrival> ComesUpAsync(QemuInstance qemu, MoveRecord record)
    {
        var (state, silences) = ((string?)null, 0);
        for (var wait = 0; wait < LoadWaitsMax && silences < SilencesMax && !qemu.Qmp.Closed.IsCompleted; wait++)
        {
            try
            {
                state = null;
                var now = await qemu.Qmp.QueryStatusAsync(QmpMoves.Deadline, CancellationToken.None);
                if (now.Running || (record.Paused && now.Status != QmpRunStatus.InMigrate)) return Arrival.Up;
                state = now.Status;
                if (state != QmpRunStatus.InMigrate && !record.Paused)
                {
                    tools.Journal.UnmarkNotTold(new MoveId(record.Move)); // This agent may die in its turn.
                    await qemu.Qmp.ContAsync(QmpMoves.Deadline, CancellationToken.None);
                }
            }
            catch (QmpException refused) when (refused.ErrorClass == "GenericError") { } // Asked again, a bounded number of times.
            catch (QmpException) { (state, silences) = (null, silences + 1); } // Its cont may still be carried out.
            await Task.Delay(LoadWait, tools.Time);
        }
        return !qemu.IsAlive ? GoneOrNeverRan(record)
            : state is QmpRunStatus.InMigrate or QmpRunStatus.Paused or QmpRunStatus.Prelaunch ? Arrival.NeverRan
            : state is null || qemu.Qmp.Closed.IsCompleted ? Arrival.Silent : Arrival.Up;
    }

    /// <summary>The refresh is over, its new QEMU has the guest, and the last agent died before it had ended the old one.</summary>
    public static bool HasOldCopy(Machine vm, MoveRecord record) => record is { Role: MoveRole.Refresh, Mark: MoveMark.Released }
        && vm.Record.IsOwner && vm.Epoch.Value == record.NewEpoch && vm.Record.Current == record.Incarnation
        && vm.Record.Instances.Count > 1;

    /// <summary>The new QEMU of a refresh: one that has not loaded is not waited for, the old one can go on at once.</summary>
    private async Task<Arrival> LookAtFreshAsync(Machine vm, QemuInstance? fresh, MoveRecord record)
    {
        if (record.Mark == MoveMark.Withdrawn) return Arrival.NeverRan;
        if (fresh is null) return IsAlive(vm, record.Incarnation) ? Arrival.Silent : Arrival.Gone;
        try
        {
            var state = await fresh.Qmp.QueryStatusAsync(QmpMoves.Deadline, CancellationToken.None);
            if (state.Status == QmpRunStatus.InMigrate) return Arrival.NeverRan;
            return await ComesUpAsync(fresh, record);
        }
        catch (QmpException) { return fresh.IsAlive ? Arrival.Silent : Arrival.Gone; }
    }

    /// <summary>
    /// False only if QEMU says that its stream was not sent to the end: then no token left, for it follows the end. No
    /// answer is not a no.
    /// </summary>
    private async Task<bool> MayHaveSentAsync(QemuInstance qemu)
    {
        for (var wait = 0; wait < LoadWaitsMax; wait++)
        {
            try
            {
                var status = (await qemu.Qmp.QueryMigrateAsync(QmpMoves.Deadline, CancellationToken.None)).Status;
                if (status == QmpMigrationStatus.Completed) return !await WasToldToGoOnAsync(qemu);
                if (QmpMigrationStatus.IsEnded(status)) return false;
            }
            catch (QmpException) { return true; }
            await Task.Delay(LoadWait, tools.Time);
        }
        return false;
    }

    /// <summary>A guest that was sent runs here again only by this host's <c>cont</c>, and that is said on proof alone.</summary>
    private static async Task<bool> WasToldToGoOnAsync(QemuInstance qemu) =>
        (await qemu.Qmp.QueryStatusAsync(QmpMoves.Deadline, CancellationToken.None)).Running;

    /// <summary>Proved dead, whether their monitors answer or not, and whether the record knows their number or not.</summary>
    private async Task KillCandidatesAsync(Machine vm)
    {
        using (await vm.EnterAsync())
            foreach (var candidate in vm.Record.Instances.Where(i => !vm.Record.IsOwner || i.Incarnation != vm.Record.Current).ToList())
            {
                await QemuInstance.KillAsync(tools.Machines.Processes, vm.Home, candidate);
                await tools.Machines.BuryAsync(vm, candidate, r => r);
            }
    }

    private bool IsAlive(Machine vm, int incarnation) =>
        vm.Record.Instances.Any(i => i.Incarnation == incarnation && tools.Machines.Processes.IsAlive(i.Process));

    private bool IsAnyAlive(Machine vm) => vm.Record.Instances.Any(i => tools.Machines.Processes.IsAlive(i.Process));

    private async Task MarkAsync(MoveRecord record, MoveMark mark, string? reason, MoveBoard board)
    {
        var marked = record with { Mark = mark, Reason = reason };
        await tools.Journal.WriteAsync(marked);
        board.Stand(StandingOf(marked), reason);
    }

    private static MoveBoard NewBoard(MoveRecord record, MoveStanding standing) => new(new MoveStatus
    {
        Move = new MoveId(record.Move), Standing = standing, Epoch = new Epoch(record.NewEpoch),
    });

    internal static MoveStanding StandingOf(MoveRecord record) => record.Mark switch
    {
        MoveMark.Kept => MoveStanding.SourceKept,
        MoveMark.Released => MoveStanding.SourceReleased,
        MoveMark.Stopped => MoveStanding.SourceStopped,
        MoveMark.SourceLost => MoveStanding.SourceLost,
        MoveMark.Candidate => MoveStanding.TargetCandidate,
        MoveMark.Intent or MoveMark.Withdrawn => MoveStanding.TargetIntent,
        MoveMark.Runs => MoveStanding.TargetRuns,
        MoveMark.Aborted => MoveStanding.TargetAborted,
        MoveMark.TargetLost => MoveStanding.TargetLost,
        _ => MoveStanding.SourceSending,
    };
}
