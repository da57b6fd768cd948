using System.Globalization;
using System.Text.RegularExpressions;
using Godwit.Core.Access;
using Godwit.Core.Migration;
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
