using CsCheck;
using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Xunit;

namespace Godwit.Tests.Quoting;

/// <summary>A guest's own clock: bursts and rests, and what a move makes of them on paper.</summary>
public sealed class GuestClockTests
{
    /// <summary>40 MiB in the first fifth of each of three seconds, nothing in the rest.</summary>
    private static readonly MemoryProfile Bursts = PredictMoveTests.Memory(256, 1, (100, 20), (300, 40), (1000, 40), (3000, 60)) with
    {
        Slices = [.. Enumerable.Range(0, 30).Select(slice => slice % 10 < 2 ? 20L << 20 : 0)],
    };

    /// <summary>Each burst writes the same 40 MiB.</summary>
    private static readonly MemoryProfile SameAgain =
        PredictMoveTests.Memory(256, 1, (100, 20), (300, 40), (1000, 40), (3000, 40)) with { Slices = Bursts.Slices };

    [Fact]
    public void A_guest_that_rests_changes_nothing_and_a_burst_all_of_it()
    {
        var clock = new GuestClock(Bursts);
        Assert.Equal(0, clock.DirtyBytesBetween(300, 900));
        Assert.Equal(40 << 20, clock.DirtyBytesBetween(1000, 1200), 1.0);
        Assert.Equal(clock.DirtyBytesBetween(1050, 1150), clock.DirtyBytesBetween(61_050, 61_150), 1.0); // It begins anew.
    }

    [Fact]
    public void A_move_waits_for_a_rest_and_its_pause_is_short()
    {
        var steady = Bursts with { Slices = [] };
        var path = PredictMoveTests.Path(60); // 667 ms for what a burst writes.
        var (bursts, without) = (PredictMove.Live(SameAgain, path, new MoveLimits()),
            PredictMove.Live(steady, PredictMoveTests.Path(50), new MoveLimits()));
        Assert.True(bursts is { Fits: true, PauseMs: < 20 }, $"{bursts}");
        Assert.True(without.PauseMs > 100, $"{without}");
    }

    [Fact]
    public void A_pass_as_long_as_the_rest_leaves_a_part_to_the_pause_where_so_much_is_allowed()
    {
        var path = PredictMoveTests.Path(50); // 40 MiB are 800 ms, as long as the guest rests.
        var allowed = PredictMove.Live(SameAgain, path, new MoveLimits(300));
        var not = PredictMove.Live(SameAgain, path, new MoveLimits(60));
        Assert.True(allowed.PauseMs is > 50 and < 150, $"{allowed}");
        Assert.True(allowed.Fits && allowed.Passes < 8 && (!not.Fits || not.Passes > allowed.Passes), $"{allowed}, {not}");
    }

    [Fact]
    public void It_knows_when_a_burst_is_over_and_when_the_next_begins()
    {
        var clock = new GuestClock(Bursts);
        Assert.Equal(800, clock.BurstsAt(0)!.RestMs, 1.0);
        Assert.Equal([0, 0, 700, 100], new double[] { 0, 150, 300, 900 }.Select(at => clock.BurstsAt(at)!.LeftMs));
        Assert.Equal((200, 1200, 1200), (clock.BurstOverMs(0), clock.BurstOverMs(201), clock.BurstOverMs(1100)));
        Assert.Equal(7200, clock.BurstOverMs(6300));
        Assert.Null(new GuestClock(Bursts with { Slices = [] }).BurstsAt(0));
    }

    [Fact]
    public void Pages_that_change_may_pack_worse_than_the_others()
    {
        var memory = PredictMoveTests.Memory(256, 4, (100, 5), (3000, 60));
        var (noise, alike) = (memory with { ChangedPackRatio = 1 }, memory with { ChangedPackRatio = 4 });
        var path = PredictMoveTests.Path(100);
        Assert.True(PredictMove.Live(noise, path, new MoveLimits()).WireBytes > PredictMove.Live(alike, path, new MoveLimits()).WireBytes);
        Assert.Equal(PredictMove.Live(memory, path, new MoveLimits()), PredictMove.Live(alike, path, new MoveLimits())); // Older records.
    }

    [Fact]
    public void Figures_that_no_host_can_have_make_a_quote_and_no_exception()
    {
        var absurd = Bursts with { TotalBytes = long.MaxValue, Slices = [.. Enumerable.Repeat(long.MaxValue, 30)] };
        Assert.True(double.IsFinite(PredictMove.Live(absurd, PredictMoveTests.Path(100), new MoveLimits()).PauseMs));
    }

    [Fact]
    public void Whatever_was_seen_time_adds_up_and_never_changes_more_than_there_is()
    {
        var (slices, mebibytes) = (Gen.Long[0, 1L << 30].Array[0, 40], Gen.Double[0, 900]);
        Gen.Select(slices, mebibytes, mebibytes, Gen.Double[0, 100_000], Gen.Double[0, 10_000]).Sample((seen, a, b, from, span) =>
        {
            var memory = PredictMoveTests.Memory(1024, 1, (100, a), (3000, b)) with { Slices = seen };
            var clock = new GuestClock(memory);
            var (part, all) = (clock.DirtyBytesBetween(from, from + span / 2), clock.DirtyBytesBetween(from, from + span));
            return part >= 0 && part <= all + 1 && all <= memory.TotalBytes;
        });
    }
}
