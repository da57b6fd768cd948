using Godwit.Core.Migration;
using Godwit.Core.Quoting;

namespace Godwit.Cli.Screens;

/// <summary>A quote as people read it: a line for each way of moving, what it breaks, and the cheapest way out.</summary>
internal static class QuoteText
{
    public static void Show(Screen screen, MoveQuote quote)
    {
        screen.Show(SheetOf(quote));
        screen.Line($"  {Words.Of(quote.Chosen)}: {quote.Why}.");
        if (quote.Path is { Moves: 0, IsTested: false })
            screen.Line("  Nothing crossed between these hosts yet: 1 Gbit/s is assumed ('godwit link test' measures it).",
                Tone.Warn);
        foreach (var way in quote.Relaxations) screen.Line($"  It would fit with {way}.", Tone.Warn);
    }

    /// <summary>For a receipt: what was expected of the way that was taken.</summary>
    public static string Sentence(WayQuote quote) =>
        $"pause {Between(quote.PauseMs, Amounts.Milliseconds)}, time {Between(quote.DurationMs, Amounts.Milliseconds)}, "
        + $"{Between(quote.WireBytes, bytes => Amounts.Bytes((long)bytes))}";

    private static Sheet SheetOf(MoveQuote quote) => new(["", "WAY", "PAUSE", "TIME", "SENT", "BREAKS"],
    [
        .. quote.Ways.Select(way => (IReadOnlyList<Cell>)
        [
            way.Mode == quote.Chosen && way.SlowdownNotAllowedPercent == 0 ? "→" : "", new Cell(NameOf(way), ToneOf(way)),
            Between(way.PauseMs, Amounts.Milliseconds), Between(way.DurationMs, Amounts.Milliseconds),
            Between(way.WireBytes, bytes => Amounts.Bytes((long)bytes)),
            new Cell(way.Breaks.Count == 0 ? "nothing" : string.Join(", ", way.Breaks), ToneOf(way)),
        ]),
    ], "");

    private static string NameOf(WayQuote way) => Words.Of(way.Mode)
        + (way.SlowdownNotAllowedPercent == 0 ? "" : $", slowed by up to {way.SlowdownNotAllowedPercent} %");

    private static Tone ToneOf(WayQuote way) => way.Breaks.Count > 0 ? Tone.Warn : Tone.Plain;

    private static string Between(Estimate figure, Func<double, string> word) =>
        $"{word(figure.Expected)} ({word(figure.Low)} to {word(figure.High)})";
}
