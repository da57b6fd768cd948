using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Power;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class PowerEndpoints
{
    public static void MapPower(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapGet("/power", () => control.PowerVerbs.ShowAsync()).Needs(Permission.SeeCluster);
        api.MapPost("/power", (PowerWish? wish) => control.PowerVerbs.SetAsync(wish ?? new PowerWish()))
            .Needs(Permission.RunHosts, Traits.Recorded);
        api.MapPost("/power/hold", (PowerHoldWish wish) => control.PowerVerbs.HoldAsync(wish)).Needs(Permission.RunHosts, Traits.Recorded);
        api.MapPost("/power/recommendations/{id}/apply", async (string id, HttpContext http) =>
            await AcceptedAsync(control, await control.PowerVerbs.ApplyAsync(id, Gate.ActorOf(http).Name))).Needs(Permission.RunHosts);
        api.MapPost("/power/recommendations/{id}/dismiss", async (string id) =>
            await control.Views.HostAsync(await control.PowerVerbs.DismissAsync(id))).Needs(Permission.RunHosts);
        api.MapPost("/hosts/{host}/standby", async (string host, HttpContext http) =>
        {
            await control.PowerVerbs.StandbyAsync(new HostId(host), Gate.ActorOf(http).Name);
            return await AcceptedAsync(control, new HostId(host));
        }).Needs(Permission.RunHosts);
        api.MapPost("/hosts/{host}/wake", async (string host, HttpContext http) =>
        {
            await control.PowerVerbs.WakeAsync(new HostId(host), Gate.ActorOf(http).Name);
            return await AcceptedAsync(control, new HostId(host));
        }).Needs(Permission.RunHosts);
    }

    private static async Task<Accepted<HostView>> AcceptedAsync(ControlPlane control, HostId host) =>
        TypedResults.Accepted($"/api/v1/hosts/{host}", await control.Views.HostAsync(host));
}
