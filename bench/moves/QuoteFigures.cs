using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Godwit.Moves;

/// <summary>
/// Collects moves beside their quotes; prints each, and at the end how well quotes held, link by link and guest by guest.
/// </summary>
internal sealed class QuoteFigures(string resultsDirectory)
{
    private sealed record Noted(string Link, string Guest, bool MayQuick, QuotedMove Move);

    private const double Tenth = 0.1;
    private readonly DateTime began = DateTime.UtcNow;
    private readonly string commit = Environment.GetEnvironmentVariable("GODWIT_COMMIT") ?? "unknown";
    private readonly List<Noted> notes = [];
    private readonly List<string> raw = [];
    private int refusals, wouldHaveFitted;

    /// <summary>Whole, beside the tables, one line each: a change of the model is tried on these first.</summary>
    public void Keep(JsonElement move)
    {
        Directory.CreateDirectory(resultsDirectory);
        File.AppendAllText(Path.Combine(resultsDirectory, Name(".jsonl")), JsonSerializer.Serialize(move) + "\n");
    }

    public void Note(string link, string guest, string[] wish, QuotedMove move)
    {
        notes.Add(new Noted(link, guest, wish.Contains("--may-quick"), move));
        Raw(string.Create(CultureInfo.InvariantCulture, $"{link}; {guest}; {string.Join(' ', wish)}: ") + Words(move));
    }

    /// <summary>The move that was refused a moment ago, this time with the longest pause allowed.</summary>
    public void NoteUnlimited(int maxPauseMs, QuotedMove free)
    {
        refusals++;
        if (free.IsDone && free.PauseMs <= maxPauseMs) wouldHaveFitted++;
        Raw("   without the limit: " + Words(free));
    }

    /// <summary>Prints the tables and keeps them, with every single move, in the results directory.</summary>
    public void Finish()
    {
        if (notes.Count == 0) return;
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"{began:yyyy-MM-dd HH:mm} UTC, commit {commit}; {notes.Count} moves\n");
        Table(text, "link", notes.GroupBy(note => note.Link));
        Table(text, "guest", notes.GroupBy(note => note.Guest));
        text.AppendLine(CultureInfo.InvariantCulture,
            $"Refused to keep a limit: {refusals}; of them the same move without a limit paused no longer than it: {wouldHaveFitted}");
        Console.WriteLine(text);
        Directory.CreateDirectory(resultsDirectory);
        var path = Path.Combine(resultsDirectory, Name(".md"));
        File.WriteAllText(path, $"{text}\nEvery move:\n\n```\n{string.Join('\n', raw)}\n```\n");
        Report.Tell($"Kept in {path}");
    }

    private static void Table(StringBuilder text, string of, IEnumerable<IGrouping<string, Noted>> groups)
    {
        text.AppendLine($"| {of} | moves | done | time within 10 %, as quoted from to | bytes within 10 %, as quoted from to | "
            + "pause off by, median ms | 9 of 10 by ms | over limit | stayed |");
        text.AppendLine("|---|---|---|---|---|---|---|---|---|");
        var all = groups.ToList();
        foreach (var group in all) Row(text, group.Key, [.. group]);
        Row(text, "all", [.. all.SelectMany(group => group)]);
        text.AppendLine("| target | >= 200 | | >= 90 %, 80 % | >= 90 %, 80 % | | <= 50 | 0 | |\n");
    }

    private static void Row(StringBuilder text, string name, List<Noted> of)
    {
        var done = of.Where(note => note.Move is { IsDone: true, QuotedMs: not null }).Select(note => note.Move).ToList();
        var off = done.Where(move => move is { PauseMs: not null, QuotedPauseMs: not null })
            .Select(move => Math.Abs(move.PauseMs!.Value - move.QuotedPauseMs!.Value)).Order().ToList();
        var over = of.Count(note => note is { MayQuick: false, Move: { IsDone: true, PauseMs: > 300 } });
        text.AppendLine(CultureInfo.InvariantCulture, $"| {name} | {of.Count} | {done.Count} | {
            Share(done, move => Near(move.TotalMs, move.QuotedMs))}, {Share(done, move => move.DurationMs.Holds(move.TotalMs))} | {
            Share(done, move => Near(move.WireBytes, move.QuotedBytes))}, {Share(done, move => move.Bytes.Holds(move.WireBytes))} | {
            At(off, 0.5)} | {At(off, 0.9)} | {over} | {of.Count(note => note.Move.IsRefusal)} |");
    }

    private static bool Near(double actual, double? expected) => Math.Abs(actual - expected!.Value) <= Tenth * expected.Value;

    private static string Share(List<QuotedMove> of, Func<QuotedMove, bool> holds) =>
        of.Count == 0 ? "-" : string.Create(CultureInfo.InvariantCulture, $"{100.0 * of.Count(holds) / of.Count:F0} %");

    private static string At(List<double> sorted, double part) => sorted.Count == 0 ? "-"
        : sorted[(int)Math.Min(sorted.Count - 1, Math.Floor(part * sorted.Count))].ToString("F1", CultureInfo.InvariantCulture);

    private string Name(string ending) =>
        string.Create(CultureInfo.InvariantCulture, $"quotes-{began:yyyyMMdd-HHmm}-{commit}{ending}");

    private static string Words(QuotedMove move) => string.Create(CultureInfo.InvariantCulture,
        $"{move.End}, pause {move.PauseMs:F0} ms (quoted {move.QuotedPauseMs:F0}), {move.TotalMs / 1000:F2} s ({move.QuotedMs / 1000:F2}), {
        move.WireBytes / 1e6:F1} MB ({move.QuotedBytes / 1e6:F1}), {move.Passes} passes{(move.QuotedToFit ? "" : ", quoted not to fit")}{
        (move.Reason.Length > 0 ? "; " + move.Reason : "")}");

    private void Raw(string line)
    {
        var text = $"{line}; load {File.ReadAllText("/proc/loadavg").Split(' ')[0]}";
        raw.Add(text);
        Console.Error.WriteLine($"  {text}");
    }
}
