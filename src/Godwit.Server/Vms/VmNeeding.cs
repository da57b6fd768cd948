using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Hosts;

namespace Godwit.Server.Vms;

/// <summary>What a VM that exists needs of a host. Pure.</summary>
public static class VmNeeding
{
    /// <summary>Its pools, by name, are the very directories its owner has under their names.</summary>
    public static IReadOnlyDictionary<string, string?> Pools(Vm vm, IReadOnlyList<HostRoom> rooms)
    {
        var home = rooms.FirstOrDefault(r => r.Host.Id == vm.Owner);
        return vm.Spec.Disks.Select(d => d.Pool).Distinct()
            .ToDictionary(pool => pool, pool => (string?)(home?.Shares.GetValueOrDefault(pool) ?? $"{vm.Owner}'s own"));
    }

    public static IReadOnlyList<string> Bridges(Vm vm) => [.. vm.Spec.Nics.Select(n => n.Bridge).Distinct()];

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
