using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Core.Migration;

/// <summary>
/// The cold move: shut down, change owner, start again where it ran before. No token is needed, because no QEMU of this
/// VM exists anywhere meanwhile: the source proves that none is there and knows that it owns it no more, durably, before
/// the record changes.
/// Runs again from the top after a crash of the server, like <see cref="MigrateVm"/>.
/// </summary>
internal sealed class MoveCold(Func<HostId, IHostAgent> agents, IMigrationJournal journal, MoveStory story)
{
    public async Task<Migration> RunAsync(CancellationToken cancelRequested, CancellationToken serverStopping)
    {
        var vm = await journal.ReadVmAsync(story.Move.Vm);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancelRequested, serverStopping);
        try
        {
            if (story.Move.Phase < Phase.Switching)
            {
                await story.EnterAsync(Phase.Checking);
                var reasons = await story.CheckColdAsync(stop.Token);
                if (reasons.Count > 0) return await story.RefuseAsync(reasons);

                await story.EnterAsync(Phase.Preparing);
                if (await story.ReserveAsync() is { } full) return await story.RefuseAsync([full]);
                await story.SaveAsync(story.Move with { WasRunning = vm.State is VmState.Running or VmState.Paused });
                await story.EnterAsync(Phase.Switching);
            }

            if (vm.Owner == story.Move.Source) vm = await LeaveAsync(vm, stop.Token, serverStopping);

            await story.EnterAsync(Phase.Verifying); // No cancel: from here only forward.
            if (story.Move.WasRunning == true)
            {
                var report = await agents(story.Move.Target).StartVmAsync(new StartVm(vm.Spec, vm.Epoch), serverStopping);
                await journal.RecordOwnerAsync(vm.Spec.Id, vm.Owner, vm.Epoch, report.State);
            }
            await story.EnterAsync(Phase.Cleaning);
            await journal.ReleaseReservationAsync(story.Move.Id);
            return await story.FinishAsync(story.Move with { End = MoveEnd.Done });
        }
        catch (OperationCanceledException) when (serverStopping.IsCancellationRequested) { throw; }
        catch (Exception reason) when (reason is not InvariantBrokenException)
        {
            return await EndBadlyAsync(reason, cancelRequested.IsCancellationRequested);
        }
    }

    /// <summary>
    /// Shuts the guest down; then the source leaves it under the new epoch, and carries out no order of an older one that is
    /// still on its way. It refuses where a QEMU is there after all, of a start whose answer was lost. Then, and only then, the
    /// target owns it.
    /// </summary>
    private async Task<Vm> LeaveAsync(Vm vm, CancellationToken stop, CancellationToken serverStopping)
    {
        var source = agents(story.Move.Source);
        if (story.Move.WasRunning == true) await source.StopVmAsync(vm.Spec.Id, vm.Epoch, force: false, stop);
        var next = vm.Epoch.Next();
        try { await source.ForgetVmAsync(vm.Spec.Id, next, serverStopping); }
        catch (Exception unheard) when (unheard is not (RefusedException or OperationCanceledException))
        {
            // It may have left: this epoch is used up.
            await journal.RecordOwnerAsync(vm.Spec.Id, story.Move.Source, next, VmState.Stopped);
            throw;
        }
        await journal.RecordOwnerAsync(vm.Spec.Id, story.Move.Target, next, VmState.Stopped);
        return await journal.ReadVmAsync(vm.Spec.Id);
    }

    private async Task<Migration> EndBadlyAsync(Exception reason, bool cancelled)
    {
        await journal.ReleaseReservationAsync(story.Move.Id);
        var vm = await journal.ReadVmAsync(story.Move.Vm);
        var atTarget = vm.Owner == story.Move.Target;
        return await story.FinishAsync(story.Move with
        {
            End = atTarget ? MoveEnd.NeedsOperator : cancelled ? MoveEnd.Cancelled : MoveEnd.RolledBack,
            Reason = atTarget
                ? $"it is on {vm.Owner} now, stopped, and could not be started: {reason.Message}"
                : $"{reason.Message} (it is still on {vm.Owner})",
            Refusals = (reason as RefusedException)?.Reasons ?? [],
        });
    }
}
