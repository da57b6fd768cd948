using Godwit.Core.Migration;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Tests;

/// <summary>
/// docs/design/failure-table.md is data: every phase × every process has one row with its end. A phase without a cell
/// fails the build.
/// </summary>
public sealed class FailureTableTests(ITestOutputHelper output)
{
    private const string NotYet = "not yet covered", Absent = "–";
    private static readonly string[] Processes = ["server", "source agent", "target agent", "source QEMU", "target QEMU"];

    [Fact]
    public void Every_phase_has_a_row_for_every_process_that_may_die_in_it()
    {
        var wanted = from phase in Enum.GetValues<Phase>() from process in Processes select (Word(phase), process);
        Assert.Equal(wanted, Rows().Select(r => (r.Phase, r.Process)));
    }

    [Fact]
    public void Every_row_has_an_end_a_move_can_have_a_reason_and_a_test_or_the_word_that_there_is_none()
    {
        var ends = Enum.GetValues<MoveEnd>().Select(Word).ToHashSet();
        foreach (var row in Rows())
        {
            var place = $"{row.Phase} × {row.Process}";
            Assert.NotEmpty(row.Why);
            if (row.End == Absent)
            {
                Assert.True(row.CoveredBy == Absent, place);
                continue;
            }
            Assert.True(row.End.Split(", ").All(ends.Contains), $"{place}: '{row.End}' is no end of a move");
            Assert.True(row.CoveredBy == NotYet || DocumentationTests.TestName().IsMatch(row.CoveredBy), $"{place}: {row.CoveredBy}");
        }
        var cells = Rows().Where(r => r.End != Absent).ToList();
        output.WriteLine($"failure table: {cells.Count(c => c.CoveredBy != NotYet)} of {cells.Count} cells have a test");
    }

    private static List<Row> Rows()
    {
        var path = Path.Combine(RepositoryRulesTests.Root(), "docs", "design", "failure-table.md");
        return [.. File.ReadLines(path).SkipWhile(l => !l.StartsWith("| phase |", StringComparison.Ordinal)).Skip(2)
            .TakeWhile(l => l.StartsWith('|')).Select(l => l.Split('|', StringSplitOptions.TrimEntries))
            .Select(c => new Row(c[1], c[2], c[3], c[4], c[5]))];
    }

    private static string Word<T>(T value) where T : struct, Enum =>
        string.Concat(value.ToString().Select((c, i) => char.IsUpper(c) ? (i > 0 ? "-" : "") + char.ToLowerInvariant(c) : $"{c}"));

    private sealed record Row(string Phase, string Process, string End, string Why, string CoveredBy);
}
