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
/// | source, handing over    | gone                              | lost, or the target's: its proof decides               |
/// | target, candidate       | any                               | no token came: killed, tombstone                       |
/// | target, intent          | runs, or loaded                   | forward: cont is repeated, it runs                     |
/// | target, intent          | gone                              | may have run: lost, nobody resumes                     |
/// | refresh                 | new one loaded or running         | forward                                                |
/// | refresh                 | new one not loaded                | it never got cont: killed, old one goes on             |
/// </summary>
internal sealed class MoveAdoption(MoveTools tools)
{
    private static readonly TimeSpan LoadWait = TimeSpan.FromMilliseconds(100);
    private const int LoadWaitsMax = 100;

    /// <summary>The ending of the source's half, in whatever standing it was found.</summary>
    public async Task<SourceEnding> AdoptSourceAsync(MoveRecord record)
    {
        var vm = tools.Machines.Find(new VmId(record.Vm));
        if (vm is not null) tools.Machines.Hold(vm, new MoveId(record.Move));
        var qemu = vm?.Current;
        var board = NewBoard(record, MoveStanding.SourceSending);
        var ending = new SourceEnding(record, vm, qemu, tools, board);
        if (record.IsSettled) board.Set(s => s with { Standing = StandingOf(record), Reason = record.Reason, Receipt = record.Receipt });
        else if (vm is not null && qemu is null && IsAnyAlive(vm))
            board.Stand(MoveStanding.SourceDoubt, "its QEMU lives and its monitor does not answer");
        else if (vm is null || qemu is null || qemu.Qmp.Closed.IsCompleted)
            await ending.LoseAsync("the QEMU of the source died while its agent was away");
        else
        {
            await qemu.Qmp.TryMigrateCancelAsync(); // Its socket died with the agent; this makes the end certain.
            if (await StatusAtRestAsync(qemu) == QmpMigrationStatus.Completed && tools.Rules.Keeps(SafetyRule.RestartIsNoProof))
                board.Stand(MoveStanding.SourceDoubt, "the agent restarted in the switch-over: a token may have left");
            else await ending.KeepAsync("the source's agent restarted during the move");
        }
        return ending;
    }

