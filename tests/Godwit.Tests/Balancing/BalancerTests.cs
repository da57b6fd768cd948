using Godwit.Core;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Checking;
using Godwit.Core.Loads;
using Godwit.Core.Migration;
using Godwit.Server.Api;
using Godwit.Server.Balancing;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Xunit;

namespace Godwit.Tests.Balancing;

/// <summary>The balancer in a whole server, look by look: what it waits for, asks for, does, and measures.</summary>
public sealed class BalancerTests : IAsyncLifetime
{
    private readonly ShiftedTime time = new();
    private ServerUnderTest server = null!;
    private VmView a = null!, b = null!;

    public async Task InitializeAsync()
    {
        server = await ServerUnderTest.StartAtAsync(time, "h1", "h2", "h3");
        (a, b) = (await server.CreateVmAsync("a", "h1"), await server.CreateVmAsync("b", "h1"));
    }

    public async Task DisposeAsync() => await server.DisposeAsync();

    [Fact]
    public async Task In_manual_mode_it_recommends_what_lasts_and_a_person_applies_it()
    {
        for (var look = 1; look < LookHistory.Needed; look++)
        {
            var soon = await LookAsync();
            Assert.Empty(soon.Open);
            Assert.Contains($"seen in {look} of the last", Assert.Single(soon.LastLook!.Advices).Because, StringComparison.Ordinal);
        }
        var view = await LookAsync();
        var asked = Assert.Single(view.Open);
        Assert.Equal("h1", asked.Move.From.Value);
        Assert.Equal(0, server.Cluster["h1"].Count("StartOutgoing"));
        Assert.Equal(asked.Id, Assert.Single((await LookAsync()).Open).Id); // Said again, it is the same one.

        var begun = await server.OkAsync<Recommendation>("POST", $"balancer/recommendations/{asked.Id}/apply");
        Assert.Equal(MoveEnd.Done, (await server.EndOfAsync(begun.MoveId!.Value)).End);
        Assert.Equal("recommendation-ended", (await server.ProblemAsync("POST", $"balancer/recommendations/{asked.Id}/apply")).Code);
        view = await LookAsync();
        Assert.Equal((RecommendationState.Done, false), (Assert.Single(view.History).State, view.History[0].ByItself));
    }

    [Fact]
    public async Task In_automatic_mode_it_relieves_the_host_measures_the_gain_and_rests()
    {
        await server.OkAsync<BalancerSettings>("POST", "balancer", new BalancerWish(BalanceMode.Automatic));
        for (var look = 1; look <= LookHistory.Needed; look++) await LookAsync(waitCores: 0.3);
        var moving = Assert.Single(await server.Control.Stores.Balancer.ListAsync(10));
        Assert.Equal(MoveEnd.Done, (await server.EndOfAsync(moving.MoveId!.Value)).End);

        for (var look = 0; look < 9; look++) await LookAsync();
        var done = Assert.Single((await server.OkAsync<BalancerView>("GET", "balancer")).History);
        Assert.Equal((RecommendationState.Done, true), (done.State, done.ByItself));
        Assert.True(done.WaitCoresBefore > 0.3, $"before {done.WaitCoresBefore}");
        Assert.InRange(done.MeasuredGainSeconds!.Value, 0.3 * 3600, 0.7 * 3600);
        Assert.NotEqual(await OwnerAsync("a"), await OwnerAsync("b"));
    }

    [Fact]
    public async Task A_vm_whose_own_mode_is_manual_is_asked_for_in_an_automatic_cluster_and_off_is_off_for_all()
    {
        await server.OkAsync<BalancerSettings>("POST", "balancer", new BalancerWish(BalanceMode.Automatic));
        foreach (var vm in (string[])["a", "b"])
            await server.OkAsync<BalancerSettings>("POST", $"balancer/vms/{vm}", new VmModeWish(BalanceMode.Manual));
        for (var look = 1; look <= LookHistory.Needed; look++) await LookAsync();
        Assert.Single((await server.OkAsync<BalancerView>("GET", "balancer")).Open);
        Assert.Equal(0, server.Cluster["h1"].Count("StartOutgoing"));

        await server.OkAsync<BalancerSettings>("POST", "balancer", new BalancerWish(BalanceMode.Off));
        Assert.Empty((await LookAsync()).Open);
    }

    [Fact]
    public async Task What_a_person_dismissed_is_not_said_again()
    {
        for (var look = 1; look <= LookHistory.Needed; look++) await LookAsync();
        var asked = Assert.Single((await server.OkAsync<BalancerView>("GET", "balancer")).Open);
        await server.OkAsync<Recommendation>("POST", $"balancer/recommendations/{asked.Id}/dismiss");
        Assert.DoesNotContain((await LookAsync()).Open, r => (r.Move.Vm, r.Move.To) == (asked.Move.Vm, asked.Move.To));
    }

