using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// The server's store is lost, or goes back in time, while guests run and move. The checkers hold R1 to R7 after every
/// step; at the end every VM must be usable again.
/// </summary>
public sealed class RebuildScenarios(ITestOutputHelper output)
{
    /// <summary>Where a move is held for a moment, so that the store is lost right there.</summary>
    [Theory]
    [InlineData("host2", "incoming.prepared")]
    [InlineData("host1", "outgoing.before-memory")]
    [InlineData("host1", "outgoing.before-token")]
    [InlineData("host1", "outgoing.after-token")]
    [InlineData("host2", "incoming.before-intent")]
    [InlineData("host2", "incoming.after-intent")]
    [InlineData("host2", "incoming.after-cont")]
    [InlineData("host2", "incoming.before-settling")]
    [InlineData("host1", "outgoing.before-burial")]
    public void A_store_lost_at_this_place_of_a_move_is_rebuilt_and_the_move_ends(string host, string place) => World.Run(71, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await RestartAsync(world, host, $"{place}=delay:6000");
        var held = false;
        world.Loop.Traced += (_, what) => held |= what.Contains(SignOf(place), StringComparison.Ordinal);
        await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => held);
        await world.SleepAsync(0.1);
        var plan = await world.LoseAndRebuildAsync();
        Assert.Equal("web", Assert.Single(plan.Vms).Vm.Spec.Name);

