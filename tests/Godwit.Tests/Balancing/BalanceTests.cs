using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Loads;
using Godwit.Core.Placement;
using Godwit.Server.Api;
using Godwit.Server.Balancing;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Balancing;

/// <summary>Plans through a whole server: from what hosts tell to moves with reasons.</summary>
public sealed class BalanceTests
{
    [Fact]
    public async Task A_host_on_which_guests_wait_is_relieved_and_the_plan_says_why()
    {
        await using var server = await LoadedAsync(busyCores: 0.9);
        var found = await server.OkAsync<ClusterPlan>("POST", "balance/plan");

        var move = Assert.Single(found.Plan.Moves);
        Assert.Equal((new HostId("h1"), new HostId("h2"), MoveGoal.Relieve), (move.From, move.To, move.Goal));
        Assert.True(move.GainSeconds >= 2 * move.CostSeconds);
        Assert.NotEmpty(move.Why);
        Assert.NotEmpty(move.Otherwise);
        Assert.True(found.Plan.ScoreAfter < found.Plan.ScoreBefore);
        Assert.Equal(0, server.Cluster["h1"].Count("StartOutgoing")); // A plan moves nothing.
    }

    [Fact]
    public async Task A_calm_cluster_is_left_alone_where_only_relief_is_wished_for()
    {
        await using var server = await LoadedAsync(busyCores: 0.05);
        Assert.Empty((await server.OkAsync<ClusterPlan>("POST", "balance/plan", new { levelsToo = false })).Plan.Moves);
    }

    [Fact]
    public async Task Nothing_is_planned_from_loads_nobody_measured()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        Assert.Equal("loads-unknown", (await server.ProblemAsync("POST", "balance/plan")).Code);
        Assert.Equal("bad-max-moves", (await server.ProblemAsync("POST", "balance/plan", new { movesMax = 0 })).Code);
        Assert.Equal("bad-min-gain", (await server.ProblemAsync("POST", "balance/plan", new { minGainRatio = 0.5 })).Code);
    }

    [Fact]
    public async Task Every_host_is_rated_for_a_vm_with_a_reason()
    {
        await using var server = await LoadedAsync(busyCores: 0.9);
        await server.OkAsync<HostView>("POST", "hosts/h3/cordon");
        var ratings = await server.OkAsync<HostRating[]>("GET", "vms/a/placement");
        Assert.Equal(3, ratings.Length);
        Assert.Equal("h2", ratings[0].Host.Value);
        Assert.True(ratings[0].Stars > 0);
        var closed = ratings.Single(r => r.Host.Value == "h3");
        Assert.Equal((0, "host-cordoned"), (closed.Stars, closed.Verdict.Reasons[0].Why.Code));
    }

    /// <summary>Three hosts of two processors; h1 runs two VMs, each taking so much.</summary>
    private static async Task<ServerUnderTest> LoadedAsync(double busyCores)
    {
        var server = await ServerUnderTest.StartAsync("h1", "h2", "h3");
        var vms = new[] { await server.CreateVmAsync("a", "h1"), await server.CreateVmAsync("b", "h1") };
        foreach (var host in (string[])["h1", "h2", "h3"])
            server.Cluster[host].Load = new HostLoad
            {
                At = FakeCluster.Now, SpanSeconds = 10, MemoryUsedBytes = 1 << 30, CpuCores = host == "h1" ? 2 * busyCores : 0.02,
                Vms = host == "h1" ? [.. vms.Select(v => new VmLoad(v.Spec.Id, busyCores, 0, 1 << 20, 0, 0))] : [],
            };
        await server.Control.Loads.RoundAsync(CancellationToken.None);
        return server;
    }
}
