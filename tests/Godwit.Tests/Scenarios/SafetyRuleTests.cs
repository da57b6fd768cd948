using Godwit.Agent;
using Godwit.Core;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Stories;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// A simulator that finds nothing proves nothing. Each safety rule is left out in turn, and some seed of a fixed list
/// must show a broken promise, while the same story with all rules kept goes well.
/// </summary>
public sealed class SafetyRuleTests(ITestOutputHelper output)
{
    private const ulong SeedsMax = 150;
    private static readonly HashSet<string> Found = [];

    public static TheoryData<string> Rules() => [.. Enum.GetNames<SafetyRule>()];

    [Theory]
    [MemberData(nameof(Rules))]
    public void A_rule_that_is_left_out_is_missed(string rule)
    {
        for (ulong seed = 1; seed <= SeedsMax; seed++)
        {
            var knobs = Drill.Against(Enum.Parse<SafetyRule>(rule), WorldKnobs.FromSeed(seed, focused: true));
            if (Broken(seed, knobs) is not { } found || Broken(seed, knobs with { Without = null }) is not null) continue;
            output.WriteLine($"without {rule}: {found}");
            lock (Found)
            {
                Found.Add(rule);
                TestFigures.Write("safety-rules",
                    $"safety-rules-left-out-and-found {Found.Count}", $"safety-rules-total {Enum.GetNames<SafetyRule>().Length}");
            }
            return;
        }
        Assert.Fail($"no seed up to {SeedsMax} shows that {rule} is not kept");
    }

    /// <summary>The broken promise; null where all was well.</summary>
    private static string? Broken(ulong seed, WorldKnobs knobs)
    {
        try
        {
            RandomStory.Run(seed, new RunCounts(), knobs: knobs);
            return null;
        }
        catch (SimFailedException found) { return found.Message.Split('\n')[0]; }
    }

    [Fact]
    public void Shipped_agents_keep_every_rule_and_nothing_public_changes_that()
    {
        Assert.All(Enum.GetValues<SafetyRule>(), rule => Assert.True(SafetyRules.All.Keeps(rule)));
        Assert.False(typeof(SafetyRules).IsPublic);
        var asking = typeof(HostAgent).GetConstructors().SelectMany(c => c.GetParameters());
        Assert.DoesNotContain(asking, p => p.ParameterType == typeof(SafetyRules));
    }
}
