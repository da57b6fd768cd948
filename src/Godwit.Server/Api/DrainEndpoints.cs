using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Migration;
using Godwit.Server.Draining;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class DrainEndpoints
{
    private const int DeadlineSecondsMax = 7 * 24 * 3600;

    public static void MapDrains(this IEndpointRouteBuilder api, ControlPlane control, TimeProvider time)
    {
        api.MapGet("/hosts/{host}/drain", async (string host) =>
            await control.Stores.Drains.LatestAsync(new HostId(host)) ?? throw new RefusedException(
                "drain-not-found", $"{host} was never drained", $"'godwit host drain {host} --dry-run' shows what would happen"))
            .Needs(Permission.SeeCluster);
        api.MapPost("/hosts/{host}/drain", async Task<Results<Ok<DrainPlan>, Accepted<Drain>>> (string host, DrainRequest? wish) =>
        {
            var limits = Limits(wish ?? new DrainRequest(), time);
            if (wish?.DryRun == true) return TypedResults.Ok(await control.Drains.PlanAsync(new HostId(host), limits));
            return TypedResults.Accepted($"/api/v1/hosts/{host}/drain", await control.Drains.BeginAsync(new HostId(host), limits));
        }).Needs(Permission.RunHosts, Traits.Recorded);
        api.MapPost("/hosts/{host}/drain/cancel", async Task<Accepted<Drain>> (string host) =>
            TypedResults.Accepted($"/api/v1/hosts/{host}/drain", await control.Drains.CancelAsync(new HostId(host))))
            .Needs(Permission.RunHosts, Traits.Safety);
        api.MapPost("/hosts/{host}/restore", async Task<Accepted<Drain>> (string host, RestoreHostRequest? wish) =>
            TypedResults.Accepted($"/api/v1/hosts/{host}/drain",
                await control.Drains.RestoreAsync(new HostId(host), wish?.Return ?? true)))
            .Needs(Permission.RunHosts, Traits.Recorded);
    }

    private static DrainLimits Limits(DrainRequest wish, TimeProvider time)
    {
        if (wish.DeadlineSeconds is < 1 or > DeadlineSecondsMax)
            throw new RefusedException("bad-deadline", $"a deadline in {wish.DeadlineSeconds} s",
                $"1 to {DeadlineSecondsMax} s are possible");
        return new DrainLimits(wish.Mode, wish.QuickWhereBlocked, wish.AllowPartial,
            wish.DeadlineSeconds is { } seconds ? time.GetUtcNow().AddSeconds(seconds) : null, wish.TakePinned);
    }
}

/// <summary>POST /api/v1/hosts/{host}/drain.</summary>
/// <param name="Mode">How running VMs leave: live or quick.</param>
/// <param name="QuickWhereBlocked">Consent to move a VM quick (paused meanwhile) whose live moves all failed.</param>
/// <param name="AllowPartial">Begin although some VMs have no place.</param>
/// <param name="DeadlineSeconds">No move begins later than this from now; null is never.</param>
/// <param name="TakePinned">VMs that are pinned to it leave it, too.</param>
/// <param name="DryRun">Answer 200 with a <see cref="DrainPlan"/> instead of beginning (202).</param>
public sealed record DrainRequest(
    MoveMode Mode = MoveMode.Live, bool QuickWhereBlocked = false, bool AllowPartial = false, int? DeadlineSeconds = null,
    bool DryRun = false, bool TakePinned = false);

/// <summary>POST /api/v1/hosts/{host}/restore.</summary>
/// <param name="Return">Bring back what the last drain moved away.</param>
public sealed record RestoreHostRequest(bool Return = true);
