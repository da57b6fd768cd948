using Godwit.Core.Loads;
using Godwit.Server.Replaying;
using Godwit.Server.Store;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Balancing;

/// <summary>The time machine through a whole server: from recorded loads to what each mode would have done.</summary>
public sealed class ClusterReplayTests
{
    [Fact]
    public async Task A_busy_half_day_is_told_with_and_without_the_balancer()
    {
        await using var server = await RecordedAsync(points: 72);
        var found = await server.OkAsync<ClusterReplay>("POST", "balance/replay", new { hours = 6, idleWatts = 100, fullWatts = 300 });

        Assert.Equal((3, 5, 0), (found.Hosts, found.Vms, found.Unrecorded));
        var (off, automatic) = (Of(found, ReplayedPolicy.Off), Of(found, ReplayedPolicy.Automatic));
        Assert.Equal(0, off.Moves);
        // Two processors, three VMs that want one each, all the time but for the first value.
        Assert.InRange(off.OverloadMinutes, 330, 360);
        Assert.InRange(off.LostShare, 0.2, 0.5);
        Assert.InRange(automatic.Moves, 1, 4);
        Assert.Equal((0, 0), (automatic.MovesThatHurt, automatic.Returns));
        Assert.True(automatic.OverloadMinutes < off.OverloadMinutes / 4, $"{automatic}");
        // Three hosts for six hours, idle at least: nobody switches one off.
        Assert.InRange(off.EnergyKwh, 1.7, 1.8 * 3);
        Assert.True(Of(found, ReplayedPolicy.Consolidation).MeanHostsOn <= 3);
    }

    [Fact]
    public async Task Nothing_is_told_from_no_record_and_wishes_have_bounds()
    {
        await using var server = await RecordedAsync(points: 3);
        Assert.Equal("loads-unrecorded", (await server.ProblemAsync("POST", "balance/replay")).Code);
        Assert.Equal("bad-hours", (await server.ProblemAsync("POST", "balance/replay", new { hours = 0 })).Code);
        Assert.Equal("bad-watts", (await server.ProblemAsync("POST", "balance/replay", new { idleWatts = 300 })).Code);
    }

    private static ReplayedMode Of(ClusterReplay found, ReplayedPolicy policy) => found.Modes.Single(mode => mode.Policy == policy);

    /// <summary>Three hosts of two processors; h1 has three VMs that want a whole one each, h2 two that want next to nothing.</summary>
    private static async Task<ServerUnderTest> RecordedAsync(int points)
    {
        var server = await ServerUnderTest.StartAsync("h1", "h2", "h3");
        var vms = new List<(string Thing, double Cores)>();
        foreach (var (name, host, cores) in ((string, string, double)[])
                 [("a", "h1", 1), ("b", "h1", 1), ("c", "h1", 1), ("d", "h2", 0.05), ("e", "h2", 0.05)])
            vms.Add(($"vm/{(await server.CreateVmAsync(name, host)).Spec.Id}", cores));
        var now = LoadStore.SlotOf(DateTimeOffset.UtcNow);
        for (var slot = 1; slot <= points; slot++)
        {
            var at = now - slot * LoadStore.Slot;
            await server.Control.Stores.Loads.AddAsync(at, [.. vms.Select(vm => (vm.Thing,
                LoadSummary.Of([new LoadPoint(at, (float)vm.Cores, 0, 1 << 20, 0, 0)])!))]);
        }
        return server;
    }
}
