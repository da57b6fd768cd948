using System.Diagnostics;
using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>
/// A real host is cut off from the server: its agent pets no more, its watchdog resets it, and only then its guest boots
/// elsewhere. The watchdog is a program behind a named pipe, which ends every process of the host's namespace as a reset would;
/// machines for this test have no /dev/watchdog. A cluster of its own.
/// </summary>
public sealed class WatchdogTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const string VmName = "vm1";
    private const int LeaseSeconds = 20, TimeoutSeconds = 6;
    private static readonly TimeSpan lookEvery = TimeSpan.FromMilliseconds(20);
    private readonly List<Process> watchers = [];
    private LabCluster? cluster;

    public async Task InitializeAsync()
    {
        if (FaultFactAttribute.WhyNot is not null) return; // Skipped, and it says why.
        var tag = Environment.GetEnvironmentVariable("GODWIT_LAB_TAG") ?? "test";
        cluster = await LabCluster.StartAsync(LabPlan.Of($"{tag[..Math.Min(tag.Length, 7)]}w", 2), new LabOptions
        {
            ServerArguments = ["--ha-after", "20", "--watchdog-lease", $"{LeaseSeconds}"],
            AgentArguments = host => ["--watchdog", PipeOf(host), "--watchdog-timeout", $"{TimeoutSeconds}"],
        }, default);
    }

    public async Task DisposeAsync()
    {
        foreach (var watcher in watchers)
        {
            if (!watcher.HasExited) watcher.Kill(entireProcessTree: true);
            watcher.Dispose();
        }
        if (cluster is not null) await cluster.DisposeAsync();
    }

    [FaultFact]
    public async Task A_host_that_is_cut_off_is_reset_by_its_own_watchdog_and_its_guest_boots_elsewhere_and_nowhere_twice()
    {
        var (api, host1) = (cluster!.Api, cluster.Plan.Hosts.First());
        await WatchAsync(host1);
        await api.SetHostAsync("host1", new HostSettingsRequest(WatchdogRules.FenceName), default);
        await FaultLab.UntilAsync("it is armed", async () => (await api.HostAsync("host1", default)).Watchdog is { Confirmed: true });
        var vm = await api.CreateVmAsync(new CreateVmRequest(VmName)
        {
            Template = LabCluster.TemplateName, Host = "host1", MemoryBytes = 128L << 20, Start = true, Ha = true,
        }, default);
        var before = await cluster.Guests.WaitUntilUpAsync(LabCluster.AddressOf(vm), FaultLab.WaitMax);
        await Task.Delay(TimeSpan.FromSeconds(LeaseSeconds + (2 * TimeoutSeconds))); // Leases are renewed: nothing strikes.
        Assert.Equal((1, false), (Qemus("host1"), watchers[0].HasExited));

        await new Wires(cluster.Plan).CutAsync("host1", Wires.Management);
        var (silentFor, twice) = (0, 0);
        await FaultLab.UntilAsync("the guest runs on host2", async () =>
        {
            await Task.Delay(lookEvery);
            if (Qemus("host1") > 0) silentFor++;
            if (Qemus("host1") > 0 && Qemus("host2") > 0) twice++;
            return (await api.VmAsync(VmName, default)) is { Owner.Value: "host2", State: VmState.Running, Operation: null };
        });
        Assert.Equal(0, twice);
        Assert.True(silentFor > 0, "the guest of the host that is cut off was seen to run on");
        Assert.Equal((0, 1), (Qemus("host1"), Qemus("host2")));
        var after = await cluster.Guests.WaitUntilUpAsync(LabCluster.AddressOf(vm), FaultLab.WaitMax);
        Assert.NotEqual(before.BootId, after.BootId);
        var fenced = await api.HostAsync("host1", default);
        Assert.Equal((HostState.Fenced, FenceKind.Watchdog, "ha"), (fenced.State, fenced.Fenced!.Kind, fenced.Fenced.By));
        output.WriteLine($"{fenced.Fenced.Sentence}; {(await watchers[0].StandardOutput.ReadToEndAsync()).Trim()}");

        await new Wires(cluster.Plan).HealAsync("host1");
        await WatchAsync(host1);
        await cluster.Agents[0].StartAsync(default);
        await FaultLab.UntilAsync("host1 is back, and armed", async () =>
            (await api.HostAsync("host1", default)) is { State: HostState.Ready, Facts.Watchdog.IsArmed: true });
        var move = await api.MigrateAsync(VmName, new MigrateRequest("host1"), default);
        await FaultLab.UntilAsync("it moves back", async () => (move = await api.MoveAsync(move.Id.Value, default)).End is not null);
        Assert.True(move.End == MoveEnd.Done, $"{move.End}: {move.Reason}");

        await api.SetHostAsync("host1", new HostSettingsRequest("none"), default);
        await FaultLab.UntilAsync("it is let go", () => Task.FromResult(watchers[1].HasExited));
        Assert.Equal((0, 1, 0), (watchers[1].ExitCode, Qemus("host1"), Qemus("host2")));
    }

    private static string PipeOf(LabHost host) => Path.Combine(host.DataDirectory, "watchdog");

    /// <summary>
    /// As the device: it strikes when no line comes for as long as it was told, whoever has the pipe open. Let go, it ends with 0;
    /// having struck, with 1.
    /// </summary>
    private async Task WatchAsync(LabHost host)
    {
        const string program = """
            exec 3<>"$0"
            echo ready
            read -r -u 3 word seconds
            while read -r -t "$seconds" -u 3 line; do [ "$line" = V ] && exit 0; done
            echo "no pet for $seconds s"
            while pids=$(ip netns pids "$1") && [ -n "$pids" ]; do kill -9 $pids; sleep 0.1; done
            echo "nothing is left in $1"
            exit 1
            """;
        var pipe = PipeOf(host);
        if (!File.Exists(pipe)) await LabShell.RunAsync(["mkfifo", pipe]);
        var watcher = Process.Start(new ProcessStartInfo("bash", ["-c", program, pipe, host.Namespace]) { RedirectStandardOutput = true })!;
        watchers.Add(watcher);
        Assert.Equal("ready", await watcher.StandardOutput.ReadLineAsync());
    }

    /// <summary>QEMU processes of one host, found by its directory on their command lines.</summary>
    private int Qemus(string host)
    {
        var sign = $"{cluster!.Plan.Hosts.Single(h => h.Name == host).RunDirectory}/vms/";
        return Directory.EnumerateDirectories("/proc").Select(Path.GetFileName).Where(n => n!.All(char.IsAsciiDigit))
            .Count(pid => CommandLine(pid!) is var words && words.Contains("qemu-system", StringComparison.Ordinal)
                && words.Contains(sign, StringComparison.Ordinal) && words.Contains("/qmp-", StringComparison.Ordinal));
    }

    private static string CommandLine(string pid)
    {
        try { return File.ReadAllText($"/proc/{pid}/cmdline"); }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException) { return ""; }
    }
}
