using Godwit.Core.Migration;

namespace Godwit.Tests;

/// <summary>docs/design/failure-table.md as data: its own test and the scenarios that strike its cells read it here.</summary>
internal static class FailureTable
{
    public const string NotYet = "not yet covered", Absent = "–";
    public static readonly string[] Processes = ["server", "source agent", "target agent", "source QEMU", "target QEMU"];

    public static List<FailureRow> Rows()
    {
        var path = Path.Combine(Root(), "docs", "design", "failure-table.md");
        return [.. File.ReadLines(path).SkipWhile(l => !l.StartsWith("| phase |", StringComparison.Ordinal)).Skip(2)
            .TakeWhile(l => l.StartsWith('|')).Select(l => l.Split('|', StringSplitOptions.TrimEntries))
            .Select(c => new FailureRow(c[1], c[2], c[3], c[4], c[5]))];
    }

    internal static string Root()
    {
        var at = new DirectoryInfo(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "Godwit.slnx"))) at = at.Parent;
        return at?.FullName ?? throw new InvalidOperationException("not run from inside the repository");
    }

    public static Phase PhaseOf(FailureRow row) => Enum.GetValues<Phase>().Single(p => Word(p) == row.Phase);

    /// <summary>One, or several of which the reason says what decides. None where there is no such process.</summary>
    public static IEnumerable<MoveEnd> EndsOf(FailureRow row) => row.End == Absent ? []
        : row.End.Split(", ").Select(word => Enum.GetValues<MoveEnd>().Single(e => Word(e) == word));

    /// <summary>As in the API: lower case, words joined by hyphens.</summary>
    public static string Word<T>(T value) where T : struct, Enum =>
        string.Concat(value.ToString().Select((c, i) => char.IsUpper(c) ? (i > 0 ? "-" : "") + char.ToLowerInvariant(c) : $"{c}"));
}

internal sealed record FailureRow(string Phase, string Process, string End, string Why, string CoveredBy);
