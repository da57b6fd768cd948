using Godwit.Core.Vms;

namespace Godwit.Core.Migration;

/// <summary>What is said of limits: of one move, or of every move of a VM. What is null is not said.</summary>
public sealed record LimitsWish
{
    /// <summary>A name in <see cref="MovePreset.All"/>: begin from it, whatever was kept. What is said beside it wins over it.</summary>
    public string? Policy { get; init; }
    /// <summary>1 to 60 000; the move does not switch over above it.</summary>
    public int? MaxPauseMs { get; init; }
    /// <summary>0 is as fast as the link goes.</summary>
    public long? BandwidthBytesPerSecond { get; init; }
    /// <summary>Seconds from the first byte to the end of patience; 0: as long as passes shrink.</summary>
    public int? DeadlineSeconds { get; init; }
    /// <summary>Consent: stop the guest for the rest where limit or deadline cannot be kept otherwise.</summary>
    public bool? MayQuick { get; init; }
    /// <summary>Consent: where it would stay at home for its limit or deadline, it goes lazily: memory follows it (post-copy).</summary>
    public bool? MayLazy { get; init; }
    /// <summary>Consent: slow the guest by up to this many percent so that its memory crosses faster than it changes.</summary>
    public int? MaxSlowdownPercent { get; init; }

    public bool SaysNothing => this == new LimitsWish();

    /// <summary>Every reason why it cannot be meant; empty: it may be applied.</summary>
    public IEnumerable<Refusal> Broken()
    {
        if (Policy is not null && !MovePreset.All.ContainsKey(Policy))
            yield return new("bad-policy", $"there is no policy '{Policy}'", $"one of {string.Join(", ", MovePreset.All.Keys)}");
        if (MaxPauseMs is < 1 or > VmRules.MaxPauseMsMax)
            yield return new("bad-max-pause", $"a pause of at most {MaxPauseMs} ms", $"1 to {VmRules.MaxPauseMsMax} ms are possible");
        if (BandwidthBytesPerSecond is < 0 or > VmRules.BandwidthMax)
            yield return new("bad-bandwidth", $"{BandwidthBytesPerSecond} bytes a second",
                $"0 (as fast as the link goes) to {VmRules.BandwidthMax} are possible");
        if (DeadlineSeconds is < 0 or > MoveLimits.DeadlineSecondsMax)
            yield return new("bad-deadline", $"a deadline of {DeadlineSeconds} s",
                $"0 (none) to {MoveLimits.DeadlineSecondsMax} s are possible");
        if (MaxSlowdownPercent is < 0 or > MoveLimits.SlowdownPercentMax)
            yield return new("bad-slowdown", $"a slowdown of at most {MaxSlowdownPercent} %",
                $"0 (none) to {MoveLimits.SlowdownPercentMax} % are possible");
    }

    /// <param name="kept">What holds where nothing is said.</param>
    public MoveLimits Over(MoveLimits kept)
    {
        var from = Policy is null ? kept : MovePreset.All[Policy];
        return new MoveLimits(MaxPauseMs ?? from.MaxPauseMs, BandwidthBytesPerSecond ?? from.BandwidthBytesPerSecond)
        {
            DeadlineSeconds = DeadlineSeconds is { } said ? said == 0 ? null : said : from.DeadlineSeconds,
            MayQuick = MayQuick ?? from.MayQuick, MayLazy = MayLazy ?? from.MayLazy,
            MaxSlowdownPercent = MaxSlowdownPercent ?? from.MaxSlowdownPercent,
        };
    }
}
