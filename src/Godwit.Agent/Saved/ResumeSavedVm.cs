using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Saved;

/// <summary>
/// Quick move, second half, from a file, on any host that sees it: check stamp and checksum, load, own, run, and only
/// then delete the file. Whatever fails before the guest runs, the file is still there.
/// </summary>
internal sealed class ResumeSavedVm(MoveTools tools, IDisk disk, HostLayout layout)
{
    public async Task RunAsync(
        StartVm order, Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, CancellationToken cancel)
    {
        var path = PathOf(order);
        if (tools.Machines.Find(order.Spec.Id) is { } existing && await IsBackAsync(existing, order, path)) return;

        await using var file = await disk.OpenLargeAsync(path, cancel);
        await SavedStateFile.VerifyAsync(file, order.SavedFile!, cancel);
        file.Position = 0;
        var stamp = await SavedStateFile.ReadStampAsync(file, order.SavedFile!, cancel);
        if (stamp.Spec.Id != order.Spec.Id || stamp.Epoch > order.Epoch.Value)
            throw new RefusedException("saved-state-of-another",
                $"{order.SavedFile} holds {stamp.Spec.Id} at epoch {stamp.Epoch}, asked for {order.Spec.Id} at {order.Epoch}",
                "name the VM the file belongs to");

        var wanted = stamp.WasPaused ? VmState.Paused : VmState.Running;
        var qemu = await tools.Machines.LaunchIncomingAsync(order.Spec, order.Epoch,
            new IncomingWish(Wanted: wanted, FromFile: true), cancel);
        var vm = tools.Machines.Get(order.Spec.Id);
        try
        {
            await LoadAsync(qemu, file, stamp, listDevices, cancel);
            using (await vm.EnterAsync())
            {
                // It may have died since, and been buried: it never ran, so the file is as good as before.
                if (vm.Record.Instances.All(i => i.Incarnation != qemu.Incarnation))
                    throw new RefusedException("saved-state-not-loaded",
                        $"the QEMU of {order.Spec.Name} ended before it was told to run", "resume it again: its file is still there");
                await tools.Machines.AdoptAsOwnerAsync(vm, qemu, order.Epoch, wanted);
            }
        }
        catch (Exception)
        {
            using (await vm.EnterAsync()) await tools.Machines.DropAsync(vm, qemu);
            throw;
        }
        await GoAsync(qemu, stamp.WasPaused, path);
    }

    /// <summary>
    /// The order comes again: it was carried out before, or broke off between the owner record and the first instruction,
    /// which is made good. It may come so late that a move holds the VM: then the guest may run in another QEMU by now,
    /// and this one must not be told to.
    /// </summary>
    private async Task<bool> IsBackAsync(Machine vm, StartVm order, string path)
    {
        using (await vm.EnterAsync())
        {
            if (vm.Current is not { } here || vm.Epoch != order.Epoch || vm.Record.Wanted == VmState.Saved) return false;
            HostMachines.RefuseIfHeld(vm);
            var state = (await here.Qmp.QueryStatusAsync(QmpMoves.Deadline, CancellationToken.None)).Status;
            HostMachines.RefuseIfHeld(vm);
            if (vm.Record.Wanted == VmState.Running && state is (QmpRunStatus.Paused or QmpRunStatus.Prelaunch))
                await here.Qmp.ContAsync(QmpMoves.Deadline, CancellationToken.None);
            disk.DeleteFile(path);
            return true;
        }
    }

    private async Task LoadAsync(QemuInstance qemu, Stream file, SavedStateStamp stamp,
        Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, CancellationToken cancel)
    {
        using var signals = new QemuSignals(qemu.Qmp);
        if (Compatibility.CheckDevices(stamp.Devices, await listDevices(qemu)) is { } different)
            throw new RefusedException([different]);
        await qemu.Qmp.PrepareTargetAsync(qemu.IncomingSocket, sameHost: false);
        await using (var toQemu = await tools.Network.ConnectUnixAsync(qemu.IncomingSocket, cancel))
            await SavedStateFile.FeedAsync(file, toQemu, cancel);
        var ended = await Joining.AnyAsync(signals.MigrationEnded, qemu.Qmp.Closed);
        if (ended != signals.MigrationEnded || await signals.MigrationEnded != "completed")
            throw new RefusedException("saved-state-not-loaded",
                $"QEMU {qemu.Qmp.Version} could not load the state saved by {stamp.QemuVersion}",
                "the file was kept; resume it on a host with the QEMU version that saved it");
    }

    private async Task GoAsync(QemuInstance qemu, bool stayPaused, string path)
    {
        try
        {
            if (!stayPaused) await qemu.Qmp.EnsureRunningAsync(tools.Time);
        }
        catch (QmpException) when (qemu.Qmp.Closed.IsCompleted)
        {
            disk.DeleteFile(path); // It may have run before it ended: it powered off at once, or died.
            throw;
        }
        disk.DeleteFile(path); // The guest runs: from now on the file is the past, and must never be resumed again.
        if (!stayPaused) await qemu.Qmp.TryAnnounceSelfAsync();
    }

    private string PathOf(StartVm order)
    {
        var name = order.SavedFile!;
        if (!name.StartsWith($"{order.Spec.Id}-", StringComparison.Ordinal) || name != Path.GetFileName(name) || order.Spec.Disks.Count == 0
            || !layout.Pools.TryGetValue(order.Spec.Disks[0].Pool, out var pool))
            throw new RefusedException("saved-state-elsewhere", $"this host cannot reach the saved state {name}",
                "resume it on a host that has the pool of the VM's first disk");
        return Path.Combine(pool.Directory, name);
    }
}
