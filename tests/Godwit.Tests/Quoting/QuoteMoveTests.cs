using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Xunit;

namespace Godwit.Tests.Quoting;

/// <summary>What a person reads: all ways, what they break, and the cheapest way out.</summary>
public sealed class QuoteMoveTests
{
    [Fact]
    public void A_move_that_fits_breaks_nothing_and_needs_no_way_out()
    {
        var quote = Quote(MoveMode.Live, new MoveLimits(), PredictMoveTests.Memory());
        Assert.Equal(MoveMode.Live, quote.Chosen);
        Assert.All(quote.Ways, way => Assert.Empty(way.Breaks));
        Assert.Empty(quote.Relaxations);
        var live = quote.Ways[0];
        Assert.True(live.PauseMs.Low <= live.PauseMs.Expected && live.PauseMs.Expected <= live.PauseMs.High);
        Assert.True(quote.Ways[1].PauseMs.Expected > live.PauseMs.Expected);
    }

    [Fact]
    public void A_move_that_cannot_fit_names_the_limit_and_the_cheapest_way_out_first()
    {
        var busy = PredictMoveTests.Memory(900, 1, (100, 60), (350, 210), (3000, 210));
        var quote = Quote(MoveMode.Live, new MoveLimits(MaxPauseMs: 150), busy);
        Assert.Equal(["max-pause 150 ms"], quote.Ways[0].Breaks);
        Assert.Empty(quote.Ways[1].Breaks); // A quick move's pause is what was asked for.
        Assert.Contains("never fits into 150 ms", quote.Why, StringComparison.Ordinal);
        Assert.StartsWith("--max-pause ", quote.Relaxations[0], StringComparison.Ordinal);
        Assert.StartsWith("--may-quick", quote.Relaxations[1], StringComparison.Ordinal);
        Assert.StartsWith("--mode quick", quote.Relaxations[2], StringComparison.Ordinal);
        Assert.Empty(Quote(MoveMode.Live, new MoveLimits(MaxPauseMs: 150) { MayQuick = true }, busy).Ways[0].Breaks);
        Assert.Equal(["max-pause 150 ms", "deadline 1 s"],
            Quote(MoveMode.Live, new MoveLimits(MaxPauseMs: 150) { DeadlineSeconds = 1 }, busy).Ways[0].Breaks);

        var wider = int.Parse(quote.Relaxations[0].Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
        Assert.Empty(Quote(MoveMode.Live, new MoveLimits(MaxPauseMs: wider), busy).Ways[0].Breaks);
    }

    [Fact]
    public void A_guest_that_works_in_turns_is_offered_a_moment_at_which_it_rests()
    {
        // Eight seconds of work that no link keeps up with, twelve of rest; it has worked for two.
        var busy = PredictMoveTests.Memory(200, 1, (100, 60), (350, 210), (3000, 210)) with
        {
            LookWritten = 6 * 500,
            Rhythm = new GuestRhythm { Written = [.. Enumerable.Range(0, 164).Select(n => n % 40 < 16 ? 500 : 0)], AgeMs = 0 },
        };
        var quote = Quote(MoveMode.Live, new MoveLimits(MaxPauseMs: 150) { DeadlineSeconds = 5 }, busy);
        Assert.NotEmpty(quote.Ways[0].Breaks);
        Assert.Contains("it works 8 s of every 20 s, and works for 6 s from now", quote.Why, StringComparison.Ordinal);
        var offer = Assert.Single(quote.Relaxations, way => way.StartsWith("the same ", StringComparison.Ordinal));
        var seconds = int.Parse(offer.Split(' ')[2], System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(seconds, 3, 9); // Its first pass may still meet work.
        for (var late = 0; late <= 2; late++)
        {
            var then = busy.After((seconds + late) * 1000);
            Assert.Empty(Quote(MoveMode.Live, new MoveLimits(150) { DeadlineSeconds = 5 }, then).Ways[0].Breaks);
        }
        Assert.DoesNotContain(Quote(MoveMode.Quick, new MoveLimits { DeadlineSeconds = 1 }, busy).Relaxations,
            way => way.StartsWith("the same ", StringComparison.Ordinal)); // It would be another way.
    }

    [Fact]
    public void A_longer_pause_that_is_offered_would_do()
    {
        foreach (var (a, b, c, wire, limit) in
            from a in (double[])[10, 26, 60] from b in (double[])[60, 150] from c in (double[])[50, 300]
            from wire in (double[])[40, 100, 160] from limit in (int[])[100, 300, 600] select (a, b, c, wire, limit))
        {
            var memory = PredictMoveTests.Memory(700, 1, (100, a), (1000, a + b), (3000, a + b + c));
            var offer = Of(new MoveLimits(MaxPauseMs: limit)).Relaxations
                .FirstOrDefault(way => way.StartsWith("--max-pause", StringComparison.Ordinal));
            if (offer is null) continue;
            var wider = int.Parse(offer.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
            Assert.Empty(Of(new MoveLimits(MaxPauseMs: wider)).Ways[0].Breaks);

            MoveQuote Of(MoveLimits limits) => QuoteMove.Of(
                MoveMode.Live, limits, memory, PredictMoveTests.Path(wire), _ => Correction.None, DateTimeOffset.UnixEpoch);
        }
    }

    [Fact]
    public void Where_slowing_the_guest_would_help_and_is_not_allowed_it_is_a_line_and_a_way_out()
    {
        var busy = PredictMoveTests.Memory(900, 1, (100, 10), (1000, 105), (3000, 315));
        var limits = new MoveLimits(MaxPauseMs: 200);
        var quote = Quote(MoveMode.Live, limits, busy);
        Assert.Equal(["max-pause 200 ms"], quote.Ways[0].Breaks);
        Assert.Equal(0, quote.Ways[0].SlowdownNotAllowedPercent);
        var slowed = quote.Ways[^1];
        Assert.Equal((MoveMode.Live, 50), (slowed.Mode, slowed.SlowdownNotAllowedPercent));
        Assert.Equal(["max-slowdown 0 %"], slowed.Breaks);
        Assert.Contains(quote.Relaxations, way => way.StartsWith("--max-slowdown 50", StringComparison.Ordinal));

        var allowed = Quote(MoveMode.Live, limits with { MaxSlowdownPercent = 50 }, busy);
        Assert.Equal(quote.Ways.Count - 1, allowed.Ways.Count); // It is the move itself, now.
        Assert.Equal(slowed.PauseMs, allowed.Ways[0].PauseMs);
        Assert.Empty(allowed.Ways[0].Breaks);
    }

    [Fact]
    public void A_lazy_move_stands_still_for_its_devices_whatever_memory_it_has_and_is_the_last_to_be_offered()
    {
        var small = PredictMoveTests.Memory(100, 1, (100, 40), (1000, 400));
        var large = PredictMoveTests.Memory(4000, 1, (100, 40), (1000, 400));
        var (few, many) = (Quote(MoveMode.Lazy, new MoveLimits(), small), Quote(MoveMode.Lazy, new MoveLimits(), large));
        var (one, other) = (few.Ways.Single(w => w.Mode == MoveMode.Lazy), many.Ways.Single(w => w.Mode == MoveMode.Lazy));
        Assert.Equal(MoveMode.Lazy, few.Chosen);
        Assert.Equal(one.PauseMs, other.PauseMs);
        Assert.InRange(one.PauseMs.Expected, 10, 150);
        Assert.True(other.DurationMs.Expected > 10 * one.DurationMs.Expected);
        Assert.Contains("needs both hosts", few.Why, StringComparison.Ordinal);
        var live = Quote(MoveMode.Live, new MoveLimits(MaxPauseMs: 50), large);
        Assert.StartsWith("--mode lazy", live.Relaxations[^1], StringComparison.Ordinal);
        Assert.Empty(Quote(MoveMode.Live, new MoveLimits(MaxPauseMs: 50) { MayLazy = true }, large).Ways[0].Breaks);
    }

    /// <summary>4 GB of which it changes 400 MB/s, over 100 MB/s: a pass brings all, and what has changed since is what follows.</summary>
    [Fact]
    public void A_hybrid_move_crosses_once_and_what_has_changed_since_once_more()
    {
        var some = PredictMoveTests.Memory(4000, 1, (100, 40), (1000, 200), (10000, 200));
        var quote = Quote(MoveMode.Hybrid, new MoveLimits(MaxPauseMs: 50).ForHybrid(), some);
        var (live, lazy, hybrid) = (quote.Ways[0], quote.Ways[2], quote.Ways.Single(w => w.Mode == MoveMode.Hybrid));
        Assert.Equal(MoveMode.Hybrid, quote.Chosen);
        Assert.Empty(hybrid.Breaks);
        Assert.Equal(["max-pause 50 ms"], live.Breaks); // What it would come to by itself, however many passes.
        Assert.Equal(lazy.PauseMs.Expected, hybrid.PauseMs.Expected, 1.0);
        Assert.InRange(hybrid.WireBytes.Expected, 4350e6, 4450e6);
        Assert.Contains("needs both hosts", quote.Why, StringComparison.Ordinal);

        var idle = Quote(MoveMode.Hybrid, new MoveLimits().ForHybrid(), PredictMoveTests.Memory(1000, 1, (1000, 0.1)));
        Assert.Equal( // It ends as a live one.
            idle.Ways[0].DurationMs.Expected, idle.Ways.Single(w => w.Mode == MoveMode.Hybrid).DurationMs.Expected, 1.0);
    }

    private static MoveQuote Quote(MoveMode mode, MoveLimits limits, MemoryProfile memory) =>
        QuoteMove.Of(mode, limits, memory, PredictMoveTests.Path(100), _ => Correction.None, DateTimeOffset.UnixEpoch);
}
