using System.Diagnostics;
using System.Text;

namespace Godwit.Cli.Lab;

/// <summary>
/// Hosts as network namespaces of one kernel, three networks between them: the LAN of the guests, the migration
/// network (shaped), the management network. The bridges live in a namespace of their own, so nothing appears in the
/// machine's own one but, where people play, one cable to the console; else they reach the lab's server by its unix socket.
/// <code>
///   hostN:  br0 (lan0 + taps), mig0 10.78.0.N, mgmt0 10.79.0.N      server: mgmt0 10.79.0.254
///   lan:    bridges lan (10.77.255.254: the prober), mig, mgmt
/// </code>
/// </summary>
public sealed class LabNetwork(LabPlan plan)
{
    private const string TunDevice = "/dev/net/tun";
    private static readonly TimeSpan EmptyingMax = TimeSpan.FromSeconds(10);

    /// <summary>What was changed on this machine beyond the lab's own things, one sentence each.</summary>
    public IReadOnlyList<string> Notes { get; private set; } = [];

    /// <summary>Removes what a former lab of this tag left, then makes everything.</summary>
    public async Task CreateAsync(CancellationToken cancel)
    {
        await DeleteAsync();
        OpenTunDevice();
        await Ip(null, string.Join('\n', plan.Namespaces.Select(n => $"netns add {n}")), cancel);
        await Ip(plan.LanNamespace, BridgeCommands(), cancel);
        await Ip(null, WireCommands(), cancel);
        await Ip(plan.LanNamespace, PlugCommands(), cancel);
        foreach (var host in plan.Hosts) await SetUpHostAsync(host, cancel);
        await Ip(plan.ServerNamespace, $"""
            link set lo up
            addr add {LabPlan.ServerAddress}/24 dev mgmt0
            link set mgmt0 up
            """, cancel);
        if (plan.HasLegForPeople) await ReachFromMachineAsync(cancel);
    }

    /// <summary>A cable from the machine's own namespace to the management network, for the browser of whoever plays.</summary>
    private async Task ReachFromMachineAsync(CancellationToken cancel)
    {
        await Ip(null, $"link add {plan.PeoplesLink} type veth peer name people-mgmt netns {plan.LanNamespace}", cancel);
        await Ip(plan.LanNamespace, "link set people-mgmt master mgmt up", cancel);
        await Ip(null, $"addr add {LabPlan.PeoplesAddress}/24 dev {plan.PeoplesLink}\nlink set {plan.PeoplesLink} up", cancel);
    }

    /// <summary>
    /// Ends every process in the lab's namespaces and deletes them. Whatever is in them is the lab's, by name.
    /// Finds namespaces of this tag that are beyond the plan, too: a former lab may have had more hosts.
    /// </summary>
    public async Task DeleteAsync()
    {
        var prefix = $"gw{plan.Tag}-";
        var existing = (await NamespacesAsync()).Where(n => n.StartsWith(prefix, StringComparison.Ordinal)).ToList();
        foreach (var name in existing) await KillAllInAsync(name);
        await LabShell.TryAsync(["ip", "link", "del", plan.PeoplesLink]); // Mostly there is none.
        foreach (var name in existing) await LabShell.TryAsync(["ip", "netns", "del", name]);
    }

    /// <summary>Command line of <paramref name="command"/> inside a namespace of this machine.</summary>
    public static IReadOnlyList<string> Inside(string name, params IEnumerable<string> command) =>
        ["ip", "netns", "exec", name, .. command];

    private static string BridgeCommands() => $"""
        link set lo up
        link add lan type bridge forward_delay 0
        link add mig type bridge forward_delay 0
        link add mgmt type bridge forward_delay 0
        addr add {LabPlan.ProberAddress}/16 dev lan
        link set lan up
        link set mig up
        link set mgmt up
        """;

    /// <summary>The cables: one end in the namespace of the bridges, the other at the host.</summary>
    private string WireCommands()
    {
        var commands = new StringBuilder();
        foreach (var host in plan.Hosts)
            foreach (var network in (string[])["lan", "mig", "mgmt"])
                commands.AppendLine($"link add h{host.Number}-{network} netns {plan.LanNamespace} " +
                    $"type veth peer name {network}0 netns {host.Namespace}");
        commands.AppendLine($"link add srv-mgmt netns {plan.LanNamespace} " +
            $"type veth peer name mgmt0 netns {plan.ServerNamespace}");
        return commands.ToString();
    }

    private string PlugCommands()
    {
        var commands = new StringBuilder();
        foreach (var host in plan.Hosts)
            foreach (var network in (string[])["lan", "mig", "mgmt"])
                commands.AppendLine($"link set h{host.Number}-{network} master {network} up");
        commands.AppendLine("link set srv-mgmt master mgmt up");
        return commands.ToString();
    }

    private async Task SetUpHostAsync(LabHost host, CancellationToken cancel)
    {
        await Ip(host.Namespace, $"""
            link set lo up
            link add {LabPlan.Bridge} type bridge forward_delay 0
            link set lan0 master {LabPlan.Bridge} up
            link set {LabPlan.Bridge} up
            addr add {host.MigrationAddress}/24 dev mig0
            link set mig0 up
            addr add {host.ManagementAddress}/24 dev mgmt0
            link set mgmt0 up
            """, cancel);
        if (plan.MigrationRate is { } rate)
            await LabShell.RunAsync(["tc", "-n", host.Namespace, "qdisc", "add", "dev", "mig0", "root",
                "tbf", "rate", rate, "burst", "512kb", "latency", "50ms"], cancel: cancel);
    }

    /// <summary>QEMU runs without privileges and must open the tun device: Debian's default is 0666, some machines differ.</summary>
    private void OpenTunDevice()
    {
        if (!File.Exists(TunDevice))
            throw new LabException(
                $"{TunDevice} is not there: load the module (modprobe tun), or give the container the device.");
        const UnixFileMode everyone = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead
            | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;
        if (File.GetUnixFileMode(TunDevice) == everyone) return;

        File.SetUnixFileMode(TunDevice, everyone);
        Notes = [$"set {TunDevice} to mode 0666, Debian's default, so that QEMU can run without privileges"];
    }

    private static async Task KillAllInAsync(string name)
    {
        var began = Stopwatch.StartNew();
        while (began.Elapsed < EmptyingMax)
        {
            var answer = await LabShell.TryAsync(["ip", "netns", "pids", name]);
            var pids = answer.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse).ToList();
            if (pids.Count == 0) return;
            foreach (var pid in pids) Kill(pid);
            await Task.Delay(20);
        }
        throw new LabException($"processes in namespace {name} do not end; look at them with: ip netns pids {name}");
    }

    private static void Kill(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            process.Kill();
        }
        catch (ArgumentException)
        {
            // Gone by itself in between.
        }
    }

    private static async Task<IEnumerable<string>> NamespacesAsync() =>
        (await LabShell.RunAsync(["ip", "netns", "list"])).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => line.Split(' ')[0]);

    private static Task<string> Ip(string? inNamespace, string commands, CancellationToken cancel) =>
        LabShell.RunAsync(inNamespace is null ? ["ip", "-batch", "-"] : ["ip", "-n", inNamespace, "-batch", "-"],
            commands, cancel: cancel);
}
