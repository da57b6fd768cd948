using Godwit.Agent.Link;
using Xunit;

namespace Godwit.Tests.Link;

public sealed class LinkTestRateTests
{
    [Fact]
    public void What_an_agent_takes_to_become_fast_does_not_count() =>
        Assert.InRange(LinkTest.Fastest(Seen(seconds: 3, second => second < 1.5 ? 40e6 : 400e6)), 390_000_000, 410_000_000);

    [Fact]
    public void A_stretch_too_short_to_tell_does_not_count_either() =>
        Assert.InRange(LinkTest.Fastest(Seen(seconds: 2, second => second is > 1 and < 1.1 ? 400e6 : 100e6)), 100_000_000, 145_000_000);

    [Fact]
    public void What_a_shaper_has_saved_up_does_not_count() =>
        // 512 KiB at once, then 100 Mbit/s: over the first three quarters of a second it seems 6 % faster than it is.
        Assert.InRange(LinkTest.Fastest(Seen(seconds: 1.5, second => second <= 0.05 ? 22e6 : 11.9e6)), 11_890_000, 11_910_000);

    [Fact]
    public void A_test_that_ends_early_counts_as_a_whole()
    {
        Assert.InRange(LinkTest.Fastest(Seen(seconds: 0.4, _ => 100e6)), 99_000_000, 101_000_000);
        Assert.Equal(0, LinkTest.Fastest([(TimeSpan.Zero, 0)]));
        Assert.Equal(0, LinkTest.Fastest([(TimeSpan.Zero, 0), (TimeSpan.FromSeconds(1), 0)]));
    }

    [Fact]
    public void A_test_goes_on_while_its_last_stretch_is_faster_than_the_one_before()
    {
        Assert.True(LinkTest.BecomesFaster(Seen(seconds: 1.5, second => second < 0.75 ? 50e6 : 100e6)));
        Assert.True(LinkTest.BecomesFaster(Seen(seconds: 3, second => 20e6 * second)));
        Assert.False(LinkTest.BecomesFaster(Seen(seconds: 1.5, _ => 100e6)));
        Assert.False(LinkTest.BecomesFaster(Seen(seconds: 3, second => second < 1 ? 20e6 : 100e6)));
        Assert.False(LinkTest.BecomesFaster(Seen(seconds: 1.5, _ => 0)));
    }

    /// <summary>What was acknowledged, twenty times a second.</summary>
    private static List<(TimeSpan At, long Acked)> Seen(double seconds, Func<double, double> bytesPerSecond)
    {
        List<(TimeSpan, long)> seen = [(TimeSpan.Zero, 0)];
        var acked = 0.0;
        for (var tick = 1; tick <= seconds * 20; tick++)
            seen.Add((TimeSpan.FromSeconds(tick / 20.0), (long)(acked += bytesPerSecond(tick / 20.0) / 20)));
        return seen;
    }
}
