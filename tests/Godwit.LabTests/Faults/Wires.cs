using System.Text.RegularExpressions;
using Godwit.Cli.Lab;
using Xunit;

namespace Godwit.LabTests.Faults;

/// <summary>Which packets of a host's network card are lost.</summary>
internal enum Lost { Both, Incoming, Outgoing }

/// <summary>Faults of a lab's cables: nftables and tc in the namespace of the host at one end.</summary>
internal sealed partial class Wires(LabPlan plan)
{
    /// <summary>The network between server and agents, and the one between agents (<see cref="LabNetwork"/>).</summary>
    public const string Management = "mgmt0", Link = "mig0";

    public Task CutAsync(string host, string device, Lost lost = Lost.Both) => RulesAsync(host, device, lost, "drop");

    /// <summary>From now on, both ends of every connection over this card get a reset.</summary>
    public Task ResetAsync(string host, string device) =>
        RulesAsync(host, device, Lost.Both, "meta l4proto tcp counter reject with tcp reset");

    /// <summary>
    /// The connections were reset, and the wire is whole again. The packet that was seen may be of a half-open connection that an earlier
    /// fault left: one that is in use speaks within a second.
    /// </summary>
    public async Task UntilResetAsync(string host, string device)
    {
        await FaultLab.UntilAsync($"a connection over {device} of {host} was reset", async () => Counter().Matches(
            await LabShell.RunAsync(Inside(host, "nft", "list", "table", "inet", "fault"))).Any(m => m.Groups["packets"].Value != "0"));
        await Task.Delay(TimeSpan.FromSeconds(1));
        await HealAsync(host);
    }

    /// <param name="rate">As tc writes it: <c>40mbit</c>.</param>
    public async Task SlowAsync(string host, string device, string rate) => await LabShell.RunAsync(
        ["tc", "-n", NamespaceOf(host), "qdisc", "replace", "dev", device, "root",
            "tbf", "rate", rate, "burst", "32kb", "latency", "50ms"]);

    /// <summary>As the plan has it, whatever was done to it.</summary>
    public async Task HealAsync(string host)
    {
        await LabShell.TryAsync(Inside(host, "nft", "delete", "table", "inet", "fault"));
        await LabShell.TryAsync(["tc", "-n", NamespaceOf(host), "qdisc", "del", "dev", Management, "root"]);
        if (plan.MigrationRate is { } rate)
            await LabShell.RunAsync(["tc", "-n", NamespaceOf(host), "qdisc", "replace", "dev", Link, "root",
                "tbf", "rate", rate, "burst", "512kb", "latency", "50ms"]);
    }

    private async Task RulesAsync(string host, string device, Lost lost, string verdict)
    {
        var rules = "table inet fault {\n";
        if (lost != Lost.Outgoing)
            rules += $"chain arriving {{ type filter hook input priority 0; iifname \"{device}\" {verdict}; }}\n";
        if (lost != Lost.Incoming)
            rules += $"chain leaving {{ type filter hook output priority 0; oifname \"{device}\" {verdict}; }}\n";
        var result = await LabShell.TryAsync(Inside(host, "nft", "-f", "-"), rules + "}\n");
        Assert.True(result.ExitCode == 0, result.Error);
    }

    private IReadOnlyList<string> Inside(string host, params IEnumerable<string> command) =>
        LabNetwork.Inside(NamespaceOf(host), command);

    private string NamespaceOf(string host) => plan.Hosts.Single(h => h.Name == host).Namespace;

    [GeneratedRegex(@"counter packets (?<packets>\d+)")]
    private static partial Regex Counter();
}
