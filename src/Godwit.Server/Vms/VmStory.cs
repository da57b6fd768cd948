using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Operations;
using Godwit.Server.Placing;
using Godwit.Server.Store;

namespace Godwit.Server.Vms;

/// <summary>
/// What happens when someone presses create, start, stop, restart, pause, save, resume or delete.
///
/// Each verb is a wish for a state: what is so already is done already. Each runs with the VM's one operation held,
/// asks the owner's agent, and only then changes the record; a restarted server runs the same verb again from the top.
/// Throws <see cref="RefusedException"/> (nothing changed) and <see cref="AgentUnreachableException"/> (nobody knows).
/// </summary>
public sealed class VmStory(Stores stores, PlacementDesk desk, AgentDirectory agents)
{
    private readonly SnapshotStory snapshots = new(stores, agents);

    public async Task<Operation> RunAsync(Operation operation, CancellationToken stopping)
    {
        var vm = await stores.Vms.FindAsync(operation.Vm);
        if (vm is null) return await EndAsync(operation, "vm-deleted", $"{operation.VmName} is deleted", null);
        if (vm.State == VmState.Unknown)
            throw new RefusedException("vm-unknown", $"nobody can prove where {vm.Spec.Name} runs",
                "wait until its hosts answer ('godwit host list'); then its state is known again");
        if (await stores.Frozen.FindAsync(vm.Spec.Id) is { } frozen)
            throw new RefusedException([StoreAge.Frozen(vm.Spec.Name, frozen.Reasons)]);
        if (operation.Kind != OperationKind.Delete && await stores.Hosts.FindAsync(vm.Owner) is { State: HostState.Fenced })
            throw new RefusedException("host-fenced", $"{vm.Spec.Name} belongs to {vm.Owner}, which is fenced: it is off, and not yet back",
                $"bring its VMs back elsewhere: 'godwit host recover {vm.Owner}', or wait until it is back");
        return operation.Kind switch
        {
            OperationKind.Create => await CreateAsync(operation, vm, stopping),
            OperationKind.Start => await StartAsync(operation, vm, stopping),
            OperationKind.Stop => await StopAsync(operation, vm, stopping),
            OperationKind.Restart => await RestartAsync(operation, vm, stopping),
            OperationKind.Pause => await PauseAsync(operation, vm, stopping),
            OperationKind.Save => await SaveAsync(operation, vm, stopping),
            OperationKind.Resume => await ResumeAsync(operation, vm, stopping),
            OperationKind.Delete => await DeleteAsync(operation, vm, stopping),
            OperationKind.Snapshot or OperationKind.Revert or OperationKind.DropSnapshot =>
                await snapshots.RunAsync(operation, vm, stopping),
            _ => throw new InvariantBrokenException($"{operation.Kind} is a verb of this story"),
        };
    }

