using Godwit.Core.Migration;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Tests;

/// <summary>Every phase × every process has one row with its end. A phase without a cell fails the build.</summary>
public sealed class FailureTableTests(ITestOutputHelper output)
{
    [Fact]
    public void Every_phase_has_a_row_for_every_process_that_may_die_in_it()
    {
        var wanted = from phase in Enum.GetValues<Phase>() from process in FailureTable.Processes
            select (FailureTable.Word(phase), process);
        Assert.Equal(wanted, FailureTable.Rows().Select(r => (r.Phase, r.Process)));
    }

    [Fact]
    public void Every_row_has_an_end_a_move_can_have_a_reason_and_a_test_or_the_word_that_there_is_none()
    {
        foreach (var row in FailureTable.Rows())
        {
            var place = $"{row.Phase} × {row.Process}";
            Assert.NotEmpty(row.Why);
            if (!FailureTable.EndsOf(row).Any()) Assert.True(row.CoveredBy == FailureTable.Absent, place);
            else Assert.True(row.CoveredBy == FailureTable.NotYet || DocumentationTests.TestName().IsMatch(row.CoveredBy), place);
        }
        var cells = FailureTable.Rows().Where(r => r.End != FailureTable.Absent).ToList();
        output.WriteLine($"failure table: {cells.Count(c => c.CoveredBy != FailureTable.NotYet)} of {cells.Count} cells have a test");
    }
}
