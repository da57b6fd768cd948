using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class MigrationEndpoints
{
    private const int ListDefault = 100;

    public static void MapMigrations(this IEndpointRouteBuilder api, ControlPlane control, Streams streams, CancellationToken stopping)
    {
        api.MapGet("/migrations", async (string? vm, bool? active, int? limit) =>
        {
            VmId? id = vm is null ? null : (await control.Vms.FindAsync(vm)).Spec.Id;
            var count = Math.Clamp(limit ?? ListDefault, 1, ApiLimits.ListMax);
            return (await control.Stores.Moves.ListAsync(id, active ?? false, count)).Select(control.Live.Fresh);
        }).Needs(Permission.SeeCluster);
        api.MapGet("/links", () => control.LinkTests.ListAsync()).Needs(Permission.SeeCluster);
        api.MapPost("/links/test", (LinkTestRequest? wish, CancellationToken leave) =>
            control.LinkTests.TestAsync(wish?.Source, wish?.Target, leave)).Needs(Permission.RunHosts);
        api.MapGet("/stats/promises", () => control.Quotes.ScoresAsync()).Needs(Permission.SeeCluster);
        api.MapGet("/migrations/{move}", async (string move) => control.Live.Fresh(await FindAsync(control, move)))
            .Needs(Permission.SeeCluster);
        api.MapPost("/migrations/{move}/cancel", async Task<Accepted<Migration>> (string move) =>
            TypedResults.Accepted($"/api/v1/migrations/{move}",
                await control.Migrations.CancelAsync(new MoveId(move)) ?? throw NotFound(move)))
            .Needs(Permission.MoveVms, Traits.Safety);
        api.MapPost("/migrations/{move}/repair", async Task<Accepted<Migration>> (string move, RepairMoveRequest? wish) =>
            TypedResults.Accepted($"/api/v1/migrations/{move}", await control.Migrations.RepairAsync(
                new MoveId(move), wish?.Fenced is { } host ? new HostId(host) : null)))
            .Needs(Permission.RunHosts, Traits.Recorded);
        api.MapGet("/migrations/{move}/events", async Task<ServerSentEventsResult<Migration>> (string move, CancellationToken leave) =>
            TypedResults.ServerSentEvents(WatchAsync(control, streams.Enter(), await FindAsync(control, move), Either(leave, stopping))))
            .Needs(Permission.SeeCluster);
    }

    private static async IAsyncEnumerable<SseItem<Migration>> WatchAsync(
        ControlPlane control, IDisposable place, Migration stored, CancellationTokenSource leave)
    {
        using var held = place;
        using var either = leave;
        await using var words = control.Live.WatchAsync(stored.Id, () => FindAsync(control, stored.Id.Value), leave.Token)
            .GetAsyncEnumerator(leave.Token);
        while (await NextAsync(words))
            yield return new SseItem<Migration>(words.Current, words.Current.End is null ? "move" : "end");
    }

    /// <summary>The client left, or the server stops: the stream ends, and that is no error.</summary>
    internal static async Task<bool> NextAsync<T>(IAsyncEnumerator<T> words)
    {
        try
        {
            return await words.MoveNextAsync();
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    internal static CancellationTokenSource Either(CancellationToken leave, CancellationToken stopping) =>
        CancellationTokenSource.CreateLinkedTokenSource(leave, stopping);

    private static async Task<Migration> FindAsync(ControlPlane control, string move) =>
        await control.Stores.Moves.FindAsync(new MoveId(move)) ?? throw NotFound(move);

    private static RefusedException NotFound(string move) =>
        new("migration-not-found", $"there is no migration {move}", "see 'godwit migration list'");
}
