using Godwit.Core.Loads;
using Xunit;

namespace Godwit.Tests.Loads;

/// <summary>Windows of points, and what is to be reckoned with.</summary>
public sealed class LoadSeriesTests
{
    private static readonly DateTimeOffset Noon = new(2026, 1, 2, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Only_the_newest_points_are_kept_and_they_come_in_order()
    {
        var series = new LoadSeries(3);
        Assert.Null(series.Newest);
        foreach (var n in Enumerable.Range(0, 5)) series.Add(Point(n, n));
        Assert.Equal([2f, 3f, 4f], series.Since(DateTimeOffset.MinValue).Select(p => p.CpuCores));
        Assert.Equal([4f], series.Since(Noon.AddSeconds(40)).Select(p => p.CpuCores));
        Assert.Equal(4f, series.Newest!.Value.CpuCores);
    }

    [Fact]
    public void A_window_is_summed_up_by_nearest_rank()
    {
        Assert.Null(LoadSummary.Of([]));
        var summary = LoadSummary.Of([.. Enumerable.Range(1, 100).Select(n => Point(n, n))])!;
        Assert.Equal((50.5, 75, 95, 100), (summary.CpuMean, summary.CpuDemandP75, summary.CpuDemandP95, summary.CpuDemandMax));
        var waiting = LoadSummary.Of([new LoadPoint(Noon, 1, 2, 0, 0, 0)])!;
        Assert.Equal((1, 3, 2), (waiting.CpuMean, waiting.CpuDemandMax, waiting.WaitMean));
    }

    [Fact]
    public void One_spike_is_not_reckoned_with_and_a_lasting_rise_is_within_minutes()
    {
        var calm = Enumerable.Range(0, 180).Select(n => Point(n, 1)).ToList();
        Assert.InRange(LoadSummary.CpuToReckonWith([.. calm.Take(179), Point(179, 8)]), 1, 1.6);
        var risen = calm.Take(168).Concat(Enumerable.Range(168, 12).Select(n => Point(n, 8))).ToList(); // Two minutes of it.
        Assert.InRange(LoadSummary.CpuToReckonWith(risen), 5, 8);
        // Half of the window at 8 and calm just now: three of four points still speak for it.
        var falling = Enumerable.Range(0, 180).Select(n => Point(n, n < 100 ? 8 : 1)).ToList();
        Assert.Equal(8, LoadSummary.CpuToReckonWith(falling));
        Assert.Equal(0, LoadSummary.CpuToReckonWith([]));
    }

    private static LoadPoint Point(int number, float cpu) => new(Noon.AddSeconds(10 * number), cpu, 0, 0, 0, 0);
}
