using Godwit.Tests;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Models;

/// <summary>
/// The hand-over as a model (docs/design/handover.pml), checked over every interleaving of two moves and up to four
/// faults; and the proof that the model can tell right from wrong: each seeded mistake is caught, by the property named.
/// </summary>
public sealed class HandoverModelTests(ITestOutputHelper output)
{
    private static readonly string[] Promises = ["one_runner", "no_time_travel", "not_lost", "not_stuck"];

    /// <summary>What a model that does nothing would keep, too.</summary>
    private static readonly string[] FalseClaims = ["never_moves", "never_moves_second", "never_rolls_back"];

    /// <summary>The switch in the model, and the properties that must catch it.</summary>
    private static readonly (string Mistake, string[] CaughtBy)[] Mistakes =
    [
        ("RESUME_ON_TIMEOUT", ["one_runner", "no_time_travel"]),
        ("NO_DASH_S", ["one_runner", "no_time_travel"]),
        ("LATE_TOKEN", ["one_runner", "no_time_travel"]),
        ("KILL_AT_TOKEN", ["not_lost"]),
        ("RESUME_TARGET_LOOKS_DEAD", ["one_runner", "no_time_travel"]),
        ("ABORT_NOT_DURABLE", ["one_runner", "no_time_travel"]),
        ("INTENT_AFTER_CONT", ["no_time_travel", "not_lost"]),
        ("OLD_PROOF", ["one_runner", "no_time_travel"]),
        ("OLD_TOKEN", ["one_runner", "no_time_travel"]),
        ("SHIPPED_SILENCE_IS_NO", ["one_runner", "no_time_travel"]),
        ("SHIPPED_ABORT_UNMARKED", ["not_lost"]),
        ("SHIPPED_LATE_IS_LOST", ["not_lost"]),
        ("SHIPPED_LEFTOVER", ["not_stuck"]),
        ("MARK_IGNORED", ["not_lost"]),
        ("INTENT_LANDS_LAST", ["not_lost"]),
    ];

    [Fact]
    public async Task The_hand_over_keeps_every_promise_in_every_interleaving_with_four_faults()
    {
        using var model = await SpinModel.BuildAsync(mistake: null);
        await Parallel.ForEachAsync(Promises, async (promise, _) =>
        {
            var verdict = await model.CheckAsync(promise);
            output.WriteLine($"{promise}: {verdict.Errors} errors, {verdict.States:N0} states, {verdict.MemoryMiB:0} MiB");
            Assert.Equal(0, verdict.Errors);
        });
        foreach (var claim in FalseClaims) Assert.Equal(1, (await model.CheckAsync(claim)).Errors);
    }

    [Fact]
    public async Task Every_seeded_mistake_is_caught_by_the_property_that_names_it()
    {
        var missed = new List<string>();
        var found = 0;
        await Parallel.ForEachAsync(Mistakes, async (seeded, _) =>
        {
            using var model = await SpinModel.BuildAsync(seeded.Mistake);
            var passed = new List<string>();
            foreach (var property in seeded.CaughtBy)
                if ((await model.CheckAsync(property)).Errors == 0) passed.Add(property);
            lock (missed)
            {
                if (passed.Count == 0) found++;
                missed.AddRange(passed.Select(p => $"{seeded.Mistake} got past {p}"));
            }
        });
        var figure = $"seeded mistakes found / total: {found} / {Mistakes.Length}";
        output.WriteLine(figure);
        TestFigures.Write("handover-model",
            $"seeded-mistakes-found {found}", $"seeded-mistakes-total {Mistakes.Length}");
        Assert.Empty(missed);
    }
}
