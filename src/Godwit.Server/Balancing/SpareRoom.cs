using Godwit.Core;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Store;

namespace Godwit.Server.Balancing;

/// <summary>Whether there is room for the VMs of hosts that die, now, and with one VM more: admission control.</summary>
public sealed class SpareRoom(Stores stores, BalanceVerbs plans)
{
    /// <summary>As people wish it; with none wished for, one host's death is looked at and nothing refused.</summary>
    public async Task<SpareVerdict> CheckAsync(CancellationToken leave)
    {
        var wished = (await stores.Balancer.SettingsAsync()).SpareHosts;
        var (view, ha) = await PictureAsync();
        return SpareCapacity.Check(view, ha, Math.Max(1, wished), leave);
    }

    /// <summary>Null, or why this VM may not start there: afterwards some VM marked ha would have no place if hosts died.</summary>
    /// <remarks>A gap that is there already does not count again: what is short is told by <c>cluster check</c>.</remarks>
    public async Task<Refusal?> WhyNotAsync(Vm vm, HostId host, CancellationToken leave)
    {
        var wished = (await stores.Balancer.SettingsAsync()).SpareHosts;
        if (wished == 0) return null;
        var (before, ha) = await PictureAsync();
        var more = new PlacementView(
            before.Hosts, [.. before.Vms.Where(v => v.Id != vm.Spec.Id), await plans.AsIfOnAsync(vm, host)], before.Policy);
        var had = SpareCapacity.Check(before, ha, wished, leave).Gaps.Select(Key).ToHashSet();
        if (vm.Ha) ha = [.. ha, vm.Spec.Id];
        var gap = SpareCapacity.Check(more, ha, wished, leave).Gaps.FirstOrDefault(g => !had.Contains(Key(g)));
        return gap is null ? null : new Refusal("ha-no-spare",
            $"with {vm.Spec.Name} on {host}, {string.Join(", ", gap.Homeless.Take(3))} could not be started again if {Hosts(gap)} died: "
            + gap.Why,
            "add memory or a host, stop something, or ask for less: 'godwit cluster balancer set --spare-hosts "
            + $"{wished - 1}'");
    }

    internal static string Hosts(SpareGap gap) => string.Join(" and ", gap.Lost);

    private static string Key(SpareGap gap) => $"{string.Join("+", gap.Lost)}: {string.Join(",", gap.Homeless)}";

    private async Task<(PlacementView View, HashSet<VmId> Ha)> PictureAsync() =>
        (await plans.PictureAsync(), (await stores.Vms.ListAsync()).Where(vm => vm.Ha).Select(vm => vm.Spec.Id).ToHashSet());
}
