using CsCheck;
using Godwit.Core.Migration;
using Xunit;

namespace Godwit.Tests.Core;

public sealed class ConvergenceTests
{
    private const long GigabitLink = 117_000_000;

    /// <summary>Remaining bytes of each pass for a guest that dirties at a steady rate within its working set.</summary>
    private static List<PassFacts> Guest(long totalBytes, long dirtyBytesPerSecond, long workingSetBytes, int passes)
    {
        var list = new List<PassFacts>();
        double remaining = totalBytes;
        for (var n = 1; n <= passes; n++)
        {
            list.Add(new PassFacts(n, (long)remaining, GigabitLink));
            remaining = Math.Min(workingSetBytes, remaining / GigabitLink * dirtyBytesPerSecond);
        }
        return list;
    }

    [Fact]
    public void A_guest_whose_passes_shrink_keeps_the_low_aim()
    {
        var advice = Convergence.Advise(Guest(512 << 20, 10_000_000, 64 << 20, 6), new MoveLimits(300), TimeSpan.Zero);
        Assert.Equal(Convergence.FirstLimitMs(300), Assert.IsType<ConvergenceAdvice.SwitchBelow>(advice).DowntimeLimitMs);
    }

    /// <summary>On a fast machine 184 KiB were left in each of 37 passes, and the move gave up for a pause of 8 ms.</summary>
    [Fact]
    public void Passes_of_a_few_milliseconds_do_not_run_through_the_ladder_before_QEMU_has_looked()
    {
        var (passes, counted) = (new List<PassFacts> { new(1, 129 << 20, 20 << 20) }, 0.0);
        for (var n = 2; n <= 38; n++)
        {
            var atMs = 1000 + 9.0 * n;
            if (Convergence.Note(passes, new PassFacts(n, 184 << 10, 20 << 20), atMs - counted)) counted = atMs;
            var advice = Convergence.Advise(passes, new MoveLimits(300), TimeSpan.FromSeconds(1));
            var aim = Assert.IsType<ConvergenceAdvice.SwitchBelow>(advice);
            Assert.True(aim.DowntimeLimitMs < 64);
            Assert.Equal(n, passes[^1].Number);
        }
        Assert.InRange(passes.Count, 6, 9);
    }

    [Fact]
    public void A_guest_whose_passes_stand_still_raises_the_aim_step_by_step()
    {
        var limits = Enumerable.Range(2, 30)
            .Select(n => Convergence.Advise(Guest(1L << 30, 400_000_000, 20 << 20, n), new MoveLimits(300), TimeSpan.Zero))
            .OfType<ConvergenceAdvice.SwitchBelow>().Select(a => a.DowntimeLimitMs).ToList();
        Assert.Equal(limits.Order(), limits);
        Assert.True(limits[^1] > limits[0]);
    }

    [Fact]
    public void A_guest_that_can_never_fit_is_given_up_with_the_pause_it_would_have_had()
    {
        var advice = Convergence.Advise(Guest(1L << 30, 400_000_000, 512 << 20, 200), new MoveLimits(150), TimeSpan.Zero);
        var pauseMs = Assert.IsType<ConvergenceAdvice.GiveUp>(advice).WouldPauseMs;
        Assert.True(pauseMs > 150, $"{pauseMs}");
    }

    /// <summary>Of a hybrid move: a pass is all it gets, unless what is left fits by then.</summary>
    [Theory, InlineData(20, 1, typeof(ConvergenceAdvice.SwitchBelow)), InlineData(20, 2, typeof(ConvergenceAdvice.SwitchBelow))]
    [InlineData(60, 1, typeof(ConvergenceAdvice.SwitchBelow)), InlineData(60, 2, typeof(ConvergenceAdvice.GiveUp))]
    [InlineData(20, 4, typeof(ConvergenceAdvice.SwitchBelow)), InlineData(20, 5, typeof(ConvergenceAdvice.GiveUp))] // QEMU does not switch.
    public void Where_passes_are_counted_what_is_left_fits_after_them_or_it_is_given_up(int workingSetMiB, int passes, Type expected)
    {
        var advice = Convergence.Advise(
            Guest(1L << 30, 400_000_000, (long)workingSetMiB << 20, passes), new MoveLimits(300).ForHybrid(), TimeSpan.Zero);
        Assert.IsType(expected, advice);
        if (advice is ConvergenceAdvice.SwitchBelow aim && passes > 1)
            Assert.Equal((int)((300 - Convergence.DevicePartMs) * Convergence.RateKeptTo), aim.DowntimeLimitMs);
    }

