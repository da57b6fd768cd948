using Godwit.Agent.Moves;
using Godwit.Core.Migration;
using Xunit;

namespace Godwit.Tests.Agent;

public sealed class HandOversTests
{
    private static readonly MoveLimits asked = new(MaxPauseMs: 300);
    private readonly HandOvers handOvers = new();

    [Fact]
    public void Nothing_is_put_aside_before_any_was_seen_or_where_they_are_as_quick_as_is_assumed()
    {
        Assert.Equal(asked, handOvers.Within(asked));
        Note(3, 7, Convergence.DevicePartMs);
        Assert.Equal(asked, handOvers.Within(asked));
    }

    [Fact]
    public void Of_a_slow_hosts_limit_what_hand_overs_take_is_put_aside()
    {
        // 27 ms, where 8 are assumed: 300 ms were kept by QEMU alone, and 324 came of it.
        Note(27, 27, 27, 27);
        Assert.Equal(asked with { MaxPauseMs = 281 }, handOvers.Within(asked));
    }

    [Fact]
    public void One_slow_hand_over_of_many_counts_little_and_old_ones_do_not_count()
    {
        Note(200, 10, 10, 10, 10);
        Assert.Equal(298, handOvers.Within(asked).MaxPauseMs);
        Note(4, 4, 4, 4, 4, 4, 4, 4);
        Assert.Equal(asked, handOvers.Within(asked));
    }

    [Fact]
    public void A_short_limit_is_not_made_impossible()
    {
        Note(90);
        Assert.Equal(15, handOvers.Within(asked with { MaxPauseMs = 20 }).MaxPauseMs);
        Assert.Equal(1, handOvers.Within(asked with { MaxPauseMs = 1 }).MaxPauseMs);
    }

    private void Note(params double[] tookMs)
    {
        foreach (var ms in tookMs) handOvers.Note(new PauseParts(LastPassMs: 500, DrainMs: ms / 2, LoadMs: ms / 4, StartMs: ms / 4));
    }
}
