using Godwit.Core.Access;
using Godwit.Server.Balancing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class BalanceEndpoints
{
    public static void MapBalance(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapPost("/balance/plan", (BalanceWish? wish, CancellationToken leave) =>
            control.Balance.PlanAsync(wish ?? new BalanceWish(), leave)).Needs(Permission.SeeCluster);
        api.MapGet("/vms/{vm}/placement", async (string vm) =>
            await control.Balance.RateAsync(await control.Vms.FindAsync(vm))).Needs(Permission.SeeCluster);
    }
}
