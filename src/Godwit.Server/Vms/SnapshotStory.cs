using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Operations;
using Godwit.Server.Store;

namespace Godwit.Server.Vms;

/// <summary>
/// What happens when someone presses snapshot, revert, or delete of one. As the other verbs of a VM: with its one operation held, run
/// again from the top by a restarted server.
/// </summary>
internal sealed class SnapshotStory(Stores stores, AgentDirectory agents)
{
    public Task<Operation> RunAsync(Operation operation, Vm vm, CancellationToken stopping) => operation.Kind switch
    {
        OperationKind.Snapshot => MakeAsync(operation, vm, stopping),
        OperationKind.Revert => RevertAsync(operation, vm, stopping),
        _ => DropAsync(operation, vm, stopping),
    };

    /// <summary>Recorded first: what broke off is seen, and can be deleted.</summary>
    private async Task<Operation> MakeAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        var snapshot = vm.Snapshots.FirstOrDefault(s => s.Tag == SnapshotRules.TagOf(s.Name, operation.Id));
        var isAgain = snapshot is not null;
        if (snapshot is null)
        {
            var name = operation.Snapshot ?? SnapshotRules.FreeName(vm);
            Demand(SnapshotRules.WhyNotMade(vm, name, operation.Note));
            snapshot = new VmSnapshot(name, SnapshotRules.TagOf(name, operation.Id), operation.CreatedAt)
            {
                By = operation.By, Note = PersonsNote.Kept(operation.Note),
            };
            vm = await stores.Vms.SetSnapshotsAsync(vm.Spec.Id, all => all.Append(snapshot));
        }
        var order = new SnapshotOrder(vm.Spec, vm.Epoch, snapshot.Tag);
        SnapshotMade made;
        try { made = await agents.Of(vm.Owner).MakeSnapshotAsync(order, stopping); }
        catch (RefusedException refused)
        {
            var mayBeThere = isAgain || refused.Reasons[0].Code is "snapshot-failed" or "snapshot-torn";
            if (!mayBeThere || await IsDroppedAsync(vm, order, stopping))
                await stores.Vms.SetSnapshotsAsync(vm.Spec.Id, all => all.Where(s => s.Tag != order.Tag));
            throw;
        }
        var whole = snapshot with { IsWhole = true, IsCrashConsistent = made.IsCrashConsistent };
        var how = made.IsCrashConsistent ? ", crash-consistent: it was not stopped" : "";
        return await EndAsync(operation, "snapshot-made", $"snapshot {snapshot.Name} of {vm.Spec.Name} made{how}",
            work => VmStore.SetSnapshots(work, vm.Spec.Id, all => all.Select(s => s.Tag == snapshot.Tag ? whole : s)));
    }

    /// <summary>Some disks may have it already. Where that cannot be undone now, its record stays, unfinished.</summary>
    private async Task<bool> IsDroppedAsync(Vm vm, SnapshotOrder order, CancellationToken stopping)
    {
        try { await agents.Of(vm.Owner).DropSnapshotAsync(order, stopping); }
        catch (Exception stuck) when (stuck is AgentUnreachableException or RefusedException) { return false; }
        return true;
    }

    /// <summary>With an epoch of its own, as a boot: an order of before that comes late, another revert say, changes nothing.</summary>
    private async Task<Operation> RevertAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        Demand(SnapshotRules.WhyNotReverted(vm, operation.Snapshot ?? ""));
        var snapshot = vm.Snapshots.First(s => s.Name == operation.Snapshot);
        if (!operation.EpochTaken)
        {
            operation = operation with { EpochTaken = true };
            vm = await stores.Operations.RecordBootAsync(operation, vm);
        }
        await agents.Of(vm.Owner).RevertToSnapshotAsync(new SnapshotOrder(vm.Spec, vm.Epoch, snapshot.Tag), stopping);
        return await EndAsync(operation, "snapshot-reverted",
            $"the disks of {vm.Spec.Name} are as in snapshot {snapshot.Name} of {snapshot.CreatedAt:yyyy-MM-dd HH:mm:ss} UTC",
            work => VmStore.SetState(work, vm.Spec.Id, vm.Epoch, VmState.Stopped, null));
    }

    private async Task<Operation> DropAsync(Operation operation, Vm vm, CancellationToken stopping)
    {
        if (vm.Snapshots.FirstOrDefault(s => s.Name == operation.Snapshot) is not { } snapshot)
            throw new RefusedException([SnapshotRules.NotFound(vm, operation.Snapshot ?? "")]);
        await agents.Of(vm.Owner).DropSnapshotAsync(new SnapshotOrder(vm.Spec, vm.Epoch, snapshot.Tag), stopping);
        return await EndAsync(operation, "snapshot-deleted", $"snapshot {snapshot.Name} of {vm.Spec.Name} deleted",
            work => VmStore.SetSnapshots(work, vm.Spec.Id, all => all.Where(s => s.Tag != snapshot.Tag)));
    }

    private Task<Operation> EndAsync(Operation operation, string kind, string text, Action<Work> last) =>
        stores.Operations.EndAsync(operation, new Happening(kind, text, operation.VmName), last);

    private static void Demand(IEnumerable<Refusal> reasons)
    {
        var against = reasons.ToList();
        if (against.Count > 0) throw new RefusedException(against);
    }
}
