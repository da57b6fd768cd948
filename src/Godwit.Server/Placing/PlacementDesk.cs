using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Balancing;
using Godwit.Server.Draining;
using Godwit.Server.Loads;
using Godwit.Server.Store;

namespace Godwit.Server.Placing;

/// <summary>Reads what placing a VM is decided by: for starts, moves, drains, recoveries and checks alike.</summary>
public sealed class PlacementDesk(Stores stores, LoadWatch loads, TimeProvider time)
{
    /// <summary>Told of a VM that found no host, and why: more room may be made for it.</summary>
    public Action<PlacementVm, IReadOnlyList<Refusal>>? Homeless { private get; set; }

    public async Task<PlacementScene> LookAsync() => new(await SnapshotAsync(), await stores.Placement.PolicyAsync());

    public void Tell(PlacementVm homeless, IReadOnlyList<Refusal> against) => Homeless?.Invoke(homeless, against);

    /// <summary>Every host for a VM, the best first, with what speaks for or against it.</summary>
    public async Task<IReadOnlyList<HostRating>> RateAsync(Vm vm)
    {
        var scene = await LookAsync();
        return PlacementCheck.Rate(scene.View, scene.Of(vm));
    }

    private async Task<ClusterSnapshot> SnapshotAsync()
    {
        var draining = (await stores.Drains.UnfinishedAsync()).Where(d => d.Kind == DrainKind.Away).Select(d => d.Host).ToHashSet();
        return new ClusterSnapshot(time.GetUtcNow(), await stores.Hosts.RoomsAsync(), await stores.Vms.ListAsync(),
            await stores.Moves.UnfinishedAsync(), new HashSet<VmId>(), draining, loads.Of, loads.Of)
        { PinsUnmeasured = false };
    }
}
