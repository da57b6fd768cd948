using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Power;
using Godwit.Server.Draining;
using Godwit.Server.Power;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Hosts are turned off on purpose and woken again, with the shipped server, and hooks of every mood.</summary>
public sealed class PowerScenarios
{
    private static readonly HostId Host1 = new("host1"), Host3 = new("host3");
    private static readonly WorldKnobs Three = new() { Hosts = 3, Ha = true, HasPowerHooks = true };

    [Fact]
    public void A_host_is_emptied_turned_off_left_in_peace_and_woken() => World.Run(seed: 71, async world =>
    {
        await world.CreateVmAsync("web", on: "host3");
        await StandbyAsync(world, Host3);
        await UntilAsync(world, Host3, PowerPhase.Standby);
        Assert.False(world.Agents["host3"].Host.IsUp);
        Assert.NotEqual(Host3, (await world.VmAsync("web")).Owner);

        await world.SleepAsync(900); // Silent for long: nobody is alarmed, nobody fences it, nothing is recovered.
        Assert.Equal((HostState.Standby, 0), ((await HostAsync(world, Host3)).State, world.Fence.Runs));
        Assert.Empty(await world.Server.AskAsync(c => c.Checks.CheckAsync(repair: false, null, CancellationToken.None)));
        Assert.DoesNotContain(await EventsAsync(world), e => e is "host-unreachable" or "ha-held" or "power-failed");
        foreach (var act in new Func<Task>[]
        {
            () => world.MigrateAsync("web", "host3"),
            () => world.Server.AskAsync(c => c.Drains.RestoreAsync(Host3, andReturn: true)),
            () => world.Server.AskAsync(c => c.Fencing.RecoverAsync(Host3, fenced: true, "host3", "anna", CancellationToken.None)),
        })
            Assert.Equal("host-standby", (await Assert.ThrowsAsync<RefusedException>(act)).Reasons[0].Code);

        await WakeAsync(world, Host3);
        await UntilAsync(world, Host3, PowerPhase.On);
        var woken = await HostAsync(world, Host3);
        Assert.Equal((HostState.Ready, null), (woken.State, woken.Power.Problem));
        Assert.InRange(Assert.Single(woken.Power.WakeSeconds), 20, 120);
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", "host3"))).End);
    }, Three);

    [Theory]
    [InlineData("Fails", "its hook failed 3 times")]
    [InlineData("Lies", "said that it is off, and it answers")]
    [InlineData("Hangs", "its hook failed 3 times")]
    public void A_host_that_does_not_go_off_is_told_and_in_service_again(string mood, string problem) => World.Run(seed: 72, async world =>
    {
        world.Power!.Mood = Enum.Parse<PowerMood>(mood);
        await StandbyAsync(world, Host3);
        await UntilAsync(world, Host3, PowerPhase.On);
        var host = await HostAsync(world, Host3);
        Assert.Equal(HostState.Ready, host.State);
        Assert.Contains(problem, host.Power.Problem, StringComparison.Ordinal);
        var found = Assert.Single(await world.Server.AskAsync(c => c.Checks.CheckAsync(repair: false, null, CancellationToken.None)));
        Assert.Equal(("power-failed", Host3), (found.Code, found.Host));
        await world.CreateVmAsync("web", on: "host3");
    }, Three);

    [Fact]
    public void A_hook_that_works_and_says_that_it_failed_leaves_the_host_on_standby_with_a_word_about_it() => World.Run(
        seed: 73, async world =>
    {
        world.Power!.Mood = PowerMood.WorksAndSaysNo;
        await StandbyAsync(world, Host3);
        await UntilAsync(world, Host3, PowerPhase.Standby);
        Assert.NotNull((await HostAsync(world, Host3)).Power.Problem);
        Assert.False(world.Agents["host3"].Host.IsUp);
        await world.SleepAsync(120);
        Assert.Equal(HostState.Standby, (await HostAsync(world, Host3)).State);
    }, Three);

