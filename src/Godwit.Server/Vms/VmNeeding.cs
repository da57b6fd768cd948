using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Hosts;

namespace Godwit.Server.Vms;

/// <summary>What a VM that exists needs of a host. Pure.</summary>
public static class VmNeeding
{
    /// <summary>Its pools are the very directories its owner has under their names.</summary>
    public static VmNeeds Of(Vm vm, IReadOnlyList<HostRoom> rooms)
    {
        var home = rooms.FirstOrDefault(r => r.Host.Id == vm.Owner);
        return new VmNeeds(
            vm.Spec.MemoryBytes,
            [
                .. vm.Spec.Disks.Select(d => d.Pool).Distinct().Select(pool => new NeededPool(
                    pool, home?.Shares.GetValueOrDefault(pool) ?? "not proved", vm.Owner.Value)),
            ],
            [.. vm.Spec.Nics.Select(n => n.Bridge).Distinct()], vm.Spec.Accelerator);
    }

    /// <summary>The checks of a cold move, for a VM that is brought to another host while nothing of it runs.</summary>
    public static Migration AsColdMove(Vm vm, HostId target) => new()
    {
        Id = new MoveId("mv-000000000000"),
        Vm = vm.Spec.Id,
        VmName = vm.Spec.Name,
        Source = vm.Owner,
        Target = target,
        Mode = MoveMode.Cold,
        Limits = new MoveLimits(),
        Epoch = vm.Epoch,
        Phase = Phase.Checking,
        CreatedAt = vm.CreatedAt,
    };
}
