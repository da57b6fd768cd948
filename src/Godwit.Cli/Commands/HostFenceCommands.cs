using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Core.Fencing;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>What is done about a host that is silent: set its fence, run it, bring its VMs back elsewhere.</summary>
internal static class HostFenceCommands
{
    private static readonly TimeSpan lookEvery = TimeSpan.FromMilliseconds(500);

    public static Command Set(Verbs verbs, Argument<string> name)
    {
        var fence = new Option<string?>("--fence")
        {
            Description = "The hook on the server's machine that turns this host off; 'watchdog': its own device resets it; 'none'.",
            HelpName = "NAME",
        };
        var (tag, untag) = (PlacementOptions.Tag(), PlacementOptions.Untag());
        var power = new PowerOptions();
        var command = verbs.Verb("set", "Settings of one host.", async (session, parsed, cancel) =>
        {
            var wish = new HostSettingsRequest(parsed.GetValue(fence), Words(parsed.GetValue(tag)), Words(parsed.GetValue(untag)),
                parsed.GetValue(power.Off), parsed.GetValue(power.On), parsed.GetValue(power.State), parsed.GetValue(power.IdleWatts));
            var host = await session.Api.SetHostAsync(parsed.GetValue(name)!, wish, cancel);
            if (session.Screen.IsJson) session.Screen.Document(host);
            if (wish.Fence is not null)
                session.Screen.Line(host.Fence switch
                {
                    null => $"{host.Id} has no fence.",
                    WatchdogRules.FenceName =>
                        $"{host.Id} is to be fenced by its own watchdog. Whether it is armed: godwit host show {host.Id}",
                    _ => $"{host.Id} is fenced by hook {host.Fence}.",
                });
            if (wish.Tag is not null || wish.Untag is not null)
                session.Screen.Line(host.Tags.Count == 0 ? $"{host.Id} has no tags."
                    : $"{host.Id} is tagged {string.Join(", ", host.Tags)}.");
            if (power.All.Any(option => parsed.GetResult(option) is not null))
                session.Screen.Line($"{host.Id}: {PowerText.Hooks(host.Power)}.");
            return ExitCode.All;
        }, [name, fence, tag, untag, .. power.All]);
        command.Validators.Add(result =>
        {
            Option[] all = [fence, tag, untag, .. power.All];
            if (all.All(option => result.GetResult(option) is null))
                result.AddError($"Give at least one of {string.Join(", ", all.Select(option => option.Name))}.");
        });
        return command;

        static string[]? Words(string[]? tags) => tags is { Length: > 0 } ? tags : null;
    }

    public static Command Fence(Verbs verbs, Argument<string> name) =>
        verbs.Verb("fence", "Turn a silent host off by its hook, and keep the proof; VMs stay where they are.",
            async (session, parsed, cancel) =>
                await FollowAsync(session, await session.Api.FenceHostAsync(parsed.GetValue(name)!, cancel), cancel), name);

    public static Command Recover(Verbs verbs, Argument<string> name)
    {
        var fenced = new Option<bool>("--fenced")
        {
            Description = "My word: this host is off, and stays off until it has been looked at. "
                + "If its VMs still run there, they run twice.",
        };
        var confirm = new Option<string?>("--confirm") { Description = "With --fenced: the host's name once more.", HelpName = "HOST" };
        return verbs.Verb("recover", "Bring the VMs of a silent host back elsewhere, once it is proved to be off.",
            async (session, parsed, cancel) =>
            {
                var (host, word) = (parsed.GetValue(name)!, parsed.GetValue(fenced));
                var again = parsed.GetValue(confirm) ?? (word && session.Screen.IsTerminal
                    ? session.ReadLine($"If VMs of {host} still run there, they will run twice. Its name again: ")?.Trim() : null);
                var recovery = await session.Api.RecoverHostAsync(host, new RecoverHostRequest(word, again), cancel);
                return await FollowAsync(session, recovery, cancel);
            }, name, fenced, confirm);
    }

    /// <summary>Tells each VM once, then the end. Ctrl-C leaves it going on.</summary>
    private static async Task<int> FollowAsync(Session session, HostRecovery recovery, CancellationToken cancel)
    {
        var told = new HashSet<string>();
        try
        {
            while (true)
            {
                foreach (var vm in recovery.Vms ?? [])
                    if (vm.Outcome is not null && told.Add(vm.Vm.Value))
                        session.Screen.Line($"{vm.Name} {vm.Outcome}.", vm.Failed ? Tone.Bad : Tone.Plain);
                if (recovery.End is not null) break;
                await Task.Delay(lookEvery, session.Time, cancel);
                recovery = await session.Api.RecoveryAsync(recovery.Host.Value, cancel);
            }
        }
        catch (OperationCanceledException)
        {
            session.Screen.Note($"The recovery of {recovery.Host} goes on without this window: godwit host show {recovery.Host}");
            throw;
        }
        if (session.Screen.IsJson) session.Screen.Document(recovery);
        session.Screen.Line($"{recovery.Host}: {Sentence(recovery)}", recovery.End == RecoveryEnd.Done ? Tone.Good : Tone.Bad);
        return recovery.End == RecoveryEnd.Done ? ExitCode.All
            : recovery.Vms?.Any(vm => !vm.Failed) == true ? ExitCode.Partial : ExitCode.Failed;
    }

    public static string FenceOf(HostView host) => host switch
    {
        { Fence: not WatchdogRules.FenceName } => $"hook {host.Fence}",
        { Watchdog: { Confirmed: true } note } => string.Create(CultureInfo.InvariantCulture,
            $"its own watchdog: taken to be off after {WatchdogRules.ProofAfter(note).TotalSeconds:0} s without a lease"),
        _ => "its own watchdog, which is not armed: its silence proves nothing yet",
    };

    public static string Sentence(WatchdogFacts watchdog)
    {
        var device = watchdog.Identity.Length > 0 ? $"{watchdog.Device} ({watchdog.Identity})" : watchdog.Device;
        var standing = watchdog.IsArmed ? $"armed since {SessionCommands.Moment(watchdog.ArmedSince!.Value)}" : "not armed";
        return string.Create(CultureInfo.InvariantCulture, $"{device}, {watchdog.TimeoutSeconds} s, {standing}")
            + (watchdog.NoWayOut ? ", nothing stops it" : "") + (watchdog.Problem is { } problem ? $": {problem}" : "");
    }

    public static string Sentence(HostRecovery recovery) => recovery.End switch
    {
        null when recovery.Vms is null => recovery.FenceTries == 0 ? "waits for proof that it is off"
            : $"waits for proof that it is off; its hook was run {Words.Counted(recovery.FenceTries, "time")}",
        null => $"{recovery.Vms!.Count(vm => vm.Outcome is not null)} of {Words.Counted(recovery.Vms!.Count, "VM")} dealt with",
        RecoveryEnd.Done when recovery.Scope == RecoveryScope.FenceOnly => "it is proved to be off",
        RecoveryEnd.Done => $"{Words.Counted(recovery.Vms!.Count, "VM")} dealt with",
        _ => recovery.Reason ?? Words.Of(recovery.End.Value),
    };
}
