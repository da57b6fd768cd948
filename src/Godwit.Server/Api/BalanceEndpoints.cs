using Godwit.Core.Access;
using Godwit.Server.Balancing;
using Godwit.Server.Replaying;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class BalanceEndpoints
{
    public static void MapBalance(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapPost("/balance/plan", (BalanceWish? wish, CancellationToken leave) =>
            control.Balance.PlanAsync(wish ?? new BalanceWish(), leave)).Needs(Permission.SeeCluster);
        api.MapPost("/balance/replay", (ReplayWish? wish, CancellationToken leave) =>
            control.Replays.RunAsync(wish ?? new ReplayWish(), leave)).Needs(Permission.SeeCluster);
        api.MapGet("/balancer", () => control.BalancerVerbs.ShowAsync()).Needs(Permission.SeeCluster);
        api.MapPost("/balancer", (BalancerWish? wish) => control.BalancerVerbs.SetAsync(wish ?? new BalancerWish()))
            .Needs(Permission.RunHosts, Traits.Recorded);
        api.MapPost("/balancer/vms/{vm}", (string vm, VmModeWish? wish) => control.BalancerVerbs.SetVmAsync(vm, wish?.Mode))
            .Needs(Permission.MakeVms, Traits.Recorded);
        api.MapPost("/balancer/recommendations/{id}/apply", (string id) => control.BalancerVerbs.ApplyAsync(id))
            .Needs(Permission.MoveVms);
        api.MapPost("/balancer/recommendations/{id}/dismiss", (string id) => control.BalancerVerbs.DismissAsync(id))
            .Needs(Permission.MoveVms);
    }
}