    [Fact]
    public void A_host_that_comes_on_by_itself_is_taken_back_and_told() => World.Run(seed: 74, async world =>
    {
        await StandbyAsync(world, Host3);
        await UntilAsync(world, Host3, PowerPhase.Standby);
        world.Agents["host3"].Host.PowerOn();
        world.Agents["host3"].Start();
        await UntilAsync(world, Host3, PowerPhase.On);
        var host = await HostAsync(world, Host3);
        Assert.Equal(HostState.Ready, host.State);
        Assert.Contains("by itself", host.Power.Problem, StringComparison.Ordinal);
    }, Three);

    /// <summary>Between any two steps, the drain's and the hook's too: nothing is on the host when it goes off.</summary>
    [Theory]
    [InlineData(81), InlineData(82), InlineData(83), InlineData(84), InlineData(85), InlineData(86)]
    public void The_server_dies_again_and_again_and_the_host_goes_to_standby_empty_and_comes_back(int seed) =>
        World.Run((ulong)seed, async world =>
        {
            foreach (var vm in (string[])["a", "b"]) await world.CreateVmAsync(vm, on: "host3");
            await StandbyAsync(world, Host3);
            var random = SimRandom.Fork((ulong)seed, "kills");
            for (var kill = 0; kill < 6; kill++) await KillServerAsync(world, random);
            await UntilAsync(world, Host3, PowerPhase.Standby);
            Assert.False(world.Agents["host3"].Host.IsUp);
            await WakeAsync(world, Host3);
            for (var kill = 0; kill < 4; kill++) await KillServerAsync(world, random);
            await UntilAsync(world, Host3, PowerPhase.On);
            foreach (var vm in (string[])["a", "b"])
                Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync(vm, "host3"))).End);
        }, Three);

    [Fact]
    public void A_cancelled_drain_leaves_the_host_on_and_is_no_failure() => World.Run(seed: 75, async world =>
    {
        for (var vm = 0; vm < 3; vm++) await world.CreateVmAsync($"vm{vm}", on: "host3", new() { DirtyBytesPerSecond = 5_000_000 }, 64);
        await StandbyAsync(world, Host3);
        while ((await world.Server.AskAsync(c => c.Stores.Drains.LatestAsync(Host3)))?.Vms.Any(v => v.Move is not null) != true)
            await world.SleepAsync(0.1);
        await world.Server.AskAsync(c => c.Drains.CancelAsync(Host3));
        await UntilAsync(world, Host3, PowerPhase.On);
        var host = await HostAsync(world, Host3);
        Assert.Equal((HostState.Ready, null), (host.State, host.Power.Problem));
        Assert.DoesNotContain(world.Power!.Runs, run => run.Hook == SimPower.Off);
    }, Three);

    [Fact]
    public void A_host_that_dies_while_it_is_emptied_is_recovered_and_not_on_standby() => World.Run(seed: 76, async world =>
    {
        for (var vm = 0; vm < 2; vm++) await world.CreateVmAsync($"vm{vm}", on: "host3");
        world.Net.Cut("host3", "host1"); // Nothing leaves it.
        world.Net.Cut("host3", "host2");
        await StandbyAsync(world, Host3);
        await world.SleepAsync(5);
        world.Agents["host3"].Host.PowerOff();
        await world.Loop.Until(() => new[] { "vm0", "vm1" }.All(vm => world.Runs(vm, "host1") || world.Runs(vm, "host2")));
        await UntilAsync(world, Host3, PowerPhase.On);
        Assert.Equal(HostState.Fenced, (await HostAsync(world, Host3)).State);
        Assert.DoesNotContain(world.Power!.Runs, run => run.Hook == SimPower.Off);
    }, Three);

    [Fact]
    public void A_vm_of_a_dead_host_without_room_elsewhere_wakes_one_and_the_next_where_that_fails() => World.Run(seed: 77, async world =>
    {
        var offered = await OfferedMiBAsync(world);
        foreach (var host in (string[])["host3", "host4"])
        {
            await StandbyAsync(world, new HostId(host));
            await UntilAsync(world, new HostId(host), PowerPhase.Standby);
        }
        await world.CreateVmAsync("web", on: "host1", memoryMiB: offered * 2 / 3);
        await world.CreateVmAsync("db", on: "host2", memoryMiB: offered * 2 / 3);
        await SetAsync(world, new PowerWish(PowerMode.Automatic, MinHostsOn: 1));
        world.Power!.Broken.Add("host3");
        world.Agents["host1"].Host.PowerOff();

        await world.Loop.Until(() => world.Runs("web", "host4"));
        Assert.NotNull((await HostAsync(world, Host3)).Power.Problem);
        Assert.Equal(HostState.Standby, (await HostAsync(world, Host3)).State);
        Assert.Null((await HostAsync(world, new HostId("host4"))).Power.Problem);
    }, Three with { Hosts = 4 });

    [Fact]
    public void Automatic_mode_turns_spared_hosts_off_one_after_the_other_and_keeps_its_minimum() => World.Run(seed: 78, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await SetAsync(world, new PowerWish(PowerMode.Automatic, MinHostsOn: 2, LowMinutes: 5));
        await world.SleepAsync(4 * 60);
        Assert.Equal(4, world.Agents.Values.Count(agent => agent.Host.IsUp)); // Not before the time of low load is over.
        await world.SleepAsync(20 * 60);
        Assert.Equal(2, world.Agents.Values.Count(agent => agent.Host.IsUp));
        var offs = (await world.Server.AskAsync(c => c.Stores.Hosts.ListAsync())).Where(h => h.State == HostState.Standby)
            .Select(h => h.Power.Since!.Value).Order().ToList();
        Assert.True(offs[1] - offs[0] >= TimeSpan.FromMinutes(5));

        await SetAsync(world, new PowerWish(MinHostsOn: 3));
        await world.SleepAsync(5 * 60);
        Assert.Equal(3, world.Agents.Values.Count(agent => agent.Host.IsUp));
    }, Three with { Hosts = 4 });

    private static async Task KillServerAsync(World world, SimRandom random)
    {
        await world.SleepAsync(random.Next(5000) / 1000.0);
        world.Server.Kill();
        await world.SleepAsync(0.5);
        await world.Server.StartAsync();
    }

    private static Task<bool> StandbyAsync(World world, HostId host) => DoAsync(world, v => v.StandbyAsync(host, "anna"));

    private static Task<bool> WakeAsync(World world, HostId host) => DoAsync(world, v => v.WakeAsync(host, "anna"));

    private static Task<bool> SetAsync(World world, PowerWish wish) => DoAsync(world, v => v.SetAsync(wish));

    private static Task<bool> DoAsync(World world, Func<PowerVerbs, Task> act) => world.Server.AskAsync(async c =>
    {
        await act(c.PowerVerbs);
        return true;
    });

    private static async Task UntilAsync(World world, HostId host, PowerPhase phase)
    {
        for (var second = 0; second < 1800; second++)
        {
            try
            {
                if ((await HostAsync(world, host)).Power.Phase == phase) return;
            }
            catch (ServerGoneException) { } // The next server knows as much.
            await world.SleepAsync(1);
        }
        Assert.Fail($"{host} is {(await HostAsync(world, host)).Power}, not {phase}");
    }

    private static async Task<Host> HostAsync(World world, HostId host) =>
        (await world.Server.AskAsync(c => c.Stores.Hosts.FindAsync(host)))!;

    private static async Task<List<string>> EventsAsync(World world) =>
        [.. (await world.Server.AskAsync(c => c.Stores.Events.LastAsync(1000))).Select(e => e.Kind)];

    private static async Task<int> OfferedMiBAsync(World world) =>
        (int)(Admission.OfferedBytes((await HostAsync(world, Host1)).Facts!.MemoryBytes) >> 20);
}
