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
        if (quote.Facts is { } facts) Show(screen, facts);
        if (quote.Path is { Moves: 0, IsTested: false })
            screen.Line("  Nothing crossed between these hosts yet: 1 Gbit/s is assumed ('godwit link test' measures it).",
                Tone.Warn);
        foreach (var way in quote.Relaxations) screen.Line($"  It would fit with {way}.", Tone.Warn);
    }

    private static void Show(Screen screen, QuoteFacts facts)
    {
        if (facts.Devices is { } devices)
            screen.Line($"  Its devices: {string.Join(", ", Parts(devices))}.");
        if (facts.Headroom.Count > 0)
            screen.Line($"  Processors free: {string.Join(", ", facts.Headroom.Select(Text))}"
                + (facts.Headroom.Any(host => host.IsScarce) ? "; it takes longer where they are scarce." : "."),
                facts.Headroom.Any(host => host.IsScarce) ? Tone.Warn : Tone.Plain);
    }

    private static IEnumerable<string> Parts(DeviceFigures devices)
    {
        if (devices.StateBytes is { } bytes) yield return Amounts.Bytes(bytes);
        if (devices.LoadMs is { } ms)
            yield return $"loaded in {Amounts.Milliseconds(ms)} once all is there, as "
                + $"{Words.Counted(devices.Moves, "move", "moves")}{(devices.IsOwn ? "" : " of VMs of its shape")} told";
    }

    private static string Text(Headroom host) => FormattableString.Invariant($"{host.FreeCores:0.0} of {host.Cores} on {host.Host}");

    private static Sheet SheetOf(MoveQuote quote) => new(["", "WAY", "PAUSE", "TIME", "SENT", "BREAKS"],
    [
        .. quote.Ways.Select(way => (IReadOnlyList<Cell>)
        [
            way.Mode == quote.Chosen && way.SlowdownNotAllowedPercent == 0 ? "→" : "", new Cell(NameOf(way), ToneOf(way)),
            Estimates.Between(way.PauseMs, Amounts.Milliseconds), Estimates.Between(way.DurationMs, Amounts.Milliseconds),
            Estimates.Between(way.WireBytes, bytes => Amounts.Bytes((long)bytes)),
            new Cell(way.Breaks.Count == 0 ? "nothing" : string.Join(", ", way.Breaks), ToneOf(way)),
        ]),
    ], "");

    private static string NameOf(WayQuote way) => Words.Of(way.Mode)
        + (way.SlowdownNotAllowedPercent == 0 ? "" : $", slowed by up to {way.SlowdownNotAllowedPercent} %");

    private static Tone ToneOf(WayQuote way) => way.Breaks.Count > 0 ? Tone.Warn : Tone.Plain;
}
