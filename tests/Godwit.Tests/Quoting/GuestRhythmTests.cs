using Godwit.Core.Quoting;
using Xunit;

namespace Godwit.Tests.Quoting;

public sealed class GuestRhythmTests
{
    [Theory]
    [InlineData(20, 10)]
    [InlineData(17.3, 4)]
    [InlineData(60, 50)]
    public void Turns_longer_than_a_look_are_found(double periodSeconds, double worksSeconds)
    {
        for (var seed = 1; seed <= 20; seed++)
        {
            var rhythm = Felt(second => (second + seed) % periodSeconds < worksSeconds ? 0.15 : 0, slices: 300, seed);
            Assert.InRange(rhythm.PeriodSlices() * GuestRhythm.SliceMs / 1000, periodSeconds - 0.6, periodSeconds + 0.6);
        }
    }

    [Fact]
    public void Two_turns_are_enough()
    {
        for (var seed = 1; seed <= 20; seed++)
        {
            var rhythm = Felt(second => (second + seed) % 20 < 10 ? 0.2 : 0, slices: 92, seed);
            Assert.InRange(rhythm.PeriodSlices(), 39, 41);
        }
    }

    [Fact]
    public void Steady_guests_idle_ones_and_those_that_work_as_they_like_have_no_turns()
    {
        for (var seed = 1; seed <= 20; seed++)
        {
            Assert.Equal(0, Felt(_ => 0.2, slices: 300, seed).PeriodSlices());
            Assert.Equal(0, Felt(_ => 0.003, slices: 300, seed).PeriodSlices());
            Assert.Equal(0, Felt(_ => 0, slices: 300, seed).PeriodSlices());
            // A burst in each second, felt twice a second: a look tells those.
            Assert.Equal(0, Felt(second => second % 1 < 0.5 ? 0.2 : 0, slices: 300, seed).PeriodSlices());
            Assert.Equal(0, Felt(second => second < 75 ? 0.2 : 0.1, slices: 300, seed).PeriodSlices()); // Once another load.
        }
        Assert.Equal(0, new GuestRhythm { Written = [], AgeMs = 0 }.PeriodSlices());
        Assert.Equal(0, Felt(second => second % 20 < 10 ? 0.2 : 0, slices: 60, seed: 1).PeriodSlices()); // One and a half.
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(9)]
    public void A_move_is_quoted_by_the_turn_it_will_meet(double restedForSeconds)
    {
        // Ten seconds of work, ten of rest; asked for when it has rested for so long.
        var memory = Memory(restedForSeconds, lookedAtWork: true);
        var clock = new GuestClock(memory);
        Assert.True(clock.KnowsItsTurn);
        var restMs = (10 - restedForSeconds) * 1000;
        if (restMs > 1500) Assert.Equal(0, clock.DirtyBytesBetween(0, restMs - 600), tolerance: 1);
        // Whole work: all that it has.
        Assert.InRange(clock.DirtyBytesBetween(restMs + 500, restMs + 9500), 63 << 20, 64 << 20);
        // A second of work is what the look saw in a second.
        Assert.InRange(clock.DirtyBytesBetween(restMs + 2000, restMs + 3000), 18 << 20, 22 << 20);
        var again = new GuestClock(memory.After(20_000));
        Assert.Equal(clock.DirtyBytesBetween(0, 7000), again.DirtyBytesBetween(0, 7000), tolerance: 1 << 20);
    }

    [Fact]
    public void A_look_that_fell_into_a_rest_tells_no_turn()
    {
        Assert.Null(GuestTurn.Of(Memory(restedForSeconds: 5, lookedAtWork: false)));
        Assert.False(new GuestClock(Memory(restedForSeconds: 5, lookedAtWork: false)).KnowsItsTurn);
        // One that was not felt tells none either.
        Assert.Null(GuestTurn.Of(Memory(restedForSeconds: 5, lookedAtWork: true) with { LookWritten = 0 }));
        Assert.Null(GuestTurn.Of(Memory(restedForSeconds: 5, lookedAtWork: true) with { Dirty = [] }));
    }

    /// <summary>The first look at a guest, as its work begins: nobody felt it meanwhile, and its pages are felt only since.</summary>
    [Fact]
    public void A_look_that_nobody_felt_tells_a_turn_by_its_own_slices()
    {
        var worked = Memory(restedForSeconds: 5, lookedAtWork: true) with
        {
            LookWritten = 0, Slices = [.. Enumerable.Repeat(2L << 20, 30)], // 10 MiB in half a second, 80 of 1,000 pages.
        };
        Assert.Equal(6 * 80, worked.LookWrittenBySlices(presentBytes: 125 << 20));
        Assert.NotNull(GuestTurn.Of(worked with { LookWritten = worked.LookWrittenBySlices(125 << 20) }));
        // The same few pages over and over are felt as few.
        Assert.Equal(6 * 32, (worked with { Dirty = [new(3000, 4 << 20)] }).LookWrittenBySlices(125 << 20));
        Assert.Equal(0, (worked with { Slices = [], Dirty = [] }).LookWrittenBySlices(0));
    }

    [Fact]
    public void It_tells_what_the_guest_does_just_now()
    {
        var memory = Memory(restedForSeconds: 4, lookedAtWork: true);
        var turn = GuestTurn.Of(memory)!;
        Assert.Equal(20_000, turn.PeriodMs);
        var (works, forMs, worksMs) = turn.At(0, memory.Rhythm!.AgeMs)!.Value;
        Assert.False(works);
        Assert.InRange(forMs, 5500, 6500);
        Assert.Equal(10_000, worksMs, tolerance: 500);
        Assert.True(turn.At(8000, memory.Rhythm.AgeMs)!.Value.Works);
    }

    /// <summary>Of 256 pages felt each half second, those that changed.</summary>
    private static GuestRhythm Felt(Func<double, double> share, int slices, int seed)
    {
        var random = new Random(seed);
        return new GuestRhythm
        {
            Written = [.. Enumerable.Range(0, slices).Select(slice =>
                Enumerable.Range(0, 256).Count(_ => random.NextDouble() < share(slice * 0.5)) * 1000 / 256)],
            AgeMs = 0,
        };
    }

    /// <summary>A hundred seconds of a guest that works through 64 MiB at 20 MiB a second.</summary>
    private static MemoryProfile Memory(double restedForSeconds, bool lookedAtWork) => new()
    {
        At = DateTimeOffset.UnixEpoch, TotalBytes = 320 << 20, NonZeroBytes = 128 << 20, PackRatio = 1, SampledPages = 1, Slices = [],
        Dirty = lookedAtWork ? [new(500, 10 << 20), new(1000, 20 << 20), new(3000, 60 << 20)] : [new(3000, 4096)],
        LookWritten = lookedAtWork ? 6 * 80 : 0,
        Rhythm = new GuestRhythm
        {
            Written = [.. Enumerable.Range(1, 200).Select(slice => (200 - slice) * 0.5 + 0.25)
                .Select(ago => (ago - restedForSeconds + 20) % 20 < 10 ? 80 : 0)],
            AgeMs = 0, Longer = [new(5000 + restedForSeconds * 1000, 64 << 20), new(20_000, 64 << 20)],
        },
    };
}
