using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Saved;

/// <summary>
/// Quick move, second half, from a file, on any host that sees it: check stamp and checksums, load, own, run, and only
/// then delete the file. Whatever fails before the guest runs, the file is still there. Lazily, only devices are loaded before it runs;
/// then the file stays until all memory is here, and is needed until then.
/// </summary>
internal sealed class ResumeSavedVm(MoveTools tools, IDisk disk, HostLayout layout, ArrivingMemory arriving)
{
    /// <summary>For QEMU to load its devices; memory has come by then, or does not matter.</summary>
    private static readonly TimeSpan DevicesMax = TimeSpan.FromMinutes(1);

    public async Task RunAsync(
        StartVm order, Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, CancellationToken cancel)
    {
        var path = PathOf(order);
        if (tools.Machines.Find(order.Spec.Id) is { } existing && await IsBackAsync(existing, order, path)) return;

        var file = await disk.OpenLargeAsync(path, cancel);
        var keepsFile = false;
        try
        {
            var content = await SavedGuest.OpenAsync(file, order.SavedFile!, cancel);
            var stamp = content?.Stamp ?? await OlderAsync(file, order, cancel);
            Demand(stamp, order);
            var wanted = stamp.WasPaused ? VmState.Paused : VmState.Running;
            var qemu = await tools.Machines.LaunchIncomingAsync(order.Spec, order.Epoch,
                new IncomingWish(Wanted: wanted, FromFile: true), cancel);
            var vm = tools.Machines.Get(order.Spec.Id);
            LazyArrival? lazy = null;
            try
            {
                if (Compatibility.CheckDevices(stamp.Devices, await listDevices(qemu)) is { } different)
                    throw new RefusedException([different]);
                if (order.Lazily) lazy = await BeginAsync(qemu, content!, stamp, cancel);
                else await LoadAsync(qemu, file, content, stamp, cancel);
                await OwnAsync(vm, qemu, order, wanted, lazy is null ? null : order.SavedFile);
                if (lazy is not null) await arriving.TakeFileAsync(vm, order.SavedFile!);
            }
            catch (Exception)
            {
                using (await vm.EnterAsync()) await tools.Machines.DropAsync(vm, qemu);
                if (lazy is not null) await lazy.EndAsync();
                throw;
            }
            keepsFile = lazy is not null;
            if (lazy is null) await GoAsync(qemu, stamp.WasPaused, path);
            else await GoLazilyAsync(vm, qemu, lazy, file, stamp.WasPaused);
        }
        finally
        {
            if (!keepsFile) await file.DisposeAsync();
        }
    }

    /// <summary>Format 1 has no part that could be believed by itself: it is read whole first.</summary>
    private static async Task<SavedStateStamp> OlderAsync(Stream file, StartVm order, CancellationToken cancel)
    {
        if (order.Lazily) throw new RefusedException("saved-state-older",
            $"{order.SavedFile} was written by an older agent, which kept memory in one piece", "resume it without --lazy");
        await SavedStateFile.VerifyAsync(file, order.SavedFile!, cancel);
        file.Position = 0;
        return await SavedStateFile.ReadStampAsync(file, order.SavedFile!, cancel);
    }

    private static void Demand(SavedStateStamp stamp, StartVm order)
    {
        if (stamp.Spec.Id != order.Spec.Id || stamp.Epoch > order.Epoch.Value)
            throw new RefusedException("saved-state-of-another",
                $"{order.SavedFile} holds {stamp.Spec.Id} at epoch {stamp.Epoch}, asked for {order.Spec.Id} at {order.Epoch}",
                "name the VM the file belongs to");
    }

