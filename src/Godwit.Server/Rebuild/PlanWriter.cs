using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Rebuild;
using Godwit.Server.Operations;
using Godwit.Server.Store;

namespace Godwit.Server.Rebuild;

/// <summary>
/// A VM by its hosts' words into the store: record, what freezes it, its unsettled moves. Inside a transaction of the
/// caller.
/// </summary>
internal static class PlanWriter
{
    /// <summary>Null, or why it cannot be. Its owner's host must be in the store.</summary>
    public static Refusal? Put(Work work, PlannedVm planned, DateTimeOffset now)
    {
        var (vm, id) = (planned.Vm, planned.Vm.Spec.Id);
        if (VmStore.Find(work, id) is not null) VmStore.Settle(work, vm);
        else if (VmStore.Insert(work, vm with { Spec = WithKnownTemplate(work, vm.Spec) }) is { } refusal) return refusal;
        else if (vm.SavedFile is not null) VmStore.SetState(work, id, vm.Epoch, vm.State, vm.SavedFile);
        FreezeStore.Lift(work, id);
        if (planned.Frozen.Count > 0) FreezeStore.Put(work, id, planned.Frozen, now);
        foreach (var move in planned.Moves) PutMove(work, move, now);
        return null;
    }

    /// <summary>As <see cref="Put"/>, in a store that is in use: null, or why it is left as it is.</summary>
    public static Refusal? PutIfFree(Work work, PlannedVm planned, DateTimeOffset now)
    {
        var spec = planned.Vm.Spec;
        if (VmStore.Find(work, spec.Id) is null && !VmStore.IsFree(work, spec.Uid, spec.Nics.Select(n => n.Mac)))
            return new Refusal("numbers-taken",
                $"another VM has the uid or a network address of {spec.Name}", "look at both on their hosts");
        return work.Number("SELECT COUNT(*) FROM operations WHERE vm = @id AND ended = 0", ("@id", spec.Id.Value)) > 0
            ? new Refusal("vm-busy", $"something is being done with {spec.Name}", "it is tried again") : Put(work, planned, now);
    }

    private static void PutMove(Work work, Migration move, DateTimeOffset now)
    {
        if (MoveStore.Find(work, move.Id) is not null)
        {
            // An older store knows more of it; whether it goes on, the hosts do.
            if (move.End is not null) return;
            MoveStore.Reopen(work, move.Id, fenced: null);
            OperationStore.Reopen(work, move);
            return;
        }
        MoveStore.Insert(work, move);
        if (move.End is not null)
            work.Execute("UPDATE migrations SET ended = 1 WHERE id = @id", ("@id", move.Id.Value));
        OperationStore.Take(work, new Operation
        {
            Id = move.Id.Value, Kind = OperationKind.Migrate, Vm = move.Vm, VmName = move.VmName, CreatedAt = move.CreatedAt,
            EndedAt = move.EndedAt,
        });
        EventStore.Append(work, new Happening("move-found",
            $"{move.VmName}: its move from {move.Source} to {move.Target} was found on its hosts"
            + (move.End is null ? " and goes on" : $": {move.Reason}"), move.VmName, move.Source.Value, move.Id.Value), now);
    }

    /// <summary>A template whose file no host showed: the disk says by itself what it stands on.</summary>
    private static Core.Vms.VmSpec WithKnownTemplate(Work work, Core.Vms.VmSpec spec) => spec.Template is { } name
        && !TemplateStore.Has(work, name, spec.TemplateVersion ?? 1) ? spec with { Template = null, TemplateVersion = null } : spec;
}
