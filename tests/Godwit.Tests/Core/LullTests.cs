using Godwit.Core.Migration;
using Xunit;

namespace Godwit.Tests.Core;

public sealed class LullTests
{
    private const double TickMs = 20;
    private const long Gigabit = 118_000_000;
    private static readonly MoveLimits limits = new(300);

    /// <summary>Ticks of a guest that writes for so long, rests for so long, and so on.</summary>
    private static List<double> Bursts(double burstMs, double restMs, double felt, double offMs = 0, double tickMs = TickMs)
    {
        var ticks = new List<double>();
        for (var tick = 0; tick < felt / tickMs; tick++)
            ticks.Add(Enumerable.Range(0, 20).Count(part => (offMs + (tick + part / 20.0) * tickMs) % (burstMs + restMs) < burstMs) / 20.0);
        return ticks;
    }

    private static Bursts Of(double restMs, double leftMs, double burstMs = 200) =>
        new(restMs, restMs + burstMs, IsWriting: leftMs == 0, RestedMs: Math.Max(0, restMs - leftMs), leftMs);

    private static List<PassFacts> Passes(params double[] remainingMiB) =>
        [.. remainingMiB.Select((mib, n) => new PassFacts(n + 1, (long)(mib * (1 << 20)), 0))];

    [Theory]
    [InlineData(200, 800)]
    [InlineData(400, 600)]
    [InlineData(100, 400)]
    [InlineData(300, 1500)]
    public void The_rest_between_bursts_is_felt_whenever_one_begins_to_feel(double burstMs, double restMs)
    {
        foreach (var off in Enumerable.Range(0, 20).Select(n => n * (burstMs + restMs) / 20))
            Assert.Equal(restMs, Lull.Felt(Bursts(burstMs, restMs, 3.5 * (burstMs + restMs), off), TickMs)!.RestMs, tolerance: TickMs);
    }

    /// <summary>A look into memory has slices of 100 ms: a move on paper finds the same rests in them.</summary>
    [Fact]
    public void Slices_of_a_look_tell_the_rest_nearly_as_well()
    {
        foreach (var off in Enumerable.Range(0, 20).Select(n => n * 50.0))
            Assert.InRange(Lull.Felt(Bursts(200, 800, 3000, off, tickMs: 100), 100)!.RestMs, 740, 801);
    }

    [Fact]
    public void A_guest_that_writes_without_rest_has_none_nor_has_one_that_was_felt_too_briefly_or_rests_at_odds()
    {
        var random = new Random(7);
        Assert.Null(Lull.Felt([], TickMs));
        Assert.Null(Lull.Felt([.. Enumerable.Repeat(0.0, 200)], TickMs));
        Assert.Null(Lull.Felt([.. Enumerable.Range(0, 200).Select(_ => 5 + 5 * random.NextDouble())], TickMs));
        Assert.Null(Lull.Felt(Bursts(200, 800, 1900, offMs: 100), TickMs)); // One whole rest.
        Assert.Null(Lull.Felt(Bursts(10_000, 10_000, 4000), TickMs));
        Assert.Null(Lull.Felt([.. Bursts(200, 300, 1000), .. Bursts(200, 900, 2200)], TickMs));
        Assert.Null(Lull.Felt([.. Bursts(200, 800, 3500).Select(tick => Math.Max(tick, 0.12))], TickMs)); // It writes on, a little.
        Assert.NotNull(Lull.Felt([.. Bursts(200, 800, 3500).Select(tick => Math.Max(tick, 0.02))], TickMs));
    }

    [Fact]
    public void It_knows_for_how_long_the_guest_has_rested_and_when_it_should_write_again()
    {
        Assert.True(Lull.Felt(Bursts(200, 800, 3100), TickMs) is { IsWriting: true, RestedMs: 0, LeftMs: 0 });
        Assert.Equal((60, 740), Rests(Bursts(200, 800, 3260)));
        Assert.Equal((800, 0), Rests(Bursts(200, 800, 3000)));
        Assert.Equal((1000, -200), Rests([.. Bursts(200, 800, 3000), .. Enumerable.Repeat(0.0, 10)])); // It is late.

        static (double, double) Rests(List<double> ticks) => Lull.Felt(ticks, TickMs) is { } felt
            ? (Math.Round(felt.RestedMs), Math.Round(felt.LeftMs)) : default;
    }

    [Fact]
    public void Bursts_that_begin_each_second_are_expected_then_however_long_the_one_before_took()
    {
        var slow = Bursts(200, 800, 3000).Concat(Bursts(280, 720, 320));
        Assert.Equal(680, Lull.Felt([.. slow], TickMs)!.LeftMs, tolerance: 1);
        // A guest that rests equally long is expected after that: the burst before was short.
        var early = Bursts(200, 800, 3000).Concat(Bursts(100, 900, 140));
        Assert.Equal(760, Lull.Felt([.. early], TickMs)!.LeftMs, tolerance: 1);
    }

