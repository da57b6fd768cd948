using Godwit.Core.Migration;

namespace Godwit.Client;

/// <summary>What a finished move cost, as lines of name and value. Pure.</summary>
public static class ReceiptText
{
    /// <param name="seen">What was measured from outside, shown beside the agents' own figures; null outside the lab.</param>
    public static IReadOnlyList<(string Name, string Value)> Lines(Migration move, SeenFromOutside? seen = null)
    {
        if (move.Receipt is not { } receipt) return [];
        var lines = new List<(string, string)>
        {
            ("time", Amounts.Milliseconds(receipt.TotalMs)),
            ("pause", receipt.PauseMs is { } pause ? move.Rehearses ? $"{Amounts.Milliseconds(pause)} STOP → loaded{Limit(move)}"
                : $"{Amounts.Milliseconds(pause)} STOP → RESUME{Limit(move)}"
                : "none: the guest was not running"),
        };
        if (receipt.OwnPauseMs is { } own) lines.Add(("stood still", $"{Amounts.Milliseconds(own)} on {move.Source}, where it went on"));
        if (receipt.PauseParts is { } parts)
            lines.Add(("", $"last pass {Amounts.Milliseconds(parts.LastPassMs)} · drain {Amounts.Milliseconds(parts.DrainMs)} · "
                + $"load {Amounts.Milliseconds(parts.LoadMs)} · start {Amounts.Milliseconds(parts.StartMs)}"));
        if (seen is not null) lines.AddRange(seen.Lines());
        if (move.Quote is { } quote) lines.Add(("quoted", Estimates.Sentence(quote)));
        lines.Add(("sent", $"{Amounts.Bytes(receipt.WireBytes)} in {Words.Counted(receipt.Passes, "pass", "passes")}"));
        lines.AddRange(receipt.Steps.Select((step, n) => (n == 0 ? "steered" : "",
            $"{Amounts.Milliseconds(step.AtMs)}, pass {step.Pass}: {step.What} "
            + $"({Amounts.Bytes(step.RemainingBytes)} left, {Amounts.Rate(step.BytesPerSecond)})")));
        lines.Add(("pages", $"{Amounts.Count(receipt.NormalPages)} sent, {Amounts.Count(receipt.ZeroPages)} zero"));
        lines.Add(("transport", receipt.Transport));
        lines.Add(("runs on", Words.Of(receipt.Accelerator)));
        if (receipt.PhaseMs.Count > 0)
            lines.Add(("phases", string.Join(" · ", receipt.PhaseMs.OrderBy(p => p.Key)
                .Select(p => $"{Words.Of(p.Key)} {Amounts.Milliseconds(p.Value)}"))));
        lines.AddRange(move.Warnings.Select(warning => ("warning", warning)));
        return lines;
    }

    /// <summary>A quick move is paused for as long as its memory takes: nothing limits that.</summary>
    private static string Limit(Migration move) => move.Mode is MoveMode.Live or MoveMode.Refresh or MoveMode.Hybrid
        ? $" (limit {Amounts.Milliseconds(move.Limits.MaxPauseMs)})" : "";

    public static IEnumerable<string> Plain(Migration move, SeenFromOutside? seen = null) =>
        Lines(move, seen).Select(line => $"  {line.Name,-10} {line.Value}");
}

/// <summary>A move as a machine on the guest's network saw it.</summary>
/// <param name="PauseMs">Longest silence between two beats, less the beat's own distance.</param>
/// <param name="BeatsLost">Beats that never arrived, of those the guest counted.</param>
/// <param name="CounterWentOn">The guest's own counter has no gap and never went back.</param>
public sealed record SeenFromOutside(
    double PauseMs, long BeatsLost, bool SameBootId, bool CounterWentOn)
{
    /// <summary>Pages of the guest's working set that did not hold what it had written there.</summary>
    public long MemoryErrors { get; init; }
    public long WriteErrors { get; init; }

    public bool GuestNoticedNothing => SameBootId && CounterWentOn && MemoryErrors == 0 && WriteErrors == 0;

    public IEnumerable<(string, string)> Lines() =>
    [
        ("", $"{Amounts.Milliseconds(PauseMs)} as seen on the LAN by a 1 ms prober"),
        ("beats lost", Amounts.Count(BeatsLost)),
        ("guest", (SameBootId ? "same boot id" : "ANOTHER BOOT ID: the guest started anew")
            + (CounterWentOn ? ", counter went on" : ", COUNTER BROKEN")
            + (MemoryErrors + WriteErrors == 0 ? "" : $", {MemoryErrors} MEMORY and {WriteErrors} WRITE ERRORS")),
    ];
}