    public async Task<MoveBoard> AdoptTargetAsync(MoveRecord record)
    {
        var board = NewBoard(record, MoveStanding.TargetCandidate);
        if (record.IsSettled)
        {
            board.Stand(StandingOf(record), record.Reason);
            return board;
        }
        var vm = tools.Machines.Find(new VmId(record.Vm));
        if (vm is not null) tools.Machines.Hold(vm, new MoveId(record.Move));
        var qemu = vm?.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation);
        if (record.Mark == MoveMark.Candidate)
        {
            if (vm is not null) await KillCandidatesAsync(vm);
            await MarkAsync(record, MoveMark.Aborted, "the target's agent restarted before a token came", board);
        }
        else if (vm is null || qemu is null || !await ComesUpAsync(qemu, record.Paused))
        {
            if (vm is not null) await KillCandidatesAsync(vm);
            var lost = tools.Rules.Keeps(SafetyRule.MayHaveRunIsLost) ? MoveMark.TargetLost : MoveMark.Aborted;
            await MarkAsync(record, lost, "the target QEMU died after the token came; the guest may have run", board);
        }
        else
        {
            using (await vm.EnterAsync())
                await tools.Machines.AdoptAsOwnerAsync(
                    vm, qemu, new Epoch(record.NewEpoch), record.Paused ? VmState.Paused : VmState.Running);
            await MarkAsync(record, MoveMark.Runs, null, board);
            if (!record.Paused) await qemu.Qmp.TryAnnounceSelfAsync();
        }
        if (vm is not null) await tools.Machines.ReleaseAsync(vm, new MoveId(record.Move));
        return board;
    }

    public async Task<SourceEnding> AdoptRefreshAsync(MoveRecord record)
    {
        var vm = tools.Machines.Find(new VmId(record.Vm));
        var old = vm?.Current;
        var board = NewBoard(record, MoveStanding.SourceSwitching);
        var ending = new SourceEnding(record, vm, old, tools, board);
        if (record.IsSettled)
        {
            board.Set(s => s with { Standing = StandingOf(record), Reason = record.Reason, Receipt = record.Receipt });
            return ending;
        }
        if (vm is not null) tools.Machines.Hold(vm, new MoveId(record.Move));
        var fresh = vm?.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation);
        if (vm is null) await ending.LoseAsync("this host no longer knows the VM");
        else if (fresh is not null && fresh.Incarnation == vm.Record.Current)
        {
            // The owner record was already turned over: only the old process and the mark are left to do.
            foreach (var other in vm.Instances.Where(i => i != fresh).ToList()) await DropAsync(vm, other);
            await MarkAsync(record, MoveMark.Released, null, board);
        }
        else if (fresh is not null && await IsLoadedAsync(fresh) && await ComesUpAsync(fresh, record.Paused))
        {
            using (await vm.EnterAsync())
                await tools.Machines.AdoptAsOwnerAsync(vm, fresh, new Epoch(record.NewEpoch), vm.Record.Wanted);
            if (old is not null) await DropAsync(vm, old);
            await MarkAsync(record, MoveMark.Released, null, board);
        }
        else
        {
            var sent = old is not null && await StatusAtRestAsync(old) == QmpMigrationStatus.Completed;
            var freshDied = fresh is null || fresh.Qmp.Closed.IsCompleted;
            await KillCandidatesAsync(vm);
            // Sent completely and the new one died: it may have run before, and both wrote the same memory.
            if (old is null || (sent && freshDied)) await ending.LoseAsync("the new QEMU died while the agent was away; it may have run");
            else await ending.KeepAsync("the agent restarted during the refresh");
        }
        if (vm is not null) await tools.Machines.ReleaseAsync(vm, new MoveId(record.Move));
        return ending;
    }

    /// <summary>True once it runs (or is loaded, where it is to stay paused). Forward only: cont twice is cont once.</summary>
    public async Task<bool> ComesUpAsync(QemuInstance qemu, bool paused)
    {
        for (var wait = 0; wait < LoadWaitsMax && !qemu.Qmp.Closed.IsCompleted; wait++)
        {
            try
            {
                var state = await qemu.Qmp.QueryStatusAsync(QmpMoves.Deadline, CancellationToken.None);
                if (state.Running || (paused && state.Status != QmpRunStatus.InMigrate)) return true;
                if (state.Status != QmpRunStatus.InMigrate && !paused)
                    await qemu.Qmp.ContAsync(QmpMoves.Deadline, CancellationToken.None);
            }
            catch (QmpException) { } // Closed ends the loop; anything else is asked again, a bounded number of times.
            await Task.Delay(LoadWait, tools.Time);
        }
        return false;
    }

    private static async Task<bool> IsLoadedAsync(QemuInstance qemu)
    {
        try { return (await qemu.Qmp.QueryStatusAsync(QmpMoves.Deadline, CancellationToken.None)).Status != QmpRunStatus.InMigrate; }
        catch (QmpException) { return false; } // Gone: it is treated as never loaded, and then as "died".
    }

    private async Task<string?> StatusAtRestAsync(QemuInstance qemu)
    {
        for (var wait = 0; wait < LoadWaitsMax; wait++)
        {
            var status = (await qemu.Qmp.TryQueryMigrateAsync())?.Status;
            if (status is null || QmpMigrationStatus.IsEnded(status)) return status;
            await Task.Delay(LoadWait, tools.Time);
        }
        return null;
    }

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

    private bool IsAnyAlive(Machine vm) => vm.Record.Instances.Any(i => tools.Machines.Processes.IsAlive(i.Process));

    private async Task DropAsync(Machine vm, QemuInstance qemu)
    {
        using (await vm.EnterAsync()) await tools.Machines.DropAsync(vm, qemu);
    }

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
        MoveMark.Intent => MoveStanding.TargetIntent,
        MoveMark.Runs => MoveStanding.TargetRuns,
        MoveMark.Aborted => MoveStanding.TargetAborted,
        MoveMark.TargetLost => MoveStanding.TargetLost,
        _ => MoveStanding.SourceSending,
    };
}