    [Fact]
    public void A_moment_without_writing_within_a_burst_is_no_rest()
    {
        var ticks = Bursts(200, 800, 3100);
        ticks[^1] = 0;
        Assert.True(Lull.Felt([.. ticks, 1, 1, 1, 1, 1, 0, 0], TickMs) is { RestedMs: 40, RestMs: 800 });
    }

    /// <summary>96 MiB over 1 Gbit/s are 853 ms: longer than the rest, and within it with a part of the 300 ms allowed.</summary>
    [Fact]
    public void A_pass_that_begins_with_the_rest_leaves_to_the_pause_what_the_rest_has_no_room_for()
    {
        var at = TimeSpan.FromSeconds(6);
        var aim = Assert.IsType<LullAdvice.EndWithin>(Lull.Advise(Passes(500, 96, 96), Gigabit, limits, at, Of(800, 740)));
        Assert.InRange(aim.DowntimeLimitMs, 853 - (740 - Lull.SpareMs) - 1, 853 - (740 - Lull.SpareMs) + 2);
        Assert.True(aim.DowntimeLimitMs <= Convergence.Top(limits.MaxPauseMs));
        // Half of it fits into the rest as it is.
        aim = Assert.IsType<LullAdvice.EndWithin>(Lull.Advise(Passes(500, 96, 48), Gigabit, limits, at, Of(800, 740)));
        Assert.Equal(1, aim.DowntimeLimitMs);
        // It missed its rest by 18 MiB, 160 ms: these fit the pause, and nothing is waited for.
        aim = Assert.IsType<LullAdvice.EndWithin>(Lull.Advise(Passes(500, 96, 18), Gigabit, limits, at, Of(800, 30)));
        Assert.Equal(160, aim.DowntimeLimitMs);
    }

    [Fact]
    public void A_pass_that_begins_too_late_in_a_rest_or_in_a_burst_is_held_back()
    {
        Assert.IsType<LullAdvice.HoldBack>(Lull.Advise(Passes(500, 96), Gigabit, limits, TimeSpan.FromSeconds(6), Of(800, 0)));
        Assert.IsType<LullAdvice.HoldBack>(Lull.Advise(Passes(500, 96), Gigabit, limits, TimeSpan.FromSeconds(6), Of(800, 400)));
        // It would fit just so, and would pause much less if it waited for the next rest.
        Assert.IsType<LullAdvice.HoldBack>(Lull.Advise(Passes(500, 80), Gigabit, limits, TimeSpan.FromSeconds(6), Of(800, 500)));
        // The burst is late.
        Assert.IsType<LullAdvice.HoldBack>(Lull.Advise(Passes(500, 96), Gigabit, limits, TimeSpan.FromSeconds(6), Of(800, -100)));
    }

    [Fact]
    public void Nothing_is_held_where_it_would_not_help_or_is_not_needed()
    {
        var at = TimeSpan.FromSeconds(6);
        Assert.Null(Lull.Advise(Passes(500), Gigabit, limits, at, Of(800, 0))); // The first pass sends everything.
        Assert.Null(Lull.Advise(Passes(500, 64), Gigabit, limits, at, Of(800, 0))); // It falls into a rest by itself.
        Assert.Null(Lull.Advise(Passes(500, 96), Gigabit, limits, at, Of(600, 0))); // No rest is long enough with the pause allowed.
        Assert.Null(Lull.Advise(Passes(500, 96), Gigabit, new MoveLimits(150), at, Of(800, 0)));
        Assert.NotNull(Lull.Advise(Passes(500, 96), Gigabit, new MoveLimits(700), at, Of(600, 0)));
        Assert.Null(Lull.Advise(Passes([500, .. Enumerable.Repeat(96.0, Lull.PassesMax)]), Gigabit, limits, at, Of(800, 0)));
        Assert.Null(Lull.Advise(Passes(500, 96), Gigabit, limits with { PassesMax = 1 }, at, Of(800, 0)));
        Assert.Null(Lull.Advise(Passes(500, 96), Gigabit, limits with { MaxSlowdownPercent = 30 }, at, Of(800, 0)));
        Assert.Null(Lull.Advise(Passes(500, 96), Gigabit, limits, at, Of(800, 0, burstMs: 1800))); // It would be held for too long.
        Assert.NotNull(Lull.Advise(Passes(500, 96), Gigabit, limits with { DeadlineSeconds = 30 }, at, Of(800, 0)));
        // The wait would go on beyond the time for patience, 0.7 of the deadline.
        Assert.Null(Lull.Advise(Passes(500, 96), Gigabit, limits with { DeadlineSeconds = 12 }, at, Of(800, 0)));
        Assert.Null(Lull.Advise(Passes(500, 96), Gigabit, limits with { DeadlineSeconds = 30 }, TimeSpan.FromSeconds(22), Of(800, 0)));
    }
}
