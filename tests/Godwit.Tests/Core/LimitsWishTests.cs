using Godwit.Core.Migration;
using Xunit;

namespace Godwit.Tests.Core;

public sealed class LimitsWishTests
{
    private static readonly MoveLimits kept = new(MaxPauseMs: 150, BandwidthBytesPerSecond: 9 << 20)
    { DeadlineSeconds = 60, MayQuick = true, MaxSlowdownPercent = 20 };

    [Fact]
    public void What_is_not_said_stays_as_kept_and_each_thing_said_wins()
    {
        Assert.True(new LimitsWish().SaysNothing);
        Assert.Equal(kept, new LimitsWish().Over(kept));
        Assert.Equal(kept with { MaxPauseMs = 20 }, new LimitsWish { MaxPauseMs = 20 }.Over(kept));
        Assert.Equal(kept with { BandwidthBytesPerSecond = 0 }, new LimitsWish { BandwidthBytesPerSecond = 0 }.Over(kept));
        Assert.Equal(kept with { DeadlineSeconds = null }, new LimitsWish { DeadlineSeconds = 0 }.Over(kept));
        Assert.Equal(kept with { MayQuick = false }, new LimitsWish { MayQuick = false }.Over(kept));
        Assert.Equal(kept with { MaxSlowdownPercent = 0 }, new LimitsWish { MaxSlowdownPercent = 0 }.Over(kept));
    }

    [Fact]
    public void A_policy_begins_anew_and_what_is_said_beside_it_wins()
    {
        Assert.Equal(new MoveLimits(), new LimitsWish { Policy = "usual" }.Over(kept));
        Assert.Equal(new MoveLimits(90) { DeadlineSeconds = 600, MayQuick = true, MaxSlowdownPercent = 50 },
            new LimitsWish { Policy = "must-finish", MaxPauseMs = 90 }.Over(kept));
    }

    [Fact]
    public void Everything_wrong_is_told_at_once()
    {
        var codes = new LimitsWish
        {
            Policy = "hasty", MaxPauseMs = 0, BandwidthBytesPerSecond = -1, DeadlineSeconds = -1, MaxSlowdownPercent = 100,
        }.Broken().Select(reason => reason.Code);
        Assert.Equal(["bad-policy", "bad-max-pause", "bad-bandwidth", "bad-deadline", "bad-slowdown"], codes);
        Assert.Empty(new LimitsWish { Policy = "gentle", MaxPauseMs = 1, DeadlineSeconds = 0 }.Broken());
    }

    [Fact]
    public void Limits_in_words_are_those_that_are_not_as_usual()
    {
        Assert.Equal("", new MoveLimits().InWords());
        Assert.Equal("max-pause 150 ms, deadline 60 s, may-quick, max-slowdown 20 %, bwlimit 9 MiB/s", kept.InWords());
    }
}
