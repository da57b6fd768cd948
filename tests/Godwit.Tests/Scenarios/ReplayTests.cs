using Godwit.Simulator.Stories;
using Xunit;

namespace Godwit.Tests.Scenarios;

public sealed class ReplayTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void The_same_seed_tells_the_same_story_and_another_seed_another(ulong seed)
    {
        var (first, again) = (RandomStory.Run(seed, new RunCounts()), RandomStory.Run(seed, new RunCounts()));
        Assert.Equal((first.Hash, first.Steps, first.Time), (again.Hash, again.Steps, again.Time));
        Assert.NotEqual(first.Hash, RandomStory.Run(seed + 4, new RunCounts()).Hash);
    }
}
