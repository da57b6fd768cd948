using System.CommandLine;
using Godwit.Cli.Moves;
using Godwit.Cli.Screens;
using Godwit.Core.Migration;

namespace Godwit.Cli.Commands;

internal static class MigrationCommands
{
    public static Command Build(Verbs verbs)
    {
        var id = new Argument<string>("ID") { Description = "The move's id: mv-…" };
        var fenced = new Option<string?>("--fenced")
        {
            Description = "This host is off and will not come back by itself: its copy counts as lost. Your word decides; "
                + "if it still runs there, the VM may run twice.",
            HelpName = "HOST",
        };
        return Verbs.Group("migration", "Moves: what goes on, and what was.",
            verbs.Verb("list", "Every move, newest first.", async (session, _, cancel) =>
            {
                var moves = await session.Api.MovesAsync(cancel);
                if (session.Screen.IsJson) session.Screen.Document(moves);
                else session.Screen.Show(MoveSheet.Of(moves, session.Time.GetUtcNow()));
                return ExitCode.All;
            }),
            verbs.Verb("show", "One move: where it is, or its receipt.", async (session, parsed, cancel) =>
            {
                var move = await session.Api.MoveAsync(parsed.GetValue(id)!, cancel);
                if (session.Screen.IsJson) session.Screen.Document(move);
                else if (move.End is not null) MoveReport.Tell(session, [move]);
                else session.Screen.Line($"{move.Id} {MoveText.Title(move)}: {MoveText.Now(move)}");
                return ExitCode.All;
            }, id),
            verbs.Verb("watch", "Follow a move until it ends. Ctrl-C leaves it running.", async (session, parsed, cancel) =>
            {
                var move = await session.Api.MoveAsync(parsed.GetValue(id)!, cancel);
                if (move.End is null) move = (await new MoveFollower(session).FollowAsync([move], cancel))[0];
                return MoveReport.Tell(session, [move]);
            }, id),
            verbs.Verb("cancel", "Stop a move, if it has not switched over; the guest stays where it is.", CancelAsync(id), id),
            verbs.Verb("repair", "Ask both hosts of a move in doubt again, and settle what they prove.",
                RepairAsync(id, fenced), id, fenced));
    }

    private static Func<Session, ParseResult, CancellationToken, Task<int>> RepairAsync(
        Argument<string> id, Option<string?> fenced) => async (session, parsed, cancel) =>
        {
            var move = await session.Api.RepairMoveAsync(parsed.GetValue(id)!, parsed.GetValue(fenced), cancel);
            if (move.End is null) move = (await new MoveFollower(session).FollowAsync([move], cancel))[0];
            return MoveReport.Tell(session, [move]);
        };

    private static Func<Session, ParseResult, CancellationToken, Task<int>> CancelAsync(Argument<string> id) =>
        async (session, parsed, cancel) =>
        {
            var move = await session.Api.CancelMoveAsync(parsed.GetValue(id)!, cancel);
            if (move.End is null) move = (await new MoveFollower(session).FollowAsync([move], cancel))[0];
            if (session.Screen.IsJson) session.Screen.Document(move);
            session.Screen.Line(move.End switch
            {
                MoveEnd.Cancelled => $"{move.Id} is cancelled: {move.VmName} is on {move.Source} as before.",
                MoveEnd.Done => $"Too late: {move.VmName} is on {move.Target} already.",
                _ => $"{move.Id}: {MoveText.Ending(move)}",
            });
            return move.End == MoveEnd.Cancelled ? ExitCode.All : ExitCode.Failed;
        };
}

/// <summary>Moves as a table. Pure.</summary>
internal static class MoveSheet
{
    private static readonly string[] headings =
        ["ID", "VM", "FROM", "TO", "MODE", "PHASE", "PASS", "REMAINING", "RATE", "DIRTY", "ETA", "PAUSE", "AGE"];

    public static Sheet Of(IReadOnlyList<Migration> moves, DateTimeOffset now) => new(headings,
        [.. moves.OrderByDescending(move => move.CreatedAt).Select(move => Row(move, now))],
        "No moves yet: godwit vm migrate VM --to HOST");

    private static IReadOnlyList<Cell> Row(Migration move, DateTimeOffset now)
    {
        var phase = move.End is { } end
            ? new Cell(Words.Of(end), MoveText.EndTone(end)) : new Cell(Words.Of(move.Phase), Tone.Warn);
        Cell[] place = [move.Id.ToString(), new Cell(move.VmName, Tone.Strong), move.Source.ToString(), move.Target.ToString(),
            Words.Of(move.Mode), phase];
        var age = Amounts.Age(now - move.CreatedAt);
        if (move.Receipt is { } receipt)
            return
            [
                .. place, Amounts.Count(receipt.Passes), "-", "-", "-", "-",
                receipt.PauseMs is { } paused ? Amounts.Milliseconds(paused) : "-", age,
            ];
        if (move.End is not null || move.Progress is not { } progress) return [.. place, "-", "-", "-", "-", "-", "-", age];
        var eta = progress.EtaSeconds is { } seconds
            ? new Cell(Amounts.Milliseconds(Math.Ceiling(seconds) * 1000)) : new Cell(MoveText.NotConverging, Tone.Warn);
        return
        [
            .. place, Amounts.Count(progress.Pass), Amounts.Bytes(progress.RemainingBytes), Amounts.Rate(progress.BytesPerSecond),
            Amounts.Rate(progress.DirtyBytesPerSecond), eta, $"~{Amounts.Milliseconds(progress.ExpectedPauseMs)}", age,
        ];
    }
}
