using Godwit.Simulator.Loop;
using Godwit.Simulator.Stories;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Tests.Scenarios;

/// <summary>Random stories, as many as fit into some 40 s of one core. More: godwit-sim --hours 1.</summary>
public sealed class RandomStoryTests(ITestOutputHelper output)
{
    private const ulong Stories = 60;

    [Fact]
    public void No_promise_is_broken_whatever_goes_wrong()
    {
        var (counts, broken) = (new RunCounts(), new List<string>());
        for (ulong seed = 1; seed <= Stories; seed++)
        {
            try { RandomStory.Run(seed, counts); }
            catch (SimFailedException failure) { broken.Add(failure.Message); }
        }
        output.WriteLine($"{Stories} stories, {counts}, {broken.Count} violations");
        Assert.True(counts.Moves > 100 && counts.Faults > 150, $"too little happened: {counts}");
        Assert.True(broken.Count == 0, string.Join("\n\n", broken));
    }
}
