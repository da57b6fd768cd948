using Godwit.Core.Access;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class SnapshotEndpoints
{
    public static void MapSnapshots(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapGet("/vms/{vm}/snapshots", async (string vm) =>
            (IReadOnlyList<VmSnapshot>)[.. (await control.Vms.FindAsync(vm)).Snapshots.Reverse()]).Needs(Permission.SeeCluster);
        api.MapPost("/vms/{vm}/snapshots", (string vm, SnapshotRequest? wish, HttpContext http) =>
            VmEndpoints.DoAsync(control, http, OperationKind.Snapshot, vm,
                o => o with { Snapshot = wish?.Name, Note = wish?.Note, By = Gate.ActorOf(http).Name }))
            .Produces<VmView>(StatusCodes.Status201Created).Needs(Permission.SnapshotVms, Traits.Recorded);
        api.MapPost("/vms/{vm}/snapshots/{snapshot}/revert", (string vm, string snapshot, HttpContext http) =>
            VmEndpoints.DoAsync(control, http, OperationKind.Revert, vm, o => o with { Snapshot = snapshot }))
            .Produces<VmView>().Needs(Permission.SnapshotVms);
        api.MapDelete("/vms/{vm}/snapshots/{snapshot}", (string vm, string snapshot, HttpContext http) =>
            VmEndpoints.DoAsync(control, http, OperationKind.DropSnapshot, vm, o => o with { Snapshot = snapshot }))
            .Produces(StatusCodes.Status204NoContent).Needs(Permission.SnapshotVms);
    }
}
