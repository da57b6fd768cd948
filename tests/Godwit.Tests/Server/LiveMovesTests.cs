using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Server.Migrations;
using Xunit;

namespace Godwit.Tests.Control;

public sealed class LiveMovesTests
{
    private static readonly Migration move = new()
    {
        Id = new MoveId("mv-1"), Vm = new VmId("vm-1"), VmName = "web", Source = new HostId("h1"), Target = new HostId("h2"),
        Mode = MoveMode.Live, Limits = new MoveLimits(), Epoch = new Epoch(1), Phase = Phase.Cleaning, CreatedAt = DateTimeOffset.UnixEpoch,
    };

    [Fact]
    public async Task A_move_that_ends_between_being_found_and_being_watched_is_shown_with_its_end()
    {
        var (live, store) = (new LiveMoves(), move);
        live.Begin(move);
        var watch = live.WatchAsync(move.Id, () => Task.FromResult(store), CancellationToken.None); // Whoever asks has found it unfinished.
        store = move with { End = MoveEnd.Done };
        live.End(store);
        var seen = new List<Migration>();
        await foreach (var word in watch) seen.Add(word);
        Assert.Equal(MoveEnd.Done, Assert.Single(seen).End);
    }

    [Fact]
    public async Task A_move_that_goes_on_is_shown_from_memory_until_its_end()
    {
        var live = new LiveMoves();
        live.Begin(move);
        await using var words = live.WatchAsync(move.Id, () => throw new InvalidOperationException("it is not in the store yet"), default)
            .GetAsyncEnumerator();
        Assert.True(await words.MoveNextAsync());
        Assert.Null(words.Current.End);
        var next = words.MoveNextAsync();
        live.End(move with { End = MoveEnd.Done });
        Assert.True(await next);
        Assert.Equal(MoveEnd.Done, words.Current.End);
        Assert.False(await words.MoveNextAsync());
    }
}
