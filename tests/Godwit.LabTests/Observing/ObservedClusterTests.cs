using System.Formats.Tar;
using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Godwit.Cli.Lab;
using Godwit.Core.Access;
using Godwit.Core.Migration;
using Godwit.LabTests.Cluster;
using Godwit.LabTests.Machines;
using Godwit.LabTests.Packaging;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.LabTests.Observing;

/// <summary>
/// What operators see of a real cluster, three processes that export their spans: traces, agents' metrics, what a stop of an agent
/// as its unit does it leaves, and a support bundle.
/// </summary>
public sealed class ObservedClusterTests : IAsyncLifetime
{
    private const string CollectorAddress = "10.79.0.200", VmName = "seen";
    private const int CollectorPort = 4318;
    private static readonly TimeSpan waitMax = TimeSpan.FromSeconds(60);

    private LabCluster cluster = null!;
    private SpanReceiver collector = null!;
    private string guest = "";

    public async Task InitializeAsync()
    {
        if (RealQemuFactAttribute.WhyNot is not null) return;
        var tag = Environment.GetEnvironmentVariable("GODWIT_LAB_TAG") ?? "test";
        string[] export =
        [
            $"OTEL_EXPORTER_OTLP_ENDPOINT=http://{CollectorAddress}:{CollectorPort}", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY=200",
        ];
        var plan = LabPlan.Of($"{tag[..Math.Min(tag.Length, 7)]}o", 2);
        cluster = await LabCluster.StartAsync(plan, new LabOptions { AgentSettings = export, ServerSettings = export }, default);
        await LabShell.RunAsync(["ip", "-n", plan.LanNamespace, "addr", "add", $"{CollectorAddress}/24", "dev", "mgmt"]);
        collector = new SpanReceiver(plan.LanNamespace, new IPEndPoint(IPAddress.Parse(CollectorAddress), CollectorPort));
        var vm = await cluster.Api.CreateVmAsync(new CreateVmRequest(VmName)
        {
            Template = LabCluster.TemplateName, Host = "host1", MemoryBytes = 256L << 20, Start = true,
        }, default);
        guest = LabCluster.AddressOf(vm);
        await cluster.Guests.WaitUntilUpAsync(guest);
    }

    public async Task DisposeAsync()
    {
        collector?.Dispose();
        if (cluster is not null) await cluster.DisposeAsync();
    }

    /// <summary>One test, because a cluster takes half a minute to come up.</summary>
    [RealQemuFact]
    public async Task A_move_is_one_trace_of_three_processes_metrics_tell_of_agents_and_a_stopped_agent_leaves_its_guest()
    {
        await AgentsAreHeardAsync(); // What an agent counted before the server first heard of it is in no metric.
        var watch = await Continuity.BeginAsync(cluster, guest);
        await OneMoveIsOneTraceAsync(await MoveAsync());
        await watch.HoldsAsync();
        await MetricsTellWhatAgentsCountedAsync();
        await AStoppedAgentLeavesItsGuestAsync();
        await ABundleHasTheMoveAndNoSecretAsync();
    }

    private async Task<Migration> MoveAsync()
    {
        var move = await cluster.Api.MigrateAsync(VmName, new MigrateRequest("host2"), default);
        using var tooLong = new CancellationTokenSource(waitMax);
        await foreach (var now in cluster.Api.WatchMoveAsync(move.Id, tooLong.Token)) move = now;
        Assert.True(move.End == MoveEnd.Done, $"{move.End}: {move.Reason}");
        return move;
    }

    private async Task OneMoveIsOneTraceAsync(Migration move)
    {
        await UntilAsync(() => Task.FromResult(new[] { "move", "source", "target", "PrepareIncoming", "StartOutgoing" }
            .All(name => collector.Spans.Any(span => span.Name == name))), () => string.Join('\n', collector.Spans));
        var spans = collector.Spans;
        var root = Assert.Single(spans, span => span.Name == "move");
        Assert.Equal(("", "godwit-server", LabPlan.ServerAddress), (root.Parent, root.Service, root.From));
        Assert.All(spans, span => Assert.Equal(root.Trace, span.Trace));
        var (first, second) = (cluster.Plan.Hosts.First().ManagementAddress, cluster.Plan.Hosts.Last().ManagementAddress);
        foreach (var (side, order, host) in new[] { ("source", "StartOutgoing", first), ("target", "PrepareIncoming", second) })
        {
            var given = Assert.Single(spans, span => span.Name == order);
            var done = Assert.Single(spans, span => span.Name == side);
            Assert.Equal((root.Id, "godwit-agent", host), (given.Parent, given.Service, given.From));
            Assert.Equal((given.Id, "godwit-agent", host), (done.Parent, done.Service, done.From));
        }
        Assert.Equal("host2", move.Target.Value);
    }

    private async Task AgentsAreHeardAsync()
    {
        var text = "";
        await UntilAsync(async () => Value(text = await ScrapeAsync(), "godwit_agents_reporting") == 2, () => text);
    }

    private async Task MetricsTellWhatAgentsCountedAsync()
    {
        var text = "";
        await UntilAsync(async () => Value(text = await ScrapeAsync(), "godwit_agents_reporting") == 2
            && Value(text, "godwit_agent_qemus") == 1 && Value(text, "godwit_agent_moves_open") == 0
            && Value(text, "godwit_agent_journal_writes_total") > 0 && Value(text, "godwit_agent_memory_looks_total") > 0
            && Value(text, "godwit_agent_memory_look_seconds_total") > 0, () => text);
        Assert.Equal(1, Value(text, "godwit_moves_total{mode=\"live\",end=\"done\"}"));
        Assert.DoesNotContain("host1", text, StringComparison.Ordinal);
        var promtool = Checkers.Promtool ?? throw new LabException("promtool is not here: ./test fetches it");
        var said = await LabShell.TryAsync([promtool, "check", "metrics"], input: text);
        Assert.True(said.ExitCode == 0, said.Output + said.Error);
    }

