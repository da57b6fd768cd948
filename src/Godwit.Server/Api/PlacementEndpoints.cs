using Godwit.Core.Access;
using Godwit.Core.Placement;
using Godwit.Server.Placing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class PlacementEndpoints
{
    public static void MapPlacement(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapGet("/vms/{vm}/placement", async (string vm) =>
            await control.Desk.RateAsync(await control.Vms.FindAsync(vm))).Needs(Permission.SeeCluster);
        api.MapGet("/placement", () => control.Stores.Placement.PolicyAsync()).Needs(Permission.SeeCluster);
        api.MapPost("/placement", (PolicyWish? wish) => control.Placement.SetPolicyAsync(wish ?? new PolicyWish()))
            .Needs(Permission.RunHosts, Traits.Recorded);
        api.MapGet("/rules", () => control.Placement.RulesAsync()).Needs(Permission.SeeCluster);
        api.MapGet("/rules/{rule}", (string rule) => control.Placement.RuleAsync(rule)).Needs(Permission.SeeCluster);
        api.MapPost("/rules", async Task<Created<RuleView>> (RuleRecord rule) =>
        {
            var view = await control.Placement.AddRuleAsync(rule);
            return TypedResults.Created($"/api/v1/rules/{rule.Name}", view);
        }).Needs(Permission.RunHosts, Traits.Recorded);
        api.MapDelete("/rules/{rule}", async Task<NoContent> (string rule) =>
        {
            await control.Placement.RemoveRuleAsync(rule);
            return TypedResults.NoContent();
        }).Needs(Permission.RunHosts);
    }
}
