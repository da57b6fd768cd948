using System.Globalization;
using System.Text;

namespace Godwit.Moves;

/// <summary>Collects, prints as it comes, and ends with medians, ratios and targets; a copy goes to a file.</summary>
internal sealed class Report(BenchOptions options)
{
    private sealed record Noted(string Case, string Side, int Run, MoveCost Cost);

    private readonly DateTime began = DateTime.UtcNow;
    private readonly List<Noted> notes = [];
    private readonly List<string> raw = [];
    private readonly List<string> idle = [], said = [];

    public static void Tell(string what) => Console.Error.WriteLine($"- {what}");

    /// <param name="run">0 warms up and does not count.</param>
    public void Note(string @case, string side, int run, MoveCost cost)
    {
        notes.Add(new Noted(@case, side, run, cost));
        var (what, flaws) = (Prefixed("; ", cost.Note), Prefixed("; FLAW: ", cost.Flaws));
        Raw(string.Create(CultureInfo.InvariantCulture,
            $"{@case}; {side}; run {run}: wall {cost.WallS:F2} s, client pause {cost.ClientPauseMs:F0} ms, STOP->RESUME {
                Text(cost.StopToResumeMs)} ms, wire {cost.WireMib:F1} MiB{what}{flaws}"));
    }

    public void Say(string line)
    {
        said.Add(line);
        Raw(line);
    }

    public void Idle(string process, double cpuPercent, double residentMib) => idle.Add(string.Create(
        CultureInfo.InvariantCulture, $"| {process} | {cpuPercent:F2} % | < 1 % | {residentMib:F0} MiB | < 200 MB |"));

    /// <summary>Prints the table and writes it, with every single run, to the results directory.</summary>
    public void Finish()
    {
        if (notes.Count + idle.Count + said.Count == 0) return;
        var text = Table();
        Console.WriteLine(text);
        var commit = Environment.GetEnvironmentVariable("GODWIT_COMMIT") ?? "unknown";
        Directory.CreateDirectory(options.ResultsDirectory);
        var path = Path.Combine(options.ResultsDirectory,
            string.Create(CultureInfo.InvariantCulture, $"moves-{began:yyyyMMdd-HHmm}-{commit}.md"));
        var every = string.Join('\n', raw);
        File.WriteAllText(path, $"{text}\nEvery run (run 0 warms up, and is not counted):\n\n```\n{every}\n```\n");
        Console.Error.WriteLine($"- Kept in {path}");
    }

    private string Table()
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"{began:yyyy-MM-dd HH:mm} UTC, commit " +
            $"{Environment.GetEnvironmentVariable("GODWIT_COMMIT") ?? "unknown"}, medians; {Machine()}");
        text.AppendLine();
        foreach (var @case in notes.Select(n => n.Case).Distinct()) AddCase(text, @case);
        foreach (var line in said) text.AppendLine(line);
        if (idle.Count > 0)
        {
            text.AppendLine("| idle for 60 s, one VM running | CPU of a core | target | RSS | target |");
            text.AppendLine("|---|---|---|---|---|");
            foreach (var line in idle) text.AppendLine(line);
        }
        return text.ToString();
    }

    private void AddCase(StringBuilder text, string @case)
    {
        var (ours, theirs) = (Of(@case, "godwit"), Of(@case, "virsh"));
        if (ours.Count == 0) return;
        text.AppendLine(CultureInfo.InvariantCulture, $"| {@case}; {ours.Count} moves | godwit | virsh | ratio | target |");
        text.AppendLine("|---|---|---|---|---|");
        var isQuick = @case.StartsWith("quick", StringComparison.Ordinal);
        var isRefresh = @case.StartsWith("refresh", StringComparison.Ordinal);
        var isPair = !isQuick && !isRefresh;
        Row("wall s", "F2", c => c.WallS, isPair ? "ratio <= 0.45" : isQuick ? "<= 2.5 s" : "-");
        Row("client-seen pause ms", "F0", c => c.ClientPauseMs, isPair ? "ratio <= 0.25" : "-");
        Row("STOP->RESUME ms", "F1", c => c.StopToResumeMs, isPair ? "<= 15 ms" : isRefresh ? "<= 5 ms" : "-");
        Row("MiB on the wire", "F1", c => c.WireMib, isPair ? "ratio <= 1.0" : "-");
        text.AppendLine();

        void Row(string name, string format, Func<MoveCost, double?> value, string target)
        {
            var (a, b) = (Median(ours, value), Median(theirs, value));
            var ratio = a / b is { } r && double.IsFinite(r) ? r.ToString("F2", CultureInfo.InvariantCulture) : "-";
            text.AppendLine(CultureInfo.InvariantCulture,
                $"| {name} | {Text(a, format)} | {Text(b, format)} | {ratio} | {target} |");
        }
    }

    private List<MoveCost> Of(string @case, string side) =>
        [.. notes.Where(n => n.Case == @case && n.Side == side && n.Run > 0).Select(n => n.Cost)];

    private static double? Median(List<MoveCost> costs, Func<MoveCost, double?> value)
    {
        var sorted = costs.Select(value).OfType<double>().Order().ToList();
        if (sorted.Count == 0) return null;
        var middle = sorted.Count / 2;
        return sorted.Count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    private static string Prefixed(string prefix, string text) => text.Length > 0 ? prefix + text : "";

    private void Raw(string line)
    {
        // How busy the machine was belongs to every figure.
        var text = $"{line}; load {File.ReadAllText("/proc/loadavg").Split(' ')[0]}";
        raw.Add(text);
        Console.Error.WriteLine($"  {text}");
    }

    private static string Text(double? number, string format = "F1") =>
        number?.ToString(format, CultureInfo.InvariantCulture) ?? "-";

    private static string Machine()
    {
        var model = File.ReadLines("/proc/cpuinfo")
            .FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim();
        return $"{Environment.ProcessorCount} cores ({model}), {Environment.OSVersion.VersionString}, "
            + $"guests under TCG, migration link {Cli.Lab.LabPlan.MigrationRateDefault}";
    }
}