    private async Task<Operation> CreateAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        await MakeDisksAsync(operation, vm, stopping);
        if (!operation.ThenStart)
            return await EndAsync(operation, "vm-created", $"{vm.Spec.Name} created on {vm.Owner}", null);
        return await StartAsync(operation, vm, stopping);
    }

    private async Task MakeDisksAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        try
        {
            foreach (var disk in vm.Spec.Disks) await agents.Of(vm.Owner).CreateDiskAsync(disk, vm.Spec.Uid, stopping);
        }
        catch (RefusedException) when (operation.Kind == OperationKind.Create)
        {
            // A VM without its disk is nothing: the name is free again. (Unreachable: it stays, a start makes the disk.)
            foreach (var disk in vm.Spec.Disks) await agents.Of(vm.Owner).DeleteDiskAsync(disk, stopping);
            await stores.Vms.DeleteAsync(vm.Spec.Id);
            throw;
        }
    }

    private async Task<Operation> StartAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        switch (vm.State)
        {
            case VmState.Running:
                return await EndAsync(operation, "vm-started", $"{vm.Spec.Name} runs on {vm.Owner}", null);
            case VmState.Paused:
                throw new RefusedException("vm-paused", $"{vm.Spec.Name} is paused", $"let it go on: 'godwit vm resume {vm.Spec.Name}'");
            case VmState.Saved:
                throw new RefusedException("vm-saved", $"{vm.Spec.Name} is saved: starting it would lose its memory",
                    $"bring it back with 'godwit vm resume {vm.Spec.Name}'");
        }
        if (operation is { Kind: OperationKind.Start, EpochTaken: false }) operation = await DemandPlaceAsync(operation, vm);
        if (operation.Kind != OperationKind.Create)
        {
            await MakeDisksAsync(operation, vm, stopping);
            (operation, vm) = await NextBootAsync(operation, vm);
        }
        var report = await LaunchAsync(operation, vm, null, stopping);
        return await EndAsync(operation, "vm-started", $"{vm.Spec.Name} is {Fields.Word(report.State)} on {vm.Owner}",
            work => VmStore.SetState(work, vm.Spec.Id, vm.Epoch, report.State, null));
    }

    /// <summary>Whether its host answers is its host's to say, and what was only restarted had its place before.</summary>
    private async Task<Operation> DemandPlaceAsync(Operation operation, Vm vm)
    {
        var scene = await desk.LookAsync();
        var pick = scene.AtHome(vm, OverriddenBy(operation));
        var against = pick.Against.Where(reason => reason.Code != "host-unreachable").ToList();
        if (against.Count > 0) desk.Tell(scene.Of(vm), against); // It can be moved to a host with room, and be started there.
        return against.Count == 0 ? operation with { Told = pick.Told } : throw new RefusedException(against);
    }

    private static Overridden OverriddenBy(Operation operation) => operation.IgnoresRules ? Overridden.Rules : Overridden.None;

    /// <summary>Each boot has its own epoch: an order to stop or save that was meant for the life before cannot end this one.</summary>
    private async Task<(Operation, Vm)> NextBootAsync(Operation operation, Vm vm)
    {
        if (operation.EpochTaken) return (operation, vm);
        operation = operation with { EpochTaken = true };
        return (operation, await stores.Operations.RecordBootAsync(operation, vm));
    }

    private async Task<VmReport> LaunchAsync(Operation operation, Vm vm, string? savedFile, CancellationToken stopping)
    {
        var bytes = vm.Spec.MemoryBytes + Host.QemuOverheadBytes;
        if (await stores.Operations.ReserveAsync(operation, vm.Owner, bytes) is { } full) throw new RefusedException([full]);
        var lazily = savedFile is not null && operation.Lazily;
        return await agents.Of(vm.Owner).StartVmAsync(new StartVm(vm.Spec, vm.Epoch, savedFile, lazily), stopping);
    }

    private async Task<Operation> StopAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        await LeaveMemoryAsync(operation, vm, stopping);
        return await EndAsync(operation, "vm-stopped", $"{vm.Spec.Name} is stopped",
            work => VmStore.SetState(work, vm.Spec.Id, vm.Epoch, VmState.Stopped, null));
    }

    private async Task LeaveMemoryAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        if (vm.State == VmState.Saved)
            throw new RefusedException("vm-saved", $"{vm.Spec.Name} is saved: its memory lies in a file",
                $"resume it first, or delete it: 'godwit vm resume {vm.Spec.Name}'");
        if (vm.State != VmState.Stopped) await EndQemuAsync(vm, operation.Force, stopping);
    }

    private async Task EndQemuAsync(Vm vm, bool force, CancellationToken stopping)
    {
        try
        {
            await agents.Of(vm.Owner).StopVmAsync(vm.Spec.Id, vm.Epoch, force, stopping);
        }
        catch (RefusedException nothing)
            when (vm.State == VmState.Crashed && nothing.Reasons[0].Code is ("vm-not-here" or "epoch-stale"))
        {
            // It crashed, and its host has no trace of it left, or never got to its last boot: there is nothing to stop.
        }
    }

    private async Task<Operation> RestartAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        if (!operation.FirstHalfDone)
        {
            await LeaveMemoryAsync(operation, vm, stopping);
            await stores.Vms.SetStateAsync(vm.Spec.Id, vm.Epoch, VmState.Stopped);
            operation = operation with { FirstHalfDone = true };
            await stores.Operations.SaveAsync(operation);
        }
        return await StartAsync(operation, vm with { State = VmState.Stopped }, stopping);
    }

    private async Task<Operation> PauseAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        if (vm.State is not (VmState.Running or VmState.Paused)) throw NotRunning(vm);
        await agents.Of(vm.Owner).PauseVmAsync(vm.Spec.Id, vm.Epoch, stopping);
        return await EndAsync(operation, "vm-paused", $"{vm.Spec.Name} is paused",
            work => VmStore.SetState(work, vm.Spec.Id, vm.Epoch, VmState.Paused, null));
    }

    private async Task<Operation> SaveAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        if (vm is { State: VmState.Saved, SavedFile: not null })
            return await EndAsync(operation, "vm-saved", $"{vm.Spec.Name} is saved", null);
        if (vm.State is not (VmState.Running or VmState.Paused)) throw NotRunning(vm);
        var saved = await agents.Of(vm.Owner).SaveVmAsync(vm.Spec.Id, vm.Epoch, stopping);
        return await EndAsync(operation, "vm-saved", $"{vm.Spec.Name} is saved, {saved.Bytes >> 20} MiB",
            work => VmStore.SetState(work, vm.Spec.Id, vm.Epoch, VmState.Saved, saved.File));
    }

    private async Task<Operation> ResumeAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        if (vm.State == VmState.Running)
            return await EndAsync(operation, "vm-resumed", $"{vm.Spec.Name} runs on {vm.Owner}", null);
        if (vm.State == VmState.Paused)
        {
            await agents.Of(vm.Owner).UnpauseVmAsync(vm.Spec.Id, vm.Epoch, stopping);
            return await EndAsync(operation, "vm-resumed", $"{vm.Spec.Name} runs on {vm.Owner}",
                work => VmStore.SetState(work, vm.Spec.Id, vm.Epoch, VmState.Running, null));
        }
        if (vm.State != VmState.Saved) throw NotRunning(vm);

        var file = vm.SavedFile ?? throw new RefusedException("saved-file-unknown",
            $"the file {vm.Spec.Name} was saved to is not known yet", $"wait for the next report of {vm.Owner} (5 s) and try again");
        if (!operation.FirstHalfDone) (operation, vm) = await NextEpochAsync(operation, vm, file, stopping);
        var report = await LaunchAsync(operation, vm, file, stopping);
        return await EndAsync(operation, "vm-resumed", $"{vm.Spec.Name} is {Fields.Word(report.State)} on {vm.Owner}, from its file"
            + (operation.Lazily ? "; its memory comes out of it as it is needed" : ""),
            work => VmStore.SetState(work, vm.Spec.Id, vm.Epoch, report.State, null));
    }

    /// <summary>
    /// Leaving a file is as leaving a host, also where it is the same one: no QEMU of it exists anywhere, its owner
    /// forgets it, proved, and whoever brings it back owns it with the next epoch. So no late order can bring it back
    /// a second time. The file stays until the guest runs.
    /// </summary>
    private async Task<(Operation, Vm)> NextEpochAsync(Operation operation, Vm vm, string file, CancellationToken stopping)
    {
        var home = operation.Host ?? vm.Owner;
        await DemandSavedAsync(vm, stopping);
        if (home != vm.Owner) await CheckHomeAsync(operation, vm, home, stopping);
        await agents.Of(vm.Owner).ForgetVmAsync(vm.Spec.Id, vm.Epoch, stopping);
        operation = operation with { FirstHalfDone = true };
        return (operation, await stores.Operations.RecordResumeAsync(operation, vm, home, file));
    }

    /// <summary>
    /// An earlier resume may have got as far as running it, and only its answer was lost: what the host knows of that
    /// must not be forgotten. The next report puts the record right.
    /// </summary>
    private async Task DemandSavedAsync(Vm vm, CancellationToken stopping)
    {
        var report = (await agents.Of(vm.Owner).ListVmsAsync(stopping)).FirstOrDefault(r => r.Spec.Id == vm.Spec.Id);
        if (report is { IsOwner: true, State: VmState.Running or VmState.Paused or VmState.Crashed } && report.Epoch >= vm.Epoch)
            throw new RefusedException("vm-not-saved", $"{vm.Owner} says that {vm.Spec.Name} is {Fields.Word(report.State)}",
                $"an earlier resume got that far; look again in some seconds: 'godwit vm show {vm.Spec.Name}'");
    }

    private async Task CheckHomeAsync(Operation operation, Vm vm, HostId other, CancellationToken stopping)
    {
        var pick = (await desk.LookAsync()).Named(vm, other, OverriddenBy(operation) | Overridden.Pin); // A person names the host.
        if (pick.Host is null) throw new RefusedException(pick.Against);
        var target = await agents.Of(other).CheckTargetAsync(vm.Spec, stopping);
        var asStopped = vm with { State = VmState.Stopped };
        var reasons = Compatibility.CheckCold(asStopped, VmNeeding.AsColdMove(vm, other), target);
        if (reasons.Count > 0) throw new RefusedException(reasons);
    }

    private async Task<Operation> DeleteAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        if (vm.State is VmState.Running or VmState.Paused && !operation.Force)
            throw new RefusedException("vm-running", $"{vm.Spec.Name} is {Fields.Word(vm.State)} on {vm.Owner}",
                $"stop it first: 'godwit vm stop {vm.Spec.Name}', or end it with delete --force");
        var agent = agents.Of(vm.Owner);
        if (vm.State is VmState.Running or VmState.Paused or VmState.Crashed)
            await EndQemuAsync(vm, force: true, stopping);
        await agent.ForgetVmAsync(vm.Spec.Id, vm.Epoch, stopping);
        foreach (var disk in vm.Spec.Disks) await agent.DeleteDiskAsync(disk, stopping);
        if (vm.SavedFile is { } saved) await agent.DeleteDiskAsync(vm.Spec.Disks[0] with { File = saved, BackingFile = null }, stopping);
        return await EndAsync(operation, "vm-deleted", $"{vm.Spec.Name} is deleted", work => VmStore.Delete(work, vm.Spec.Id));
    }

    private static RefusedException NotRunning(Vm vm) => new("vm-not-running", $"{vm.Spec.Name} is {Fields.Word(vm.State)}",
        $"start it first: 'godwit vm start {vm.Spec.Name}'");

    private Task<Operation> EndAsync(Operation operation, string kind, string text, Action<Work>? last) =>
        stores.Operations.EndAsync(operation, Said(operation, kind, text), last);

    private static Happening Said(Operation operation, string kind, string text) => new(kind, text, operation.VmName);
}
