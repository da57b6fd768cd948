using System.Globalization;
using System.Net.ServerSentEvents;
using Godwit.Core.Access;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class EventEndpoints
{
    private const int ListDefault = 100;

    public static void MapEvents(this IEndpointRouteBuilder api, ControlPlane control, Streams streams, CancellationToken stopping) =>
        api.MapGet("/events", async (long? after, int? limit, HttpContext http) =>
        {
            if (http.Request.Headers.Accept.ToString() == "application/json")
            {
                var count = Math.Clamp(limit ?? ListDefault, 1, ApiLimits.ListMax);
                return after is { } seq
                    ? (IResult)TypedResults.Ok(await control.Stores.Events.AfterAsync(seq, count))
                    : TypedResults.Ok(await control.Stores.Events.LastAsync(count));
            }
            var last = LastSeen(http) ?? after ?? await control.Stores.Events.LastSeqAsync();
            return TypedResults.ServerSentEvents(
                WatchAsync(control, streams.Enter(), last, MigrationEndpoints.Either(http.RequestAborted, stopping)));
        }).Produces<IReadOnlyList<EventView>>().Needs(Permission.SeeCluster);

    private static async IAsyncEnumerable<SseItem<EventView>> WatchAsync(
        ControlPlane control, IDisposable place, long last, CancellationTokenSource leave)
    {
        using var held = place;
        using var either = leave;
        await using var happened = control.Events.AfterAsync(last, leave.Token).GetAsyncEnumerator(leave.Token);
        while (await MigrationEndpoints.NextAsync(happened)) yield return happened.Current;
    }

    /// <summary>What a client sends by itself when it connects again.</summary>
    private static long? LastSeen(HttpContext http) =>
        long.TryParse(http.Request.Headers["Last-Event-ID"], NumberStyles.None, CultureInfo.InvariantCulture, out var seq) ? seq : null;
}
