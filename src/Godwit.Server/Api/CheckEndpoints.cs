using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Audit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>What is not as it should be, and putting it right.</summary>
internal static class CheckEndpoints
{
    public static void MapChecks(this IEndpointRouteBuilder api, ControlPlane control, AuditAnchor anchor)
    {
        api.MapGet("/check", async (CancellationToken leave) =>
                await control.Checks.CheckAsync(repair: false, await HeadAsync(anchor, leave), leave))
            .Needs(Permission.SeeCluster);
        api.MapPost("/check", async (CheckRequest wish, CancellationToken leave) =>
                await control.Checks.CheckAsync(wish.Repair, await HeadAsync(anchor, leave), leave))
            .Needs(Permission.RunHosts, Traits.Recorded);
        api.MapPost("/vms/{vm}/adopt", async (string vm, AdoptRequest wish, HttpContext http, CancellationToken leave) =>
        {
            AuditNotes.Name(http, $"vms/{vm}");
            var gone = (wish.Gone ?? []).Select(g => new HostId(g)).ToList();
            if (gone.Count > 0 && gone.Concat(wish.On is { } on ? [new HostId(on)] : []).Any(h => !Names.IsValid(h.Value)))
                throw new RefusedException("bad-name", "that cannot be a host's name", $"a name is {Names.Rule}");
            var settled = await control.Settling.AdoptAsync(vm, wish.On is null ? null : new HostId(wish.On), gone, leave);
            return await control.Views.VmAsync(settled);
        }).Needs(Permission.RunHosts, Traits.Recorded);
    }

    /// <summary>A damaged file is no reason not to look: the chain itself is looked at all the same.</summary>
    private static async Task<AuditHead?> HeadAsync(AuditAnchor anchor, CancellationToken cancel)
    {
        try { return await anchor.ReadAsync(cancel); }
        catch (RefusedException) { return null; }
    }
}

/// <param name="Repair">Also put right what can be without a person.</param>
public sealed record CheckRequest(bool Repair = false);

/// <param name="On">The host that is to own it, by a person's word; null: what the hosts' records prove.</param>
/// <param name="Gone">Hosts that are off for good: their silence counts no longer.</param>
public sealed record AdoptRequest(string? On = null, IReadOnlyList<string>? Gone = null);
