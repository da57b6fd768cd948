using System.CommandLine;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>What a person wants of moves, rather than how they are done: a preset, and what is said beside it.</summary>
internal sealed class IntentOptions
{
    private const int BandwidthMiBMax = 1 << 20;

    public Option<string?> Policy { get; } = new("--policy")
    {
        Description = "minimal-pause: stays at home rather than pause for over 100 ms. must-finish: ends within 10 minutes, slowed at "
            + "first, stopped for the rest at last. gentle: 32 MiB/s, however long it takes. usual: nothing of what was kept. What is said "
            + "beside it wins.",
        HelpName = "PRESET",
    };

    public Option<int?> MaxPause { get; } = NewMaxPause();

    public Option<int?> Deadline { get; } = new("--deadline")
    {
        Description = "Seconds until it is over: it stays at home then, or with --may-quick is stopped for the rest. 0: none.",
        HelpName = "SECONDS",
    };

    public Option<bool?> MayQuick { get; } = new("--may-quick")
    {
        Description = "Where limit or deadline cannot be kept otherwise, stop the guest and let the rest cross.",
        Arity = ArgumentArity.ZeroOrOne, HelpName = "true|false",
    };

    public Option<bool?> MayLazy { get; } = new("--may-lazy")
    {
        Description = "Where it would stay at home for limit or deadline, go as with --mode lazy: memory follows the guest (post-copy).",
        Arity = ArgumentArity.ZeroOrOne, HelpName = "true|false",
    };

    public Option<int?> MaxSlowdown { get; } = new("--max-slowdown")
    { Description = "Slow the guest by up to this much, if its memory changes faster than it crosses.", HelpName = "PERCENT" };

    public Option<long?> Bandwidth { get; } = new("--bwlimit")
    { Description = "Most the link may carry; 0 is no limit.", HelpName = "MiB/s" };

    public IReadOnlyList<Option> All => [Policy, MaxPause, Deadline, MayQuick, MayLazy, MaxSlowdown, Bandwidth];

    public IntentOptions()
    {
        Policy.AcceptOnlyFromAmong([.. MovePreset.All.Keys]);
        Deadline.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 0 or > MoveLimits.DeadlineSecondsMax)
                result.AddError($"--deadline is 0 (none) to {MoveLimits.DeadlineSecondsMax} s.");
        });
        MaxSlowdown.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 0 or > MoveLimits.SlowdownPercentMax)
                result.AddError($"--max-slowdown is 0 to {MoveLimits.SlowdownPercentMax} %.");
        });
        Bandwidth.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<long?>() is < 0 or > BandwidthMiBMax)
                result.AddError($"--bwlimit is between 0 and {BandwidthMiBMax} MiB/s.");
        });
    }

    public static Option<int?> NewMaxPause()
    {
        var option = new Option<int?>("--max-pause")
        {
            Description = "Do not switch over while the pause would be longer. Default: as kept with the VM, or "
                + $"{MoveLimits.DefaultMaxPauseMs}.",
            HelpName = "MS",
        };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 1 or > VmRules.MaxPauseMsMax)
                result.AddError($"--max-pause is 1 to {VmRules.MaxPauseMsMax} ms.");
        });
        return option;
    }

    /// <summary>What was said; what was not is left to the VM and the defaults.</summary>
    public LimitsWish Said(ParseResult parsed) => new()
    {
        Policy = parsed.GetValue(Policy), MaxPauseMs = parsed.GetValue(MaxPause), DeadlineSeconds = parsed.GetValue(Deadline),
        MayQuick = parsed.GetResult(MayQuick) is { Implicit: false } ? parsed.GetValue(MayQuick) ?? true : null,
        MayLazy = parsed.GetResult(MayLazy) is { Implicit: false } ? parsed.GetValue(MayLazy) ?? true : null,
        MaxSlowdownPercent = parsed.GetValue(MaxSlowdown), BandwidthBytesPerSecond = parsed.GetValue(Bandwidth) << 20,
    };

    public MigrateRequest Apply(ParseResult parsed, MigrateRequest wish)
    {
        var said = Said(parsed);
        return wish with
        {
            Policy = said.Policy, MaxPauseMs = said.MaxPauseMs, BandwidthBytesPerSecond = said.BandwidthBytesPerSecond,
            DeadlineSeconds = said.DeadlineSeconds, MayQuick = said.MayQuick, MayLazy = said.MayLazy,
            MaxSlowdownPercent = said.MaxSlowdownPercent,
        };
    }
}
