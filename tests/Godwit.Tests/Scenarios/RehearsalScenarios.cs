using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Server.Api;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>A rehearsal is a move without its end: the guest goes on at home whatever becomes of the target.</summary>
public sealed class RehearsalScenarios
{
    private static readonly GuestLoad Busy = new(UsedPages: 2048, WorkingPages: 200, DirtyBytesPerSecond: 200_000);

    [Fact]
    public void A_rehearsal_tells_what_the_move_would_have_cost_and_the_guest_stays() => World.Run(seed: 21, async world =>
    {
        var ended = await world.EndOfAsync(await BegunAsync(world));
        Assert.True(ended.End == MoveEnd.Rehearsed, $"{ended.End}: {ended.Reason}");
        Assert.True(world.Runs("web", on: "host1"));
        Assert.Null(world.Copy("web", on: "host2"));
        Assert.True(ended.Receipt!.StreamBytes > 2048 * 4096);
        Assert.InRange(ended.Receipt.PauseMs!.Value, 0.1, 500);
        Assert.InRange(ended.Receipt.OwnPauseMs!.Value, 0.1, 500);
        Assert.Equal(0, ended.Receipt.PauseParts!.StartMs);
        Assert.Equal("host1", (await world.Server.AskAsync(c => c.Vms.FindAsync("web"))).Owner.Value);

        var real = await world.EndOfAsync(await world.MigrateAsync("web", "host2"));
        Assert.True(real.End == MoveEnd.Done, $"{real.End}: {real.Reason}");
        Assert.True(world.Runs("web", on: "host2"));
    });

    [Fact]
    public void Its_target_is_on_no_bridge_and_cannot_write_disks() => World.Run(seed: 22, async world =>
    {
        await RestartAsync(world, "host2", "incoming.prepared=delay:2000");
        var move = await BegunAsync(world);
        await world.Loop.Until(() => world.Copy("web", on: "host2") is not null);
        var copy = world.Copy("web", on: "host2")!;
        Assert.All(copy.Options.Disks, disk => Assert.True(disk.ReadOnly));
        Assert.All(copy.Options.Taps, tap => Assert.False(copy.Host.Devices.IsOnBridge(tap)));
        Assert.Equal(MoveEnd.Rehearsed, (await world.EndOfAsync(move)).End);
    });

    [Fact]
    public void A_target_that_cannot_load_is_found_out_and_the_guest_never_waits_for_it() => World.Run(seed: 23, async world =>
    {
        await RestartAsync(world, "host2", "incoming.prepared=delay:2000");
        var move = await BegunAsync(world);
        await world.Loop.Until(() => world.Copy("web", on: "host2") is not null);
        world.Copy("web", on: "host2")!.RefuseToLoad();
        var ended = await world.EndOfAsync(move);
        Assert.Equal(MoveEnd.RolledBack, ended.End);
        Assert.Contains("could not take it", ended.Reason, StringComparison.Ordinal);
        Assert.True(world.Runs("web", on: "host1"));
    });

    [Fact]
    public void A_source_agent_that_dies_while_it_waits_for_the_targets_word_never_doubts_whose_the_guest_is() =>
        World.Run(seed: 24, async world =>
        {
            await RestartAsync(world, "host1", "outgoing.before-rehearsed=hang");
            var move = await BegunAsync(world);
            await world.Loop.Until(() => world.Copy("web", on: "host1") is { HasSentAll: true, IsRunning: true });
            world.Agents["host2"].Kill();
            await RestartAsync(world, "host1", "");
            await AtHomeAsync(world, move);
        });

    [Fact]
    public void A_target_agent_that_dies_as_it_throws_the_copy_away_leaves_nothing() => World.Run(seed: 25, async world =>
    {
        await RestartAsync(world, "host2", "incoming.before-tombstone=hang");
        var move = await BegunAsync(world);
        await world.Loop.Until(() => world.Copy("web", on: "host2") is not null);
        await world.Loop.Until(() => world.Copy("web", on: "host2") is null);
        await RestartAsync(world, "host2", "");
        await AtHomeAsync(world, move);
    });

    private static async Task AtHomeAsync(World world, MoveId move)
    {
        var ended = await world.EndOfAsync(move);
        Assert.True(ended.End == MoveEnd.RolledBack, $"{ended.End}: {ended.Reason}");
        await world.SleepAsync(5);
        Assert.True(world.Runs("web", on: "host1"));
        Assert.Null(world.Copy("web", on: "host2"));
    }

    private static async Task RestartAsync(World world, string host, string failPoints)
    {
        var agent = world.Agents[host];
        agent.FailPoints = failPoints;
        agent.Kill();
        await world.Loop.Until(() => agent.Serving is null);
        await world.Loop.Until(() => agent.Serving is not null);
        await world.SleepAsync(1);
    }

    [Fact]
    public void Stopped_for_the_rest_is_for_moves_and_other_ways_are_not_rehearsed() => World.Run(seed: 26, async world =>
    {
        var ended = await world.EndOfAsync(await BegunAsync(world, new MigrateRequest { Rehearse = true, MayQuick = true }));
        Assert.False(ended.Limits.MayQuick);
        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            world.MigrateAsync("web", "host2", MoveMode.Quick, new MigrateRequest { Rehearse = true }));
        Assert.Equal("bad-rehearsal", refused.Reasons[0].Code);
    });

    private static async Task<MoveId> BegunAsync(World world, MigrateRequest? wish = null)
    {
        await world.CreateVmAsync("web", on: "host1", Busy);
        await world.SleepAsync(1);
        return await world.MigrateAsync("web", "host2", wish: wish ?? new MigrateRequest { Rehearse = true });
    }
}