    [Fact]
    public void A_long_allowed_pause_is_used_to_its_end_and_a_guest_that_needs_more_is_given_up()
    {
        var fits = Convergence.Advise(Guest(1L << 30, 400_000_000, 300 << 20, 32), new MoveLimits(5000), TimeSpan.Zero);
        Assert.Equal((int)((5000 - Convergence.DevicePartMs) * Convergence.RateKeptTo),
            Assert.IsType<ConvergenceAdvice.SwitchBelow>(fits).DowntimeLimitMs);
        Assert.IsType<ConvergenceAdvice.GiveUp>(
            Convergence.Advise(Guest(8L << 30, 400_000_000, 4L << 30, 200), new MoveLimits(5000), TimeSpan.Zero));
    }

    [Fact]
    public void Near_the_deadline_the_aim_is_all_that_was_allowed_and_at_it_the_wish_decides()
    {
        var limits = new MoveLimits(200) { DeadlineSeconds = 100 };
        var passes = Guest(1L << 30, 400_000_000, 20 << 20, 4);
        Assert.Equal(8, Aim(limits, 10));
        Assert.Equal((int)((200 - Convergence.DevicePartMs) * Convergence.RateKeptTo), Aim(limits, 75));
        Assert.Contains("deadline", Assert.IsType<ConvergenceAdvice.GiveUp>(
            Convergence.Advise(passes, limits, TimeSpan.FromSeconds(100))).Why, StringComparison.Ordinal);
        Assert.IsType<ConvergenceAdvice.StopNow>(Convergence.Advise(passes, limits with { MayQuick = true }, TimeSpan.FromSeconds(100)));

        int Aim(MoveLimits wish, double seconds) => Assert.IsType<ConvergenceAdvice.SwitchBelow>(
            Convergence.Advise(passes, wish, TimeSpan.FromSeconds(seconds))).DowntimeLimitMs;
    }

    [Fact]
    public void By_consent_a_guest_is_stopped_at_the_last_pass_end_before_its_deadline()
    {
        var limits = new MoveLimits(200) { DeadlineSeconds = 100, MayQuick = true };
        var passes = Guest(1L << 30, 400_000_000, 500 << 20, 4);
        var passMs = (500 << 20) * 1000.0 / GigabitLink;
        TimeSpan soon = TimeSpan.FromMilliseconds(100_100 - passMs), before = TimeSpan.FromMilliseconds(99_900 - passMs);
        Assert.IsType<ConvergenceAdvice.SwitchBelow>(Convergence.Advise(passes, limits, before));
        Assert.Equal(passMs + Convergence.DevicePartMs,
            Assert.IsType<ConvergenceAdvice.StopNow>(Convergence.Advise(passes, limits, soon)).WouldPauseMs, tolerance: 1);
        // Not without consent, not where the rest fits, and not before anything but the first pass was seen.
        Assert.IsType<ConvergenceAdvice.SwitchBelow>(Convergence.Advise(passes, limits with { MayQuick = false }, soon));
        Assert.IsType<ConvergenceAdvice.SwitchBelow>(
            Convergence.Advise(Guest(1L << 30, 400_000_000, 10 << 20, 4), limits, TimeSpan.FromSeconds(99.95)));
        Assert.IsType<ConvergenceAdvice.SwitchBelow>(Convergence.Advise([passes[0]], limits, soon));
    }

    [Fact]
    public void The_aim_never_passes_the_allowed_pause() =>
        Gen.Select(Gen.Long[0, 1L << 34].Array[1, 60], Gen.Int[1, 3000]).Sample((remaining, maxPauseMs) =>
        {
            var passes = remaining.Select((r, n) => new PassFacts(n + 1, r, GigabitLink)).ToList();
            return Convergence.Advise(passes, new MoveLimits(maxPauseMs), TimeSpan.Zero) is not ConvergenceAdvice.SwitchBelow aim
                || (aim.DowntimeLimitMs >= 1 && aim.DowntimeLimitMs <= Math.Max(1, maxPauseMs - Convergence.DevicePartMs));
        });

    [Fact]
    public void A_guest_as_fast_as_the_link_has_no_eta() =>
        Assert.Null(Convergence.EtaSeconds(1 << 30, GigabitLink, GigabitLink));

    [Fact]
    public void The_eta_counts_the_passes_to_come() =>
        Assert.Equal(2.0, Convergence.EtaSeconds(GigabitLink, GigabitLink, GigabitLink / 2)!.Value, precision: 1);
}
