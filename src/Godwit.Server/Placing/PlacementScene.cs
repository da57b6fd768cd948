using Godwit.Core;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Balancing;
using Godwit.Server.Hosts;

namespace Godwit.Server.Placing;

/// <summary>The cluster as whoever places a VM sees it: as of one moment, with the rules and the policy that hold. Pure.</summary>
public sealed class PlacementScene(ClusterSnapshot now, PlacementPolicy policy)
{
    private readonly Lazy<PlacementView> _view = new(() => ClusterPicture.Of(now, policy));

    public ClusterSnapshot Now => now;
    public PlacementPolicy Policy => policy;
    public IReadOnlyList<HostRoom> Rooms => now.Rooms;
    public PlacementView View => _view.Value;

    /// <summary>A VM that there is, running or not.</summary>
    public PlacementVm Of(Vm vm) => ClusterPicture.VmOf(vm, now);

    public HostPick Best(Vm vm, Func<HostId, bool> isMeant, Overridden overridden) => HostPick.Best(View, Of(vm), isMeant, overridden);

    /// <summary>Throws <see cref="RefusedException"/> where there is no such host.</summary>
    public HostPick Named(Vm vm, HostId host, Overridden overridden) =>
        HostPick.Named(View, Of(vm), (View.Find(host) ?? throw HostVerbs.NotFound(host)).Id, overridden);

    /// <summary>On the host whose it is, as if it ran there already: a cordon is no reason then, a rule is.</summary>
    public HostPick AtHome(Vm vm, Overridden overridden)
    {
        var view = View.With(Of(vm), vm.Owner);
        return HostPick.Named(view, view.Vms[^1], (View.Find(vm.Owner) ?? throw HostVerbs.NotFound(vm.Owner)).Id, overridden);
    }

    /// <summary>The same, with this host being emptied.</summary>
    public PlacementScene WithDrainOf(HostId host) => new(now with { Draining = now.Draining.Append(host).ToHashSet() }, policy);
}