    private async Task OwnAsync(Machine vm, QemuInstance qemu, StartVm order, VmState wanted, string? memoryFile)
    {
        using (await vm.EnterAsync())
        {
            // It may have died since, and been buried: it never ran, so the file is as good as before.
            if (vm.Record.Instances.All(i => i.Incarnation != qemu.Incarnation))
                throw new RefusedException("saved-state-not-loaded",
                    $"the QEMU of {order.Spec.Name} ended before it was told to run", "resume it again: its file is still there");
            await tools.Machines.AdoptAsOwnerAsync(vm, qemu, order.Epoch, wanted, memoryFile);
        }
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
            if (vm.Record.MemoryFile is null) disk.DeleteFile(path);
            return true;
        }
    }

    /// <param name="content">Null for a file of format 1, which stands at the first byte of QEMU's stream.</param>
    private async Task LoadAsync(
        QemuInstance qemu, Stream file, SavedGuest? content, SavedStateStamp stamp, CancellationToken cancel)
    {
        using var signals = new QemuSignals(qemu.Qmp);
        await qemu.Qmp.PrepareTargetAsync(qemu.IncomingSocket, sameHost: false);
        await using (var toQemu = await tools.Network.ConnectUnixAsync(qemu.IncomingSocket, cancel))
        {
            if (content is null) await SavedStateFile.FeedAsync(file, toQemu, cancel);
            else await MemoryFirst.FeedAsync(content, toQemu, ArrivingMemory.Block, cancel);
        }
        using var late = new CancellationTokenSource();
        var ended = await Joining.AnyAsync(signals.MigrationEnded, qemu.Qmp.Closed, Task.Delay(DevicesMax, tools.Time, late.Token));
        late.Cancel();
        if (ended != signals.MigrationEnded || await signals.MigrationEnded != "completed") throw NotLoaded(qemu, stamp);
    }

    /// <summary>On return the devices are loaded, and the guest may run.</summary>
    private async Task<LazyArrival> BeginAsync(QemuInstance qemu, SavedGuest content, SavedStateStamp stamp, CancellationToken cancel)
    {
        using var signals = new QemuSignals(qemu.Qmp);
        MemoryByThePage.Demand(tools.Machines);
        await qemu.Qmp.PrepareTargetAsync(qemu.IncomingSocket, sameHost: false, lazily: true);
        var toQemu = await tools.Network.ConnectUnixAsync(qemu.IncomingSocket, cancel);
        var memory = new LazyMemory(content, toQemu, ArrivingMemory.Block, tools.Time);
        var arrival = new LazyArrival(memory, toQemu, memory.ServeAsync(CancellationToken.None));
        using var late = new CancellationTokenSource();
        var first = await Joining.AnyAsync(memory.DevicesLoaded, signals.MigrationEnded, qemu.Qmp.Closed, arrival.Serving,
            Task.Delay(DevicesMax, tools.Time, late.Token));
        late.Cancel();
        if (first == memory.DevicesLoaded) return arrival;
        await arrival.EndAsync();
        throw NotLoaded(qemu, stamp);
    }

    private async Task GoLazilyAsync(Machine vm, QemuInstance qemu, LazyArrival lazy, Stream file, bool stayPaused)
    {
        try
        {
            if (!stayPaused) await qemu.Qmp.EnsureRunningAsync(tools.Time);
        }
        finally
        {
            _ = FollowAsync(); // Also where the guest could not be told to run: the file must not be needed for ever.
        }
        if (!stayPaused) await qemu.Qmp.TryAnnounceSelfAsync();

        async Task FollowAsync()
        {
            await using (file)
            {
                await tools.FailPoints.HitAsync("resume.before-push");
                lazy.Memory.Push();
                await arriving.FollowAsync(vm, qemu, lazy);
            }
        }
    }

    private static RefusedException NotLoaded(QemuInstance qemu, SavedStateStamp stamp) => new("saved-state-not-loaded",
        $"QEMU {qemu.Qmp.Version} could not load the state saved by {stamp.QemuVersion}",
        "the file was kept; resume it on a host with the QEMU version that saved it");

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
        if (!name.StartsWith($"{order.Spec.Id}-", StringComparison.Ordinal) || name != Path.GetFileName(name))
            throw MemoryFile.Elsewhere(name);
        return MemoryFile.Paths(layout, order.Spec, name).Saved;
    }
}
