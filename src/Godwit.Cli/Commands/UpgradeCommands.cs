using System.CommandLine;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Cli.Upgrade;
using Godwit.Core.Migration;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>`godwit cluster upgrade`: every host in turn is emptied, worked on by a person's command, checked, and filled again.</summary>
internal static class UpgradeCommands
{
    private static readonly string[] headings = ["ORDER", "HOST", "VMS", "LEAVE NOW", "NOTE"];

    public static Command Build(Verbs verbs)
    {
        var command = new Option<string>("--command")
        {
            Description = "Run here by /bin/sh for each empty host; {host}, and $GODWIT_HOST, is its name: "
                + "'ssh {host} apt-get -y upgrade'.",
            HelpName = "LINE", Required = true,
        };
        var verify = new Option<string?>("--verify")
        { Description = "Run likewise when the host is back: it must end with 0 before VMs return.", HelpName = "LINE" };
        var hosts = new Option<string[]>("--host") { Description = "Only these, in this order; again for more.", HelpName = "NAME" };
        var quick = new Option<bool>("--quick-where-blocked")
        { Description = "A VM that does not move live is moved quick: paused meanwhile." };
        var noReturn = new Option<bool>("--no-return") { Description = "Open the host again, and leave its VMs where they went." };
        var settle = new Option<int>("--settle")
        {
            Description = "A host is back when it has answered for so long without a break.", HelpName = "SECONDS",
            DefaultValueFactory = _ => 30,
        };
        var wait = new Option<int>("--wait")
        { Description = "How long a host is waited for.", HelpName = "SECONDS", DefaultValueFactory = _ => 1800 };
        var dryRun = new Option<bool>("--dry-run") { Description = "Show the order and what speaks against it; do nothing." };
        foreach (var (option, max) in new[] { (settle, 3600), (wait, 24 * 3600) })
            option.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < 1 || result.GetValueOrDefault<int>() > max)
                    result.AddError($"{option.Name} takes 1 to {max} seconds.");
            });
        return verbs.Verb("upgrade", "Work on all hosts, one after the other, with their VMs elsewhere: drain, command, verify, restore.",
            async (session, parsed, cancel) =>
            {
                var drain = new DrainRequest(MoveMode.Live, parsed.GetValue(quick));
                var isDry = parsed.GetValue(dryRun);
                // Before it looks: what is on now stays on.
                await using var holding = isDry ? null : await PowerHolding.BeginAsync(session, cancel);
                var (all, vms) = (await session.Api.HostsAsync(cancel), await session.Api.VmsAsync(cancel));
                var chosen = RollingUpgrade.InOrder(all, vms, parsed.GetValue(hosts) ?? []);
                var problems = await ShowAsync(session, chosen, vms, drain, cancel);
                if (RollingUpgrade.WhyNot(all, chosen) is { } amiss) throw new ApiException(amiss);
                if (isDry) return problems == 0 ? ExitCode.All : ExitCode.Refused;
                var wish = new UpgradeWish(parsed.GetValue(command)!, parsed.GetValue(verify), drain, !parsed.GetValue(noReturn),
                    TimeSpan.FromSeconds(parsed.GetValue(settle)), TimeSpan.FromSeconds(parsed.GetValue(wait)));
                try
                {
                    var upgrade = new RollingUpgrade(session, wish, session.RunCommand);
                    return await upgrade.RunAsync(chosen, cancel) ? ExitCode.All : ExitCode.Failed;
                }
                catch (OperationCanceledException) when (cancel.IsCancellationRequested)
                {
                    session.Screen.Note("Stopped here. A drain or restore that was begun goes on in the server: see 'godwit host list'.");
                    throw;
                }
            }, command, verify, hosts, quick, noReturn, settle, wait, dryRun);
    }

    /// <summary>The order, and what would keep each host from being emptied as things are now. How many it keeps.</summary>
    private static async Task<int> ShowAsync(
        Session session, IReadOnlyList<HostView> hosts, IReadOnlyList<VmView> vms, DrainRequest wish, CancellationToken cancel)
    {
        var (rows, problems) = (new List<IReadOnlyList<Cell>>(), 0);
        for (var n = 0; n < hosts.Count; n++)
        {
            var asleep = SleepingHosts.Note(hosts[n]);
            var plan = asleep is not null ? null : await session.Api.PlanDrainAsync(hosts[n].Id.Value, wish, cancel);
            if (plan?.Reasons.Count > 0) problems++;
            rows.Add([
                Amounts.Count(n + 1), new Cell(hosts[n].Id.Value, Tone.Strong), Amounts.Count(vms.Count(vm => vm.Owner == hosts[n].Id)),
                Amounts.Count(plan?.Steps.Count(s => s.Mode is not null) ?? 0),
                asleep is not null ? new Cell(asleep, Tone.Dim) : plan?.Reasons.Count > 0 ? new Cell(plan.Reasons[0].Cause, Tone.Bad) : "",
            ]);
        }
        session.Screen.Show(new Sheet(headings, rows, "There is no host."));
        return problems;
    }
}