    /// <summary>
    /// <c>systemctl stop</c> sends SIGTERM to the agent alone (KillMode=process). Here it goes to its whole process group, which is
    /// more: its QEMU is of no group and no session of the agent's.
    /// </summary>
    private async Task AStoppedAgentLeavesItsGuestAsync()
    {
        var (agent, qemu) = (cluster.Agents[1], Qemu());
        var watch = await Continuity.BeginAsync(cluster, guest);
        var (ofQemu, ofAgent) = (Stat(qemu), Stat(agent.Pid));
        Assert.NotEqual(ofAgent.Group, ofQemu.Group);
        Assert.NotEqual(ofAgent.Session, ofQemu.Session);

        await LabShell.RunAsync(["kill", "-TERM", "--", string.Create(CultureInfo.InvariantCulture, $"-{ofAgent.Group}")]);
        await UntilAsync(() => Task.FromResult(!agent.IsAlive), () => "the agent does not end");
        Assert.Equal(qemu, Qemu());
        await cluster.Guests.PingAsync(guest);

        await agent.StartAsync(default);
        await UntilAsync(async () => (await cluster.Api.HostsAsync(default)).All(host => host.State == Core.Hosts.HostState.Ready)
            && (await cluster.Api.VmAsync(VmName, default)).State == Core.Vms.VmState.Running, () => "host2 does not come back");
        Assert.Equal(qemu, Qemu());
        await watch.HoldsAsync();
    }

    private async Task ABundleHasTheMoveAndNoSecretAsync()
    {
        var token = await cluster.Access.CreateTokenAsync(new CreateTokenRequest("leaky", Role.Viewer, 1, Never: false), default);
        var file = Path.Combine(cluster.Plan.DataDirectory, "bundle.tar.gz");
        var log = Path.Combine(cluster.Plan.DataDirectory, "leaky.log");
        var keys = Directory.EnumerateFiles(cluster.Plan.DataDirectory, "*.pem", SearchOption.AllDirectories)
            .Select(File.ReadAllText).ToList();
        await File.WriteAllTextAsync(log, $"a token: {token.Text}\n{string.Concat(keys)}the end\n");
        var result = await LabShell.TryAsync(["env", $"GODWIT_SERVER={cluster.Plan.ServerSocket}",
            Path.Combine(AppContext.BaseDirectory, "godwit"), "support-bundle", file, "--log", log, "--log", cluster.Server.LogPath]);
        Assert.True(result.ExitCode == 0, result.Error);

        var text = new StringBuilder();
        using (var tar = new TarReader(new GZipStream(File.OpenRead(file), CompressionMode.Decompress)))
            while (tar.GetNextEntry() is { } entry)
                text.Append("=== ").AppendLine(entry.Name).Append(entry.DataStream is { } part ? new StreamReader(part).ReadToEnd() : "");
        var all = text.ToString();
        foreach (var there in new[] { "cluster/moves.json", "\"pauseMs\"", "cluster/check.json", "machine/uname.txt", "the end" })
            Assert.Contains(there, all, StringComparison.Ordinal);
        var secrets = keys.SelectMany(SecretsTests.PrivateKeyLines).Append(token.Text).ToList();
        Assert.True(secrets.Count > 3, "no key was found, so nothing was looked for");
        Assert.Equal([], secrets.Where(secret => all.Contains(secret, StringComparison.Ordinal)));
    }

    /// <summary>The server's own socket, as Prometheus on its machine could use it.</summary>
    private async Task<string> ScrapeAsync()
    {
        using var http = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancel) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(cluster.Plan.ServerSocket), cancel);
                return new NetworkStream(socket, ownsSocket: true);
            },
        });
        return await http.GetStringAsync(new Uri("http://godwit/metrics"));
    }

    private static double? Value(string text, string series) =>
        text.Split('\n').FirstOrDefault(line => line.StartsWith(series + " ", StringComparison.Ordinal)) is { } line
            ? double.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture) : null;

    /// <summary>The one QEMU of this cluster's guest.</summary>
    private int Qemu() => Directory.EnumerateDirectories("/proc").Select(Path.GetFileName).Where(name => int.TryParse(name, out _))
        .Select(name => int.Parse(name!, CultureInfo.InvariantCulture)).Single(pid =>
        {
            try
            {
                var words = File.ReadAllText($"/proc/{pid}/cmdline");
                return words.Contains("qemu-system", StringComparison.Ordinal)
                    && words.Contains($"/godwit-{cluster.Plan.Tag}/", StringComparison.Ordinal);
            }
            catch (IOException) { return false; } // It ended meanwhile.
        });

    private static (int Group, int Session) Stat(int pid)
    {
        var text = File.ReadAllText($"/proc/{pid}/stat");
        var fields = text[(text.LastIndexOf(')') + 2)..].Split(' '); // From field 3 of proc(5) on.
        return (int.Parse(fields[5 - 3], CultureInfo.InvariantCulture), int.Parse(fields[6 - 3], CultureInfo.InvariantCulture));
    }

    private static async Task UntilAsync(Func<Task<bool>> holds, Func<string> otherwise)
    {
        for (var deadline = DateTime.UtcNow + waitMax; !await holds(); await Task.Delay(100))
            if (DateTime.UtcNow > deadline) Assert.Fail(otherwise());
    }
}
