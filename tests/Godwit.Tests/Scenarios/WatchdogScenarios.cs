using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Simulator.Cluster;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Hosts that nothing turns off from outside: each is reset by its own watchdog once it has no lease.</summary>
public sealed class WatchdogScenarios
{
    private static readonly WorldKnobs Three = new()
    {
        Hosts = 3, Ha = true, WatchdogTimeout = TimeSpan.FromSeconds(10), WatchdogLease = TimeSpan.FromSeconds(30),
    };
    private static readonly HostId Host1 = new("host1");

    [Fact]
    public void A_host_that_is_cut_off_resets_itself_before_its_vms_start_elsewhere() => World.Run(seed: 81, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Net.Cut("server", "host1");
        var (since, host) = (world.Loop.Now, world.Agents["host1"].Host);
        await world.Loop.Until(() => host.Watchdog.Resets == 1);
        Assert.InRange((world.Loop.Now - since).TotalSeconds, 30, 50); // A lease and a timeout, and no earlier.
        await world.Loop.Until(() => RunsElsewhere(world, "web"));
        Assert.InRange((world.Loop.Now - since).TotalSeconds, 50, 75);
        var proof = await world.Server.AskAsync(c => c.Stores.Fences.InForceAsync(Host1));
        Assert.Equal((FenceKind.Watchdog, "ha", 0), (proof!.Kind, proof.By, world.Fence.Runs));
        Assert.Contains("granted nothing for 55 s", proof.Sentence, StringComparison.Ordinal);
        var said = (await world.Server.AskAsync(c => c.Stores.Audit.LastAsync(DateTimeOffset.UnixEpoch, 1000)))
            .Where(row => row.Entry.Action == "believe the watchdog").Select(row => row.Entry.Result);
        Assert.Equal(["begun", "done"], said);
    }, Three);

    [Theory]
    [InlineData(true), InlineData(false)]
    public void A_host_of_which_only_one_direction_is_cut_is_reset_all_the_same(bool unheard) => World.Run(seed: 82, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        if (unheard) world.Net.CutOneWay("host1", "server");
        else world.Net.CutOneWay("server", "host1");
        await world.Loop.Until(() => RunsElsewhere(world, "web"));
        Assert.Equal(1, world.Agents["host1"].Host.Watchdog.Resets);
    }, Three);

    [Fact]
    public void An_agent_that_hangs_takes_its_host_with_it() => World.Run(seed: 83, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Agents["host1"].Process!.Stall();
        await world.Loop.Until(() => world.Agents["host1"].Host.Watchdog.Resets == 1);
        Assert.False(world.Runs("web", on: "host1"));
    }, Three);

    [Fact]
    public void An_agent_that_is_started_anew_in_time_changes_nothing_for_the_guests() => World.Run(seed: 84, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        for (var update = 0; update < 5; update++)
        {
            world.Agents["host1"].Kill();
            await world.SleepAsync(20);
        }
        Assert.Equal(0, world.Agents["host1"].Host.Watchdog.Resets);
        Assert.True(world.Runs("web", on: "host1"));
    }, Three);

    [Fact]
    public void An_agent_that_dies_again_and_again_while_its_host_is_cut_off_does_not_keep_the_watchdog_quiet() =>
        World.Run(seed: 85, async world =>
        {
            await world.CreateVmAsync("web", on: "host1");
            world.Net.Cut("server", "host1");
            var host = world.Agents["host1"].Host;
            while (host.Watchdog.Resets == 0 && world.Loop.Now < TimeSpan.FromMinutes(5))
            {
                world.Agents["host1"].Kill();
                await world.SleepAsync(4); // Less than the timeout: if opening were petting, it would never strike.
            }
            Assert.Equal(1, host.Watchdog.Resets);
            await world.Loop.Until(() => RunsElsewhere(world, "web"));
        }, Three);

    [Fact]
    public void A_server_that_is_away_for_less_than_a_lease_resets_nobody_and_one_longer_away_all() => World.Run(seed: 86, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Server.Kill();
        await world.SleepAsync(20);
        await world.Server.StartAsync();
        await world.SleepAsync(60);
        Assert.True(world.Runs("web", on: "host1"));
        Assert.Equal(0, world.Resets);

        world.Server.Kill();
        await world.Loop.Until(() => world.Resets == 3);
        await world.Server.StartAsync();
    }, Three);

    [Fact]
    public void A_server_that_began_anew_waits_a_whole_time_before_it_believes() => World.Run(seed: 87, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Net.Cut("server", "host1");
        await world.SleepAsync(50);
        world.Server.Kill();
        var since = world.Loop.Now;
        await world.Server.StartAsync();
        await world.Loop.Until(() => RunsElsewhere(world, "web"));
        Assert.True((world.Loop.Now - since).TotalSeconds >= 55, $"{world.Loop.Now - since}");
    }, Three);

    [Fact]
    public void A_watchdog_that_is_let_go_proves_nothing_and_resets_nobody() => World.Run(seed: 88, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await world.SetFenceAsync("host1", null);
        Assert.Null((await HostAsync(world)).Watchdog);
        await world.Loop.Until(() => !world.Agents["host1"].Host.Watchdog.Runs);
        world.Net.Cut("server", "host1");
        await world.SleepAsync(300);
        Assert.Equal(0, world.Agents["host1"].Host.Watchdog.Resets);
        Assert.True(world.Runs("web", on: "host1"));
        Assert.False(RunsElsewhere(world, "web"));
    }, Three);

    [Fact]
    public void A_host_that_is_let_go_while_it_is_cut_off_may_be_reset_and_is_not_believed_to_be_off() => World.Run(seed: 89, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Net.Cut("server", "host1");
        await world.SetFenceAsync("host1", null); // Noted here; the host does not hear of it.
        await world.SleepAsync(300);
        Assert.False(RunsElsewhere(world, "web"));
        Assert.Equal(HostState.Unreachable, (await HostAsync(world)).State);
    }, Three);

    [Fact]
    public void A_host_that_boots_anew_begins_no_guest_before_its_watchdog_is_armed() => World.Run(seed: 90, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var web = await world.VmAsync("web");
        var agent = world.Agents["host1"];
        agent.Host.PowerOff();
        world.Net.Cut("server", "host1");
        agent.Host.PowerOn();
        agent.Start();
        await world.Loop.Until(() => agent.Serving is not null);
        var late = new StartVm(web.Spec, web.Epoch.Next()); // An order of before, which the network kept.
        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            agent.Process!.Context.CallAsync(() => agent.Serving!.StartVmAsync(late, CancellationToken.None)));
        Assert.Equal("watchdog-not-armed", refused.Reasons[0].Code);
        Assert.True((await HostAsync(world)).Watchdog!.Confirmed); // So its silence proves something all the same.
        await world.Loop.Until(() => RunsElsewhere(world, "web"));
    }, Three);

    [Fact]
    public void A_host_that_was_reset_and_proved_to_be_off_comes_back_and_is_granted_leases_again() => World.Run(seed: 91, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Net.Cut("server", "host1");
        await world.Loop.Until(() => RunsElsewhere(world, "web"));
        world.Net.HealAll();
        while ((await HostAsync(world)).State != HostState.Ready) await world.SleepAsync(1);
        await world.Loop.Until(() => world.Agents["host1"].Host.Watchdog.Runs);
        await world.SleepAsync(120);
        Assert.Equal(1, world.Resets);
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host1"));
        Assert.True(world.Runs("web", on: "host1"));
    }, Three);

    [Fact]
    public void Only_a_host_that_offers_a_watchdog_can_be_fenced_by_it() => World.Run(seed: 92, async world =>
    {
        var refused = await Assert.ThrowsAsync<RefusedException>(() => world.SetFenceAsync("host1", WatchdogRules.FenceName));
        Assert.Equal("watchdog-missing", refused.Reasons[0].Code);
    }, Three with { WatchdogTimeout = null });

    private static bool RunsElsewhere(World world, string vm) => world.Runs(vm, "host2") || world.Runs(vm, "host3");

    private static async Task<Host> HostAsync(World world) => (await world.Server.AskAsync(c => c.Stores.Hosts.FindAsync(Host1)))!;
}
