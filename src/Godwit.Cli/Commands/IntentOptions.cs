using System.CommandLine;
using Godwit.Core.Migration;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>What a person wants of a move, rather than how it is done: a preset, and what is said beside it.</summary>
internal sealed class IntentOptions
{
    public Option<string?> Policy { get; } = new("--policy")
    {
        Description = "minimal-pause: stays at home rather than pause for over 100 ms. must-finish: ends within 10 minutes, slowed at "
            + "first, stopped for the rest at last. gentle: 32 MiB/s, however long it takes. What is said beside it wins.",
        HelpName = "PRESET",
    };

    public Option<int?> Deadline { get; } = new("--deadline")
    {
        Description = "Seconds until it is over: it stays at home then, or with --may-quick is stopped for the rest.", HelpName = "SECONDS",
    };

    public Option<bool> MayQuick { get; } = new("--may-quick")
    { Description = "Where limit or deadline cannot be kept otherwise, stop the guest and let the rest cross." };

    public Option<int> MaxSlowdown { get; } = new("--max-slowdown")
    { Description = "Slow the guest by up to this much, if its memory changes faster than it crosses.", HelpName = "PERCENT" };

    public IntentOptions()
    {
        Policy.AcceptOnlyFromAmong([.. MovePreset.All.Keys]);
        Deadline.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 1 or > MoveLimits.DeadlineSecondsMax)
                result.AddError($"--deadline is 1 to {MoveLimits.DeadlineSecondsMax} s.");
        });
        MaxSlowdown.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 0 or > MoveLimits.SlowdownPercentMax)
                result.AddError($"--max-slowdown is 0 to {MoveLimits.SlowdownPercentMax} %.");
        });
    }

    public MigrateRequest Apply(ParseResult parsed, Option<int> maxPause, Option<long> bwlimitMiB, MigrateRequest wish)
    {
        var preset = parsed.GetValue(Policy) is { } name ? MovePreset.All[name] : new MoveLimits();
        return wish with
        {
            MaxPauseMs = IsSaid(parsed, maxPause) ? parsed.GetValue(maxPause) : preset.MaxPauseMs,
            BandwidthBytesPerSecond = IsSaid(parsed, bwlimitMiB) ? parsed.GetValue(bwlimitMiB) << 20 : preset.BandwidthBytesPerSecond,
            DeadlineSeconds = parsed.GetValue(Deadline) ?? preset.DeadlineSeconds,
            MayQuick = IsSaid(parsed, MayQuick) ? parsed.GetValue(MayQuick) : preset.MayQuick,
            MaxSlowdownPercent = IsSaid(parsed, MaxSlowdown) ? parsed.GetValue(MaxSlowdown) : preset.MaxSlowdownPercent,
        };
    }

    private static bool IsSaid(ParseResult parsed, Option option) => parsed.GetResult(option) is { Implicit: false };
}