    [Fact]
    public async Task After_three_moves_that_hurt_it_moves_nothing_by_itself_until_a_person_has_looked()
    {
        await server.OkAsync<BalancerSettings>("POST", "balancer", new BalancerWish(BalanceMode.Automatic));
        for (var look = 1; look <= LookHistory.Needed; look++) await LookAsync();
        var first = Assert.Single(await server.Control.Stores.Balancer.ListAsync(10));
        await server.EndOfAsync(first.MoveId!.Value);
        await LookAsync();
        for (var n = 0; n < MeasuredGain.HurtsMax; n++)
        {
            var open = first with { Id = $"rm-00000000000{n}", State = RecommendationState.Open };
            await server.Control.Stores.Balancer.ReplaceOpenAsync([open]);
            await server.Control.Stores.Balancer.SaveAsync(open with
            {
                State = RecommendationState.Done, EndedAt = time.GetUtcNow(), WaitCoresBefore = 0.1, MeasuredGainSeconds = -900,
            });
        }
        Assert.NotNull((await LookAsync()).Settings.PausedBecause);
        Assert.Null((await server.OkAsync<BalancerSettings>("POST", "balancer", new BalancerWish(Resume: true))).PausedBecause);
        Assert.Null((await LookAsync()).Settings.PausedBecause); // What hurt before it was let go on does not count again.
    }

    [Fact]
    public async Task Bad_settings_are_refused_with_what_is_possible()
    {
        var problem = await server.ProblemAsync("POST", "balancer", new BalancerWish(MinGainRatio: 0, MovesAtOnceMax: 0, MaxCopySeconds: 0,
            BusyAbove: 2));
        Assert.Equal(["bad-min-gain", "bad-busy-above", "bad-moves-at-once", "bad-max-copy"], problem.Reasons.Select(r => r.Code));
        Assert.Equal("recommendation-not-found", (await server.ProblemAsync("POST", "balancer/recommendations/rm-1/dismiss")).Code);
    }

    /// <summary>A minute of samples, in which each VM takes most of a processor wherever it is; then a look.</summary>
    private async Task<BalancerView> LookAsync(double waitCores = 0)
    {
        const double Busy = 0.9;
        var owners = new Dictionary<VmId, string> { [a.Spec.Id] = await OwnerAsync("a"), [b.Spec.Id] = await OwnerAsync("b") };
        for (var sample = 0; sample < 6; sample++)
        {
            time.Offset += TimeSpan.FromSeconds(10);
            foreach (var host in (string[])["h1", "h2", "h3"])
            {
                var here = owners.Where(o => o.Value == host).ToList();
                server.Cluster[host].Load = new HostLoad
                {
                    At = FakeCluster.Now, SpanSeconds = 10, MemoryUsedBytes = 1 << 30, CpuCores = Busy * here.Count,
                    Vms = [.. here.Select(v => new VmLoad(v.Key, Busy, here.Count > 1 ? waitCores : 0, 1 << 20, 0, 0))],
                };
            }
            await server.Control.Loads.RoundAsync(CancellationToken.None);
        }
        await server.Control.Balancer.LookAsync(CancellationToken.None);
        return await server.OkAsync<BalancerView>("GET", "balancer");
    }

    private async Task<string> OwnerAsync(string vm) => (await server.OkAsync<VmView>("GET", $"vms/{vm}")).Owner.Value;
}

/// <summary>Room for the VMs of hosts that die: told where it is missing, kept where it is asked for.</summary>
public sealed class SpareRoomTests
{
    [Fact]
    public async Task A_vm_that_would_take_the_last_room_for_restarts_is_not_started_and_without_the_wish_it_is()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var offered = (await server.OkAsync<HostView>("GET", "hosts/h1")).MemoryOfferedBytes;
        await server.OkAsync<BalancerSettings>("POST", "balancer", new BalancerWish(SpareHosts: 1));
        await CreateAsync("a", "h1", offered / 2, ha: true);

        var refused = await server.ProblemAsync("POST", "vms", Wish("b", "h2", offered / 2, ha: false));
        Assert.Equal("ha-no-spare", refused.Code);
        Assert.Contains("a could not be started again if h1 died", refused.Cause, StringComparison.Ordinal);
        await CreateAsync("c", "h2", offered / 8, ha: true);
        Assert.DoesNotContain(await FindingsAsync(), f => f.Code == "ha-no-spare");

        await server.OkAsync<BalancerSettings>("POST", "balancer", new BalancerWish(SpareHosts: 0));
        await CreateAsync("b", "h2", offered / 2, ha: false);
        var gap = Assert.Single(await FindingsAsync(), f => f.Code == "ha-no-spare"); // Told all the same.
        Assert.Equal("h1", gap.Thing);

        Task<VmView> CreateAsync(string name, string host, long bytes, bool ha) =>
            server.OkAsync<VmView>("POST", "vms", Wish(name, host, bytes, ha));
        async Task<IReadOnlyList<Finding>> FindingsAsync() =>
            await server.Control.Checks.CheckAsync(repair: false, null, CancellationToken.None);
    }

    private static CreateVmRequest Wish(string name, string host, long bytes, bool ha) =>
        new(name) { Host = host, MemoryBytes = bytes >> 20 << 20, Start = true, Ha = ha };
}
