using Godwit.Agent.Facts;
using Xunit;

namespace Godwit.Tests.Loads;

public sealed class PulseBudgetTests
{
    private const double OfProcessorMax = 0.003;
    private const int Most = 1024, Least = 64;
    private static readonly TimeSpan tick = TimeSpan.FromMilliseconds(500);

    [Fact]
    public void Where_reading_is_fast_all_pages_are_read_each_time() =>
        Assert.Equal((Most, 1.0), After(seconds: 120, guests: 1, microsecondsPerPage: 0.5));

    [Fact]
    public void Where_reading_is_slow_fewer_pages_are_read_and_each_time()
    {
        // 1,024 pages in 5 ms, where 1.5 ms may be taken: of a quarter of them nothing is left out.
        Assert.Equal((256, 1.0), After(seconds: 120, guests: 1, microsecondsPerPage: 5));
        Assert.Equal((64, 1.0), After(seconds: 120, guests: 4, microsecondsPerPage: 5));
    }

    [Fact]
    public void Where_even_the_fewest_are_too_many_guests_are_left_out_and_no_more_is_taken()
    {
        var (pages, felt) = After(seconds: 120, guests: 16, microsecondsPerPage: 5);
        Assert.Equal(Least, pages);
        Assert.InRange(felt, 0.25, 0.35); // 1.5 ms of 5.1.
    }

    [Fact]
    public void A_host_that_becomes_fast_again_reads_all_again()
    {
        var budget = new PulseBudget(OfProcessorMax, Most, Least);
        Run(budget, seconds: 120, guests: 1, microsecondsPerPage: 5);
        Assert.Equal((Most, 1.0), Run(budget, seconds: 120, guests: 1, microsecondsPerPage: 0.3));
    }

    [Fact]
    public void One_slow_moment_changes_nothing()
    {
        var budget = new PulseBudget(OfProcessorMax, Most, Least);
        Run(budget, seconds: 60, guests: 1, microsecondsPerPage: 1);
        Run(budget, seconds: 0.5, guests: 1, microsecondsPerPage: 80); // 82 ms, 90 are saved up.
        Assert.Equal((Most, 1.0), Run(budget, seconds: 60, guests: 1, microsecondsPerPage: 1));
    }

    private static (int Pages, double FeltShare) After(double seconds, int guests, double microsecondsPerPage) =>
        Run(new PulseBudget(OfProcessorMax, Most, Least), seconds, guests, microsecondsPerPage);

    /// <returns>Pages of the last tick, and what part of the guests was felt in the last half of the time.</returns>
    private static (int Pages, double FeltShare) Run(PulseBudget budget, double seconds, int guests, double microsecondsPerPage)
    {
        var (pages, felt, wanted) = (0, 0, 0);
        for (var at = TimeSpan.Zero; at < TimeSpan.FromSeconds(seconds); at += tick)
        {
            pages = budget.Begin(tick, guests);
            var counts = at >= TimeSpan.FromSeconds(seconds / 2);
            for (var n = 0; n < guests; n++)
            {
                if (counts) wanted++;
                if (!budget.MayGoOn()) continue;
                if (counts) felt++;
                budget.Spend(TimeSpan.FromMicroseconds(pages * microsecondsPerPage));
            }
        }
        return (pages, (double)felt / Math.Max(1, wanted));
    }
}
