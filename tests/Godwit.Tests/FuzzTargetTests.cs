using Godwit.Fuzz;
using Xunit;

namespace Godwit.Tests;

/// <summary>What the fuzzer tries for hours, some thousand times by seed; and every input that ever broke a promise.</summary>
public sealed class FuzzTargetTests
{
    private const int Rounds = 1500, HugeRounds = 150;

    public static TheoryData<string> Names => [.. FuzzTarget.All.Select(t => t.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Damaged_input_breaks_no_promise(string name)
    {
        var target = FuzzTarget.Of(name);
        var seeds = target.Seeds().ToList();
        foreach (var seed in seeds) target.Try((byte[])seed.Clone());
        var rounds = name == "vhdx" ? HugeRounds : Rounds;
        for (var round = 0; round < rounds; round++)
        {
            var input = new Mutation(round).Of(seeds[round % seeds.Count]);
            try { target.Try(input); }
            catch (Exception broken) { throw new InvalidOperationException($"{name}, round {round}: {broken.Message}", broken); }
        }
        BadInputFigures.Damaged(rounds);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_input_that_a_fuzzer_kept_breaks_no_promise(string name)
    {
        var kept = Path.Combine(RepositoryRulesTests.Root(), "tests", "Godwit.Fuzz", "Found", name);
        if (!Directory.Exists(kept)) return; // Nothing was found yet.
        foreach (var file in Directory.EnumerateFiles(kept).Order(StringComparer.Ordinal))
            FuzzTarget.Of(name).Try(File.ReadAllBytes(file));
    }

    [Fact]
    public void A_broken_promise_is_seen() =>
        Assert.Throws<PromiseBrokenException>(() => PromiseBrokenException.Unless(false, "so that a target can fail"));
}
