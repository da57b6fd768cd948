using Xunit;

namespace Godwit.LabTests.Workload;

public sealed class JourneyTests
{
    [Fact]
    public void A_seed_is_a_journey_and_another_seed_another()
    {
        Assert.Equal(Journey.Of(7, 50), Journey.Of(7, 50));
        Assert.NotEqual(Journey.Of(7, 50), Journey.Of(8, 50));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2026)]
    public void A_long_journey_goes_every_way_with_every_fault_that_can_be_survived(int seed)
    {
        var legs = Journey.Of(seed, 50);
        Assert.Equal(50, legs.Count);
        Assert.Equal(Enum.GetValues<Way>(), legs.Select(l => l.Way).Distinct().Order());
        Assert.Equal(Enum.GetValues<Fault>(), legs.Select(l => l.Fault).Distinct().Order());
        Assert.All(legs.Where(l => l.Fault == Fault.TargetQemuKilled), l => Assert.Equal(Way.Live, l.Way));
        Assert.DoesNotContain(legs, l => l is { Way: Way.Refresh, Fault: Fault.LinkCut or Fault.TargetAgentKilled });
    }
}
