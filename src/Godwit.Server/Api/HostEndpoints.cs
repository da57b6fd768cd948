using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Fencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class HostEndpoints
{
    private const string NoFence = "none";

    public static void MapHosts(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapGet("/hosts", () => control.Views.HostsAsync()).Needs(Permission.SeeCluster);
        api.MapGet("/hosts/{host}", (string host) => control.Views.HostAsync(new HostId(host)))
            .Needs(Permission.SeeCluster);
        api.MapPost("/hosts", async Task<Created<HostView>> (AddHostRequest wish, CancellationToken leave) =>
        {
            var host = await control.Hosts.AddAsync(new HostId(wish.Name), wish.Endpoint, leave);
            return TypedResults.Created($"/api/v1/hosts/{host.Id}", await control.Views.HostAsync(host.Id));
        }).Needs(Permission.RunHosts, Traits.Recorded);
        api.MapPost("/hosts/{host}/cordon", (string host) => CordonAsync(control, host, true)).Needs(Permission.RunHosts);
        api.MapPost("/hosts/{host}/uncordon", (string host) => CordonAsync(control, host, false)).Needs(Permission.RunHosts);
        api.MapPost("/hosts/{host}/revoke", async (string host) =>
        {
            await control.Certificates.RevokeAsync(new HostId(host));
            return await control.Views.HostAsync(new HostId(host));
        }).Needs(Permission.RunHosts);
        api.MapPost("/hosts/{host}/settings", async (string host, HostSettingsRequest wish, CancellationToken leave) =>
        {
            if (wish.Fence is { } fence)
                await control.Fencing.SetFenceAsync(new HostId(host), fence == NoFence ? null : fence, leave);
            await control.PowerVerbs.SetHostAsync(
                new HostId(host), wish.PowerOff, wish.PowerOn, wish.PowerState, wish.IdleWatts, leave);
            await control.Placement.SetHostAsync(new HostId(host), wish);
            return await control.Views.HostAsync(new HostId(host));
        }).Needs(Permission.RunHosts, Traits.Recorded);
        api.MapPost("/hosts/{host}/fence", async Task<Accepted<HostRecovery>> (string host, HttpContext http, CancellationToken leave) =>
            TypedResults.Accepted($"/api/v1/hosts/{host}/recovery",
                await control.Fencing.FenceAsync(new HostId(host), Gate.ActorOf(http).Name, leave)))
            .Needs(Permission.RunHosts);
        api.MapPost("/hosts/{host}/recover", async Task<Accepted<HostRecovery>> (
            string host, RecoverHostRequest? wish, HttpContext http, CancellationToken leave) =>
            TypedResults.Accepted($"/api/v1/hosts/{host}/recovery", await control.Fencing.RecoverAsync(
                new HostId(host), wish?.Fenced ?? false, wish?.Confirm, Gate.ActorOf(http).Name, leave)))
            .Needs(Permission.RunHosts, Traits.Recorded);
        api.MapGet("/hosts/{host}/recovery", async (string host) =>
            await control.Stores.Fences.NewestAsync(new HostId(host)) ?? throw new RefusedException(
                "recovery-not-found", $"{host} was never fenced or recovered", $"'godwit host show {host}' tells how it is"))
            .Needs(Permission.SeeCluster);
        api.MapDelete("/hosts/{host}", async Task<NoContent> (string host) =>
        {
            await control.Certificates.RemoveAsync(new HostId(host));
            return TypedResults.NoContent();
        }).Needs(Permission.RunHosts);
    }

    private static async Task<HostView> CordonAsync(ControlPlane control, string host, bool cordoned)
    {
        await control.Hosts.CordonAsync(new HostId(host), cordoned);
        return await control.Views.HostAsync(new HostId(host));
    }
}
