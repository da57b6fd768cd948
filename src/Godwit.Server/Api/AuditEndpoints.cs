using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Audit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>The record of who did what: to be read and checked. There is no way to change it, for anybody.</summary>
internal static class AuditEndpoints
{
    private const int ListDefault = 100;

    public static void MapAudit(this IEndpointRouteBuilder api, ControlPlane control, AuditAnchor anchor)
    {
        api.MapGet("/audit", (long? after, DateTimeOffset? since, int? limit) =>
        {
            var (from, count) = (since ?? DateTimeOffset.UnixEpoch, Math.Clamp(limit ?? ListDefault, 1, ApiLimits.ListMax));
            return after is { } seq ? control.Stores.Audit.AfterAsync(seq, from, count) : control.Stores.Audit.LastAsync(from, count);
        }).Needs(Permission.ReadAudit);
        api.MapGet("/audit/verify", async (string? head, CancellationToken leave) =>
        {
            List<AuditHead> known = [];
            if (await anchor.ReadAsync(leave) is { } kept) known.Add(kept);
            if (head is not null) known.Add(AuditHead.Parse(head) ?? throw new RefusedException("bad-head",
                "that is no head of the audit", "give NUMBER:HASH as 'godwit audit verify' showed it before"));
            return await control.Audit.VerifyAsync(known);
        }).Needs(Permission.ReadAudit);
    }
}
