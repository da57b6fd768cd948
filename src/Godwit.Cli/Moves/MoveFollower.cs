using System.Threading.Channels;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Core;
using Godwit.Core.Migration;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Godwit.Cli.Moves;

/// <summary>
/// Shows moves until each has ended: a live view on a terminal, lines of news in a pipe, JSON lines with --json.
/// Leaving (Ctrl-C) leaves the moves running and says so.
/// </summary>
/// <param name="footer">A line below the live view; null for none, its text may be.</param>
internal sealed class MoveFollower(Session session, Func<string?>? footer = null)
{
    private const int ReconnectsMax = 5;
    private static readonly TimeSpan redrawEvery = TimeSpan.FromMilliseconds(250);

    private readonly List<Migration> latest = [];

    /// <summary>The moves as they ended. On cancel: says how to come back, and throws.</summary>
    public async Task<IReadOnlyList<Migration>> FollowAsync(IReadOnlyList<Migration> begun, CancellationToken cancel)
    {
        latest.AddRange(begun);
        try
        {
            if (session.Screen.IsTerminal) await session.Screen.Rich.Live(View()).AutoClear(true).StartAsync(
                async live => await FollowAllAsync(() => live.UpdateTarget(View()), null, cancel));
            else await FollowAllAsync(() => { }, new MoveLog(session), cancel);
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            foreach (var move in latest)
                foreach (var line in Left(move)) session.Screen.Note(line);
            throw;
        }
        return latest;
    }

    private static string[] Left(Migration move) => move.End is not null
        ? [$"{move.Id} {MoveText.Title(move)}: {MoveText.Ending(move)}"]
        :
        [
            $"{move.Id} {MoveText.Title(move)}: goes on without this window.",
            $"  watch it: godwit migration watch {move.Id}",
            $"  stop it:  godwit migration cancel {move.Id}",
        ];

    private IRenderable View() => MoveView.Of(latest, session.Time.GetUtcNow(), footer?.Invoke());

    private async Task FollowAllAsync(Action redraw, MoveLog? log, CancellationToken cancel)
    {
        // One reader draws; the watchers of the single moves only hand over what they heard.
        var heard = Channel.CreateBounded<Migration>(64);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var watchers = latest.Select(move => WatchAsync(move.Id, heard.Writer, stop.Token)).ToArray();
        var allWatched = Task.WhenAll(watchers);
        _ = allWatched.ContinueWith(_ => heard.Writer.TryComplete(), TaskScheduler.Default);
        try
        {
            var more = heard.Reader.WaitToReadAsync(cancel).AsTask();
            while (true)
            {
                while (heard.Reader.TryRead(out var move))
                {
                    latest[latest.FindIndex(known => known.Id == move.Id)] = move;
                    log?.Tell(move);
                }
                redraw();
                if (more.IsCompleted && !await more) break;
                if (more.IsCompleted) more = heard.Reader.WaitToReadAsync(cancel).AsTask();
                await Task.WhenAny(more, Task.Delay(redrawEvery, session.Time, cancel));
                cancel.ThrowIfCancellationRequested();
            }
        }
        finally
        {
            stop.Cancel();
        }
        await allWatched;
        redraw();
    }

    /// <summary>A server that restarts goes on with the move: the watch takes up again, a few times.</summary>
    private async Task WatchAsync(MoveId id, ChannelWriter<Migration> heard, CancellationToken cancel)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                await foreach (var move in session.Api.WatchMoveAsync(id, cancel))
                {
                    attempt = 0;
                    await heard.WriteAsync(move, cancel);
                    if (move.End is not null) return;
                }
                if (attempt >= ReconnectsMax)
                    throw new ApiException(new ApiError("watch-ended", $"the server ended the watch of {id} before its end")
                    { Next = $"godwit migration watch {id}" });
            }
            catch (ApiException) when (attempt < ReconnectsMax)
            {
                // Told below by the attempt that is the last.
            }
            await Task.Delay(TimeSpan.FromSeconds(1), session.Time, cancel);
        }
    }
}

/// <summary>News of moves, a line each, for pipes and logs.</summary>
internal sealed class MoveLog(Session session)
{
    private readonly Dictionary<MoveId, (Migration Move, DateTimeOffset At)> told = [];

    public void Tell(Migration move)
    {
        var now = session.Time.GetUtcNow();
        if (session.Screen.IsJson)
        {
            session.Screen.DocumentLine(move);
            return;
        }
        var before = told.TryGetValue(move.Id, out var last) ? last : default;
        if (!MoveText.IsNews(before.Move, move, now - before.At)) return;
        told[move.Id] = (move, now);
        if (move.End is null) session.Screen.Line($"{move.Id} {move.VmName}: {MoveText.Now(move)}");
    }
}
