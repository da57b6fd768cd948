using System.Globalization;
using System.Text.RegularExpressions;
using Godwit.Agent.Rpc;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Fencing;
using Godwit.Core.Loads;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Api;
using Godwit.Server.Observing;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Observing;

/// <summary>What Prometheus is told, and that dashboard and alerts ask for nothing else.</summary>
public sealed partial class MetricsTests
{
    [Fact]
    public async Task A_move_that_ended_is_counted_once_with_the_figures_of_its_receipt()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        Assert.Equal(0, Value(await ScrapeAsync(server), "godwit_moves_total{mode=\"live\",end=\"done\"}"));
        var move = await server.OkAsync<Migration>("POST", "vms/web/migrate", new { to = "h2" });
        var end = await server.EndOfAsync(move.Id);
        Assert.True(end.End == MoveEnd.Done, end.Reason);

        var text = await ScrapeAsync(server);
        while (Value(text, "godwit_moves_total{mode=\"live\",end=\"done\"}") == 0) text = await ScrapeAsync(server); // Counted just after.
        Assert.Equal(1, Value(text, "godwit_moves_total{mode=\"live\",end=\"done\"}"));
        Assert.Equal(0, Value(text, "godwit_moves_total{mode=\"live\",end=\"rolled-back\"}"));
        Assert.Equal(1, Value(text, "godwit_move_duration_seconds_count{mode=\"live\"}"));
        Assert.Equal(end.Receipt!.WireBytes, Value(text, "godwit_move_wire_bytes_total{mode=\"live\"}"));
        if (end.Receipt.PauseMs is { } pause)
            Assert.Equal(pause / 1_000, Value(text, "godwit_move_pause_seconds_sum{mode=\"live\"}")!.Value, 6);
        Assert.Equal(1, Value(text, "godwit_vms{state=\"running\"}"));
        Assert.Equal(2, Value(text, "godwit_hosts{state=\"ready\"}"));
        Assert.Equal(0, Value(text, "godwit_moves_open{phase=\"memory\"}"));
        Assert.True(Value(text, "godwit_store_transaction_seconds_count") > 0);
        Assert.True(Value(text, "godwit_api_requests_total{code=\"200\"}") > 0);
    }

    [Fact]
    public async Task What_agents_count_is_added_up_over_hosts_and_restarts_and_a_silent_host_runs_nothing_known()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await SampleAsync(server, "h1", new AgentCounts { Qemus = 3, MovesOpen = 1, MemoryLooks = 100, JournalWrites = 50 });
        await SampleAsync(server, "h2", new AgentCounts { Qemus = 2 });
        var text = await ScrapeAsync(server);
        Assert.Equal((2, 5, 1), (Value(text, "godwit_agents_reporting"), Value(text, "godwit_agent_qemus"),
            Value(text, "godwit_agent_moves_open")));
        Assert.Equal(0, Value(text, "godwit_agent_journal_writes_total")); // What was before this server heard of them is not its.

        await SampleAsync(server, "h1", new AgentCounts { Qemus = 3, MemoryLooks = 104, MemoryLookSeconds = 0.25, JournalWrites = 53 });
        await SampleAsync(server, "h2", new AgentCounts { Qemus = 2, MemoryLooks = 1, JournalWrites = 2 });
        await SampleAsync(server, "h1", new AgentCounts { Qemus = 3, MemoryLooks = 2, JournalWrites = 1 }); // It began anew.
        server.Cluster["h2"].Fails["SampleLoad"] = new AgentUnreachableException(new HostId("h2"), "silent");
        await server.Control.Loads.RoundAsync(CancellationToken.None);
        text = await ScrapeAsync(server);
        Assert.Equal((1, 3), (Value(text, "godwit_agents_reporting"), Value(text, "godwit_agent_qemus")));
        Assert.Equal((6, 7), (Value(text, "godwit_agent_journal_writes_total"), Value(text, "godwit_agent_memory_looks_total")));
        Assert.Equal(0.25, Value(text, "godwit_agent_memory_look_seconds_total"));
    }

    [Fact]
    public void Counts_cross_the_wire_and_a_host_that_lies_spoils_no_sum()
    {
        var counts = new AgentCounts { Qemus = 3, MovesOpen = 1, MemoryLooks = 100, MemoryLookSeconds = 2.5, JournalWrites = 50 };
        var load = new HostLoad { At = FakeCluster.Now, SpanSeconds = 1, CpuCores = 0, MemoryUsedBytes = 0, Agent = counts };
        Assert.Equal(counts, LoadFromAgent.Record(LoadToServer.Message(load)).Agent);
        Assert.Null(LoadFromAgent.Record(LoadToServer.Message(load with { Agent = null })).Agent); // Of the version before.

        var lie = LoadToServer.Message(load);
        (lie.Agent.Qemus, lie.Agent.MemoryLooks, lie.Agent.MemoryLookSeconds, lie.Agent.JournalWrites) =
            (-1, long.MaxValue, double.PositiveInfinity, long.MinValue);
        Assert.Equal(new AgentCounts { MovesOpen = 1, MemoryLooks = LoadFromAgent.CountMax }, LoadFromAgent.Record(lie).Agent);
    }

    [Fact]
    public async Task A_host_under_its_own_watchdog_is_counted_by_how_its_lease_stands()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        server.Cluster["h1"].Facts = server.Cluster["h1"].Facts with
        { Watchdog = new WatchdogFacts("/dev/watchdog", "test", 30, Arming: null, ArmedSince: null, NoWayOut: false, Problem: null) };
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { fence = WatchdogRules.FenceName });
        var text = await ScrapeAsync(server);
        while (Value(text, "godwit_host_leases{state=\"granted\"}") != 1) text = await ScrapeAsync(server); // Armed within a round.
        Assert.Equal(0, Value(text, "godwit_host_leases{state=\"lapsed\"}"));
        Assert.Equal(0, Value(text, "godwit_host_leases{state=\"arming\"}")); // h2 has no watchdog for a fence, and is in none.
    }

    [Fact]
    public async Task More_vms_make_no_more_series_and_no_names_get_out()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("first", start: false);
        using (await server.SendAsync("GET", "vms/nobody")) { } // One of each status code that is met here.
        var before = Names(await ScrapeAsync(server)).Count;
        for (var i = 0; i < 10; i++) await server.CreateVmAsync($"vm-of-many-{i}", start: false);
        var text = await ScrapeAsync(server);
        Assert.Equal(11, Value(text, "godwit_vms{state=\"stopped\"}"));
        Assert.DoesNotContain("vm-of-many", text, StringComparison.Ordinal);
        Assert.InRange(Names(text).Count, before, before + 2);
        Assert.True(Names(text).Count < ServerMetrics.SeriesMax);
    }

    [Fact]
    public async Task A_token_of_the_role_metrics_scrapes_and_does_nothing_else()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var prometheus = await server.RemoteAsync(await server.TokenAsync(Role.Metrics));
        using var answer = await prometheus.GetAsync("/metrics");
        Assert.True(answer.IsSuccessStatusCode);
        Assert.Equal("text/plain", answer.Content.Headers.ContentType!.MediaType);
        using var vms = await prometheus.GetAsync("vms");
        Assert.Equal("role-lacks-permission", (await ServerUnderTest.ReadProblemAsync(vms)).Code);
    }

    [Fact]
    public async Task Dashboard_and_alerts_ask_only_for_metrics_that_there_are()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var families = Family().Matches(await ScrapeAsync(server)).Select(m => (Name: m.Groups[1].Value, Type: m.Groups[2].Value)).ToList();
        var there = families.SelectMany(f => f.Type == "histogram" ? [$"{f.Name}_bucket", $"{f.Name}_sum", $"{f.Name}_count"]
            : new[] { f.Name }).ToHashSet();
        foreach (var file in new[] { "prometheus/godwit-alerts.yml", "grafana/godwit.json" })
        {
            var asked = Asked().Matches(File.ReadAllText(Path.Combine(RepositoryRulesTests.Root(), "deploy", file)))
                .Select(m => m.Value).ToHashSet();
            Assert.True(asked.Count > 5, file);
            Assert.Subset(there, asked);
        }
    }

    private static async Task SampleAsync(ServerUnderTest server, string host, AgentCounts counts)
    {
        server.Cluster[host].Load = new HostLoad
        { At = FakeCluster.Now, SpanSeconds = 0, CpuCores = 0, MemoryUsedBytes = 0, Agent = counts };
        await server.Control.Loads.RoundAsync(CancellationToken.None);
    }

    private static async Task<string> ScrapeAsync(ServerUnderTest server) => await server.Http.GetStringAsync("/metrics");

    private static double? Value(string text, string series) =>
        text.Split('\n').FirstOrDefault(line => line.StartsWith(series + " ", StringComparison.Ordinal)) is { } line
            ? double.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture) : null;

    private static HashSet<string> Names(string text) =>
        [.. text.Split('\n').Where(line => line.Length > 0 && line[0] != '#').Select(line => line[..line.LastIndexOf(' ')])];

    [GeneratedRegex(@"(?m)^# TYPE (\S+) (\S+)$")]
    private static partial Regex Family();

    [GeneratedRegex(@"\bgodwit_[a-z_]+[a-z]\b")]
    private static partial Regex Asked();
}
