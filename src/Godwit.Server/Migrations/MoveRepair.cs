using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;

namespace Godwit.Server.Migrations;

/// <summary>
/// Which moves can be taken up again: those that ended with nobody knowing where the guest is. Pure. Repairing decides
/// nothing by itself: both hosts are asked as at the first time, and only what they prove counts. A host that will never
/// answer is named by a person (<c>--fenced</c>); then its copy counts as lost, which is not the same as "never ran".
/// </summary>
internal static class MoveRepair
{
    public static Refusal? WhyNot(MoveId id, Migration? move, Vm? vm, HostId? fenced)
    {
        if (move is null) return new("migration-not-found", $"there is no migration {id}", "see 'godwit migration list'");
        if (move.End != MoveEnd.NeedsOperator || vm is null || move.Phase < Phase.Memory || move.Mode == MoveMode.Cold)
            return new("move-not-in-doubt", $"{id} left nothing to repair: {State(move)}",
                $"'godwit vm show {move.VmName}' says where the VM is");
        if (vm.State != VmState.Unknown)
            return new("vm-settled", $"{move.VmName} is known again: on {vm.Owner}, {vm.State.ToString().ToLowerInvariant()}",
                vm.State == VmState.Crashed ? $"'godwit vm start {move.VmName}' boots it from its disk" : "nothing is left to do");
        if (fenced is { } host && host != move.Source && host != move.Target)
            return new("host-not-in-move", $"{host} had no part in {id}", $"its hosts are {move.Source} and {move.Target}");
        return null;
    }

    public static Refusal Superseded(Migration move) => new("move-not-in-doubt",
        $"{move.VmName} has moved since {move.Id}", $"'godwit vm show {move.VmName}' says where the VM is");

    private static string State(Migration move) =>
        move.End is null ? "it goes on" : $"it ended as {move.End.ToString()!.ToLowerInvariant()}";
}