        await EndedAsync(world);
        await IsUsableAsync(world);
    });

    [Fact]
    public void A_store_lost_at_any_moment_of_a_move_with_an_agent_that_dies_too_ends_well()
    {
        var (frozen, goOn) = (0, 0);
        for (ulong seed = 1; seed <= 40; seed++)
            World.Run(seed, async world =>
            {
                var random = SimRandom.Fork(seed, "when the store is lost");
                await world.CreateVmAsync("web", on: "host1");
                await world.MigrateAsync("web", to: "host2", random.Chance(0.2) ? MoveMode.Quick : MoveMode.Live);
                await world.SleepAsync(random.Next(1 << random.Next(13)) / 1000.0);
                if (random.Chance(0.4)) world.Agents[random.Chance(0.5) ? "host1" : "host2"].Kill();
                var plan = await world.LoseAndRebuildAsync();
                frozen += plan.Vms.Count(v => v.Frozen.Count > 0);
                goOn += plan.Vms.Sum(v => v.Moves.Count(m => m.End is null));
                await EndedAsync(world);
                await world.HealAsync();
                await world.SleepAsync(30);
                await IsUsableAsync(world);
            });
        output.WriteLine($"{goOn} moves went on, {frozen} VMs were frozen at first");
        Assert.True(goOn > 5, $"only {goOn} moves were found under way");
    }

    [Fact]
    public void A_vm_that_went_to_a_host_which_is_silent_is_frozen_until_that_host_is_heard() => World.Run(72, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"))).End);
        world.Net.Cut("server", "host2");
        var plan = await world.LoseAndRebuildAsync();
        Assert.Equal("owner-silent", Assert.Single(Assert.Single(plan.Vms).Frozen).Code);
        Assert.Equal("vm-frozen", await RefusalOfStartAsync(world));
        var refused = await Assert.ThrowsAsync<RefusedException>(() => world.MigrateAsync("web", to: "host1"));
        Assert.Equal("vm-frozen", refused.Reasons[^1].Code);

        world.Net.Heal("server", "host2");
        await world.SleepAsync(30);
        Assert.Empty(await world.Server.AskAsync(c => c.Stores.Frozen.ListAsync()));
        await IsUsableAsync(world);
    });

    [Fact]
    public void A_stopped_vm_is_frozen_while_a_host_is_silent_that_may_have_it_running() => World.Run(73, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Stop, "web", o => o with { Force = true }, null,
            CancellationToken.None));
        world.Net.Cut("server", "host2");
        Assert.Equal("host-silent", Assert.Single(Assert.Single((await world.LoseAndRebuildAsync()).Vms).Frozen).Code);
        Assert.Equal("vm-frozen", await RefusalOfStartAsync(world));

        world.Net.Heal("server", "host2");
        await world.SleepAsync(30);
        Assert.Null(await RefusalOfStartAsync(world));
        Assert.True(world.Runs("web", on: "host1"));
    });

    [Fact]
    public void A_store_put_back_from_before_a_move_freezes_the_vm_and_nothing_starts_it_twice() => World.Run(74, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var backup = world.Server.BackUpStore();
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"))).End);
        world.Server.PutStoreBack(backup);
        await world.Server.StartAsync();

        for (var start = 0; start < 4; start++)
        {
            Assert.Equal("vm-frozen", await RefusalOfStartAsync(world));
            await world.SleepAsync(7);
        }
        var reason = Assert.Single((await world.Server.AskAsync(c => c.Stores.Frozen.ListAsync())).Single().Reasons, r =>
            r.Cause.StartsWith("host2", StringComparison.Ordinal));
        Assert.Equal(("store-behind", "host2 knows epoch 2 of web, the store 1: the store is older than its hosts"), (reason.Code,
            reason.Cause));
        var settled = await world.Server.AskAsync(c => c.Settling.AdoptAsync("web", null, [], CancellationToken.None));
        Assert.Equal(("host2", 2L), (settled.Owner.Value, settled.Epoch.Value));
        await IsUsableAsync(world);
    });

    /// <summary>The host that runs it is cut off: the one it left remembers the epoch it left with.</summary>
    [Fact]
    public void The_host_a_vm_left_knows_enough_to_keep_an_older_store_from_starting_it_again() => World.Run(75, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var backup = world.Server.BackUpStore();
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"))).End);
        world.Net.Cut("server", "host2");
        world.Server.PutStoreBack(backup);
        await world.Server.StartAsync();
        await world.SleepAsync(20);
        Assert.Equal("vm-frozen", await RefusalOfStartAsync(world));
        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            world.Server.AskAsync(c => c.Settling.AdoptAsync("web", new HostId("host1"), [], CancellationToken.None)));
        Assert.Equal("host-silent", Assert.Single(refused.Reasons).Code);

        world.Net.Heal("server", "host2");
        await world.SleepAsync(10);
        await world.Server.AskAsync(c => c.Settling.AdoptAsync("web", null, [], CancellationToken.None));
        await IsUsableAsync(world);
    });

    [Fact]
    public void An_older_store_is_put_right_by_the_rebuilding_and_keeps_what_only_it_knew() => World.Run(76, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await world.Server.AskAsync(async c =>
        {
            await c.Hosts.CordonAsync(new HostId("host1"), true);
            return true;
        });
        var backup = world.Server.BackUpStore();
        await world.Server.AskAsync(async c =>
        {
            await c.Hosts.CordonAsync(new HostId("host1"), false);
            return true;
        });
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"))).End);
        world.Server.PutStoreBack(backup);
        var plan = await world.RebuildAsync(fromOld: true);
        Assert.Empty(Assert.Single(plan.Vms).Frozen);
        Assert.Equal("host2", (await world.VmAsync("web")).Owner.Value);
        await world.SleepAsync(10);
        await world.Server.AskAsync(async c =>
        {
            await c.Hosts.CordonAsync(new HostId("host1"), false);
            return true;
        });
        await IsUsableAsync(world);
    });

    private static string SignOf(string place) => place switch
    {
        "incoming.prepared" => "incoming migration setup",
        "outgoing.before-memory" => ".json: HandingOver",
        "outgoing.before-token" or "outgoing.after-token" => "outgoing migration completed",
        "incoming.before-intent" => ": Loaded,",
        "incoming.after-intent" => ".json: Intent",
        "incoming.after-cont" or "incoming.before-settling" => ": Runs,",
        _ => ".json: Released",
    };

    private static async Task RestartAsync(World world, string host, string failPoints)
    {
        var agent = world.Agents[host];
        agent.FailPoints = failPoints;
        agent.Kill();
        await world.Loop.Until(() => agent.Serving is null);
        await world.Loop.Until(() => agent.Serving is not null);
        await world.SleepAsync(1);
    }

    private static async Task EndedAsync(World world)
    {
        for (var second = 0; second < 900; second++)
        {
            if ((await world.Server.AskAsync(c => c.Stores.Operations.UnfinishedAsync())).Count == 0) return;
            await world.SleepAsync(1);
        }
        Assert.Fail("a move that was found goes on without end");
    }

    private static async Task<string?> RefusalOfStartAsync(World world)
    {
        try
        {
            var done = await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Start, "web", o => o, null, CancellationToken.None));
            return done.Problem?.Code;
        }
        catch (RefusedException refused) { return refused.Reasons[0].Code; }
    }

    private static async Task IsUsableAsync(World world)
    {
        await world.SleepAsync(20);
        var vm = await world.VmAsync("web");
        Assert.Equal(VmState.Running, vm.State);
        var target = world.Agents.Keys.First(h => h != vm.Owner.Value);
        var move = await world.EndOfAsync(await world.MigrateAsync("web", target));
        Assert.True(move.End == MoveEnd.Done, move.Reason);
        Assert.True(world.Runs("web", on: target));
    }
}
