using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Hosts;
using Godwit.Core.Loads;
using Godwit.Core.Vms;
using Godwit.Server.Hosts;
using Godwit.Server.Loads;
using Godwit.Server.Store;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class LoadEndpoints
{
    private const int HoursDefault = 6, HoursMax = 30 * 24;

    public static void MapLoads(this IEndpointRouteBuilder api, ControlPlane control, TimeProvider time)
    {
        api.MapGet("/hosts/{host}/load", async (string host, int? hours) =>
        {
            var id = new HostId(host);
            if (await control.Stores.Hosts.FindAsync(id) is null) throw HostVerbs.NotFound(id);
            return new LoadView(control.Loads.Of(id), await HistoryAsync($"host/{id}", hours), control.Loads.PointsOf(id));
        }).Needs(Permission.SeeCluster);
        api.MapGet("/vms/{vm}/load", async (string vm, int? hours) =>
        {
            var id = (await control.Vms.FindAsync(vm)).Spec.Id;
            return new LoadView(control.Loads.Of(id), await HistoryAsync($"vm/{id}", hours), control.Loads.PointsOf(id));
        }).Needs(Permission.SeeCluster);

        api.MapGet("/load", async () => new ClusterLoadView(
            [.. (await control.Stores.Hosts.ListAsync()).Select(h => new HostLoadView(
                h.Id, h.State, h.Facts?.Cpus ?? 0, h.Facts?.MemoryBytes ?? 0, control.Loads.Of(h.Id)))],
            [.. (await control.Stores.Vms.ListAsync()).Where(v => v.State is VmState.Running or VmState.Paused).Select(v => new VmLoadView(
                v.Spec.Id, v.Spec.Name, v.Owner, v.Spec.Cpus, v.Spec.MemoryBytes, control.Loads.Of(v.Spec.Id)))]))
            .Needs(Permission.SeeCluster);

        Task<List<LoadRow>> HistoryAsync(string thing, int? hours)
        {
            var now = time.GetUtcNow();
            return control.Stores.Loads.HistoryAsync(thing, now.AddHours(-Math.Clamp(hours ?? HoursDefault, 1, HoursMax)), now);
        }
    }
}

/// <summary>GET …/load.</summary>
/// <param name="Window">The last half hour summed up; null where nothing was heard in it.</param>
/// <param name="History">Oldest first: 5 min a row up to a day back, an hour a row beyond.</param>
/// <param name="Points">The last half hour itself, oldest first: 10 s a point.</param>
public sealed record LoadView(LoadWindow? Window, IReadOnlyList<LoadRow> History, IReadOnlyList<LoadPoint> Points);

/// <summary>GET /load: everything that runs, with its last half hour.</summary>
public sealed record ClusterLoadView(IReadOnlyList<HostLoadView> Hosts, IReadOnlyList<VmLoadView> Vms);

/// <param name="Window">Null where nothing was heard in the last half hour.</param>
public sealed record HostLoadView(HostId Host, HostState State, int Cpus, long MemoryBytes, LoadWindow? Window);

/// <param name="Window">As of a host.</param>
public sealed record VmLoadView(VmId Vm, string Name, HostId Host, int Cpus, long MemoryBytes, LoadWindow? Window);
