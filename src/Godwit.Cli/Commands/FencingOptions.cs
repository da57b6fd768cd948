using System.CommandLine;
using Godwit.Core.Fencing;
using Godwit.Server.Fencing;
using Godwit.Server.Power;

namespace Godwit.Cli.Commands;

/// <summary>How a server turns silent hosts off, and when it may do so by itself.</summary>
internal sealed class FencingOptions
{
    private static readonly int secondsMax = (int)TimeSpan.FromHours(1).TotalSeconds;

    private readonly Option<string> hooks = new("--fence-hooks")
    {
        Description = "Directory of the programs that turn hosts off, one a kind of host; they and it belong to root alone.",
        HelpName = "PATH", DefaultValueFactory = _ => CommandFence.DirectoryDefault,
    };
    private readonly Option<int> haAfter = new("--ha-after")
    {
        Description = "How long a host is silent before its hook is tried for VMs marked ha.", HelpName = "SECONDS",
        DefaultValueFactory = _ => (int)HaRules.SilenceDefault.TotalSeconds,
    };

    private readonly Option<int> lease = new("--watchdog-lease")
    {
        Description = "How long hosts fenced by their own watchdog go on without this server, before they are reset.",
        HelpName = "SECONDS", DefaultValueFactory = _ => (int)WatchdogRules.LeaseDefault.TotalSeconds,
    };

    private readonly Option<string> power = new("--power-hooks")
    {
        Description = "Directory of the programs that turn hosts off and on to save power; never the fence hooks' directory.",
        HelpName = "PATH", DefaultValueFactory = _ => CommandPower.DirectoryDefault,
    };

    public FencingOptions()
    {
        Bound(haAfter, HaRules.SilenceMin);
        Bound(lease, WatchdogRules.LeaseMin);
    }

    public Option[] All => [hooks, haAfter, lease, power];

    public string Hooks(ParseResult parsed) => parsed.GetValue(hooks)!;
    public string PowerHooks(ParseResult parsed) => parsed.GetValue(power)!;
    public TimeSpan Lease(ParseResult parsed) => TimeSpan.FromSeconds(parsed.GetValue(lease));
    public TimeSpan HaAfter(ParseResult parsed) => TimeSpan.FromSeconds(parsed.GetValue(haAfter));

    private static void Bound(Option<int> option, TimeSpan least) => option.Validators.Add(result =>
    {
        if (result.GetValueOrDefault<int>() < least.TotalSeconds || result.GetValueOrDefault<int>() > secondsMax)
            result.AddError($"{option.Name} takes {least.TotalSeconds} to {secondsMax} seconds.");
    });
}
