using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Core.Quoting;

namespace Godwit.Cli.Commands;

/// <summary>`godwit stats promises`: how quotes held against receipts.</summary>
internal static class StatsCommands
{
    public static Command Build(Verbs verbs) => Verbs.Group("stats", "How well promises were kept.",
        verbs.Verb("promises", "Quotes beside receipts, over the newest 200 moves.", async (session, _, cancel) =>
        {
            var scores = await session.Api.PromisesAsync(cancel);
            if (session.Screen.IsJson) session.Screen.Document(scores);
            else Tell(session.Screen, scores);
            return ExitCode.All;
        }));

    private static void Tell(Screen screen, IReadOnlyList<PromiseScore> scores) => screen.Show(new Sheet(
        ["WAY", "MOVES", "TIME ±10 %", "BYTES ±10 %", "PAUSE IN SPAN", "PAUSE OFF BY", "9 OF 10 BY", "OVER LIMIT", "STAYED"],
        [
            .. scores.Where(score => score.Moves > 0).Select(score => (IReadOnlyList<Cell>)
            [
                score.Mode is { } mode ? Words.Of(mode) : "all", Amounts.Count(score.Moves), Share(score.DurationWithinTenth),
                Share(score.BytesWithinTenth), Share(score.PauseWithinSpan), Time(score.PauseErrorMsMedian), Time(score.PauseErrorMs90),
                new Cell(Amounts.Count(score.LimitsBroken), score.LimitsBroken > 0 ? Tone.Bad : Tone.Good),
                Amounts.Count(score.LimitsKeptByStaying),
            ]),
        ],
        "No move with a quote has ended yet. A quote needs the guest to be looked at: wait a minute, or ask for one with "
        + "'godwit vm migrate VM --dry-run'."));

    private static string Share(double? share) =>
        share is { } value ? (value * 100).ToString("0", CultureInfo.InvariantCulture) + " %" : "-";

    private static string Time(double? ms) => ms is { } value ? Amounts.Milliseconds(value) : "-";
}
