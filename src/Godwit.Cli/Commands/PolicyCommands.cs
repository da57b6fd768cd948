using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Placing;

namespace Godwit.Cli.Commands;

/// <summary>`godwit cluster set` and `cluster status`: how full hosts may be, and how the cluster stands.</summary>
internal static class PolicyCommands
{
    public static Command Set(Verbs verbs)
    {
        var memory = new Option<double?>("--memory-overcommit")
        { Description = "Bytes that may be promised to guests for each byte a host offers; 1 lends none twice.", HelpName = "RATIO" };
        var vcpus = new Option<double?>("--vcpu-overcommit") { Description = "Virtual processors for each real one.", HelpName = "RATIO" };
        var load = new Option<double?>("--load-ceiling")
        { Description = "How much of a host's processors, network and disk VMs may come to use.", HelpName = "PERCENT" };
        var spare = new Option<double?>("--spare-memory")
        { Description = "How much memory is kept for VMs of hosts that die; only a warning.", HelpName = "PERCENT" };
        return verbs.Verb("set", "How full hosts may be: for starts, moves, drains, recoveries and balancing alike.",
            async (session, parsed, cancel) =>
            {
                var policy = await session.Api.SetPolicyAsync(new PolicyWish(parsed.GetValue(memory), parsed.GetValue(vcpus),
                    parsed.GetValue(load) / 100, parsed.GetValue(spare) / 100), cancel);
                if (session.Screen.IsJson) session.Screen.Document(policy);
                session.Screen.Line(Sentence(policy));
                return ExitCode.All;
            }, memory, vcpus, load, spare);
    }

    public static Command Status(Verbs verbs) => verbs.Verb("status", "Hosts, VMs, the placement policy, and rules that are broken.",
        async (session, _, cancel) =>
        {
            var (hosts, vms) = (await session.Api.HostsAsync(cancel), await session.Api.VmsAsync(cancel));
            var (policy, rules) = (await session.Api.PolicyAsync(cancel), await session.Api.RulesAsync(cancel));
            var status = new ClusterStatus(hosts.Count, hosts.Count(h => h.State is HostState.Ready or HostState.Cordoned),
                hosts.Count(h => h.State == HostState.Standby), vms.Count,
                vms.Count(vm => vm.State == VmState.Running), policy, rules);
            if (session.Screen.IsJson)
            {
                session.Screen.Document(status);
                return ExitCode.All;
            }
            session.Screen.Line($"{Words.Counted(status.Hosts, "host")}, {status.HostsAnswering} answer"
                + (status.HostsOnStandby > 0 ? $", {status.HostsOnStandby} on standby; " : "; ")
                + $"{Words.Counted(status.Vms, "VM")}, {status.VmsRunning} run.",
                status.HostsAnswering + status.HostsOnStandby < status.Hosts ? Tone.Warn : Tone.Plain);
            session.Screen.Line(Sentence(policy));
            var broken = rules.Where(rule => rule.Broken > 0).ToList();
            session.Screen.Line(rules.Count == 0 ? "No placement rules." : broken.Count == 0
                ? $"{Words.Counted(rules.Count, "placement rule")}, all kept."
                : $"{Words.Counted(rules.Count, "placement rule")}; broken: "
                    + string.Join("; ", broken.Select(rule => $"{rule.Rule.Name} by {Words.Counted(rule.Broken, "VM")}")) + ".",
                broken.Count > 0 ? Tone.Warn : Tone.Plain);
            return ExitCode.All;
        });

    private static string Sentence(PlacementPolicy policy) => string.Create(CultureInfo.InvariantCulture,
        $"Memory is promised {policy.MemoryOvercommit:0.##} times, processors {policy.VcpuOvercommit:0.##} times; ")
        + string.Create(CultureInfo.InvariantCulture,
        $"hosts are loaded up to {policy.LoadCeiling * 100:0.#} %; {policy.SpareMemory * 100:0.#} % of the memory is kept spare.");
}

/// <summary>`godwit cluster status --json`.</summary>
internal sealed record ClusterStatus(
    int Hosts, int HostsAnswering, int HostsOnStandby, int Vms, int VmsRunning, PlacementPolicy Policy, IReadOnlyList<RuleView> Rules);
