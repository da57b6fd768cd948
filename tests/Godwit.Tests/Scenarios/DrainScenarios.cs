using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Server.Draining;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Stories;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>A host is emptied while things break: the drain ends, tells the truth, and the checkers watch the VMs.</summary>
public sealed class DrainScenarios
{
    private static readonly HostId Host1 = new("host1");

    [Fact]
    public void The_server_is_killed_again_and_again_and_the_host_is_empty_all_the_same() => World.Run(seed: 41, async world =>
    {
        await BeginAsync(world, vms: 4);
        var random = SimRandom.Fork(41, "kills");
        for (var kill = 0; kill < 6; kill++)
        {
            await world.SleepAsync(random.Next(3000) / 1000.0);
            world.Server.Kill();
            await world.SleepAsync(0.5);
            await world.Server.StartAsync();
        }
        var ended = await EndOfAsync(world);
        Assert.True(ended.End == DrainEnd.Drained, $"{ended.End}: {ended.Reason}");
        Assert.Equal(4, ended.Count(DrainVmEnd.Moved, DrainVmEnd.Gone));
        Assert.DoesNotContain(world.Ledger.Alive, q => q.Host.Name == "host1" && !q.Process.HasExited);
    }, new WorldKnobs { Hosts = 3 });

    [Fact]
    public void A_host_that_dies_while_it_is_emptied_is_not_called_empty() => World.Run(seed: 42, async world =>
    {
        await BeginAsync(world, vms: 3);
        await world.SleepAsync(0.2);
        for (var vm = 0; vm < 3; vm++) world.LetGo($"vm{vm}"); // The power cut takes what is there.
        world.Agents["host1"].Host.PowerOff();

        var ended = await EndOfAsync(world);
        Assert.Contains(ended.End, (DrainEnd?[])[DrainEnd.HostLost, DrainEnd.Blocked]);
        Assert.DoesNotContain("may be switched off", ended.Reason);
    }, new WorldKnobs { Hosts = 3 });

    /// <summary>Bad luck of every kind meanwhile; then all is well again, and the host gets back what was its own.</summary>
    [Theory]
    [InlineData(51), InlineData(52), InlineData(53), InlineData(54), InlineData(55), InlineData(56), InlineData(57), InlineData(58)]
    public void Whatever_goes_wrong_a_drain_ends_and_what_it_says_is_so(int seed) => World.Run((ulong)seed, async world =>
    {
        await BeginAsync(world, vms: 3);
        await new Nemesis(world, new RunCounts()).RunAsync(faults: 4);
        await world.HealAsync();

        var ended = await EndOfAsync(world);
        Assert.NotNull(ended.Reason);
        if (ended.End == DrainEnd.Drained)
            Assert.DoesNotContain(world.Ledger.Alive, q => q.Host.Name == "host1" && !q.Process.HasExited);
        else Assert.DoesNotContain("may be switched off", ended.Reason);

        await world.Server.AskAsync(c => c.Drains.RestoreAsync(Host1, andReturn: true));
        Assert.Equal(DrainEnd.Returned, (await EndOfAsync(world)).End);
    }, new WorldKnobs { Hosts = 3 });

    private static async Task BeginAsync(World world, int vms)
    {
        for (var vm = 0; vm < vms; vm++) await world.CreateVmAsync($"vm{vm}", on: "host1");
        await world.Server.AskAsync(c => c.Drains.BeginAsync(Host1, new DrainLimits()));
    }

    private static async Task<Drain> EndOfAsync(World world)
    {
        for (var second = 0; second < 3600; second++)
        {
            try
            {
                if (await world.Server.AskAsync(c => c.Stores.Drains.LatestAsync(Host1)) is { HasEnded: true } ended) return ended;
            }
            catch (ServerGoneException) { }
            await world.SleepAsync(1);
        }
        throw new SimFailedException("the drain did not end within an hour");
    }
}
