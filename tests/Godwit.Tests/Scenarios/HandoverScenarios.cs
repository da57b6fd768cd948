using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Machines;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// What the model of the hand-over (docs/design/handover.pml) and a reading beside it found in the shipped code, told on
/// the simulator. Image locks do not help here: nothing but the protocol keeps a second runner away.
/// </summary>
public sealed class HandoverScenarios
{
    [Fact]
    public void A_target_agent_that_dies_while_it_takes_the_intent_back_still_sends_the_guest_home() => World.Run(seed: 3, async world =>
    {
        await BeginAsync(world, target: "incoming.after-intent=delay:1500,incoming.before-tombstone=hang");
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        await world.SleepAsync(0.5);
        world.Copy("web", on: "host2")!.Process.Exit(ProcessEnd.Injected);
        await world.SleepAsync(3); // It stands before its tombstone.
        await RestartAsync(world, "host2");

        Assert.Equal(MoveEnd.RolledBack, (await world.EndOfAsync(move)).End);
        Assert.True(world.Runs("web", on: "host1"));
    });

    [Fact]
    public void A_source_agent_that_dies_before_the_burial_buries_the_copy_when_it_is_back() => World.Run(seed: 4, async world =>
    {
        await BeginAsync(world, source: "outgoing.before-burial=hang");
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Runs("web", on: "host2"));
        await world.SleepAsync(0.5);
        Assert.NotNull(world.Copy("web", on: "host1"));
        await RestartAsync(world, "host1");

        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move)).End);
        await world.SleepAsync(2);
        Assert.Null(world.Copy("web", on: "host1"));
    });

    [Fact]
    public void A_source_whose_qemu_died_ends_as_lost_when_the_target_could_not_start_it_either() => World.Run(seed: 5, async world =>
    {
        await BeginAsync(world, target: "incoming.after-intent=delay:1500");
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        await world.SleepAsync(0.3);
        world.Copy("web", on: "host1")!.Process.Exit(ProcessEnd.Injected);
        world.Copy("web", on: "host2")!.Process.Exit(ProcessEnd.Injected);

        var ended = await world.EndOfAsync(move);
        Assert.Equal(MoveEnd.NeedsOperator, ended.End);
        Assert.DoesNotContain("bug", ended.Reason, StringComparison.Ordinal);
        Assert.Equal(VmState.Crashed, (await world.VmAsync("web")).State);
    });

    [Fact]
    public void A_target_agent_that_stands_still_between_the_last_byte_and_the_token_does_not_keep_the_guest_paused()
    {
        World? there = null;
        World.Run(seed: 6, async world =>
        {
            await BeginAsync(world);
            there = world;
            var move = await world.MigrateAsync("web", to: "host2");
            await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
            await world.SleepAsync(5);
            Assert.True(world.Runs("web", on: "host1"));
            world.Agents["host2"].Process!.Context.Continue();

            Assert.Equal(MoveEnd.RolledBack, (await world.EndOfAsync(move)).End);
            Assert.True(world.Runs("web", on: "host1"));
        }, new WorldKnobs { LinkBytesPerSecond = 1_000_000, LinkDelay = TimeSpan.FromMilliseconds(20) }, happened =>
        {
            // QEMU wrote its last byte; some of them still wait in the source's agent for their turn on the link.
            if (happened.Contains("outgoing migration completed", StringComparison.Ordinal))
                there?.Agents["host2"].Process!.Context.Stall();
        });
    }

    [Fact]
    public void An_agent_that_restarts_late_in_a_long_move_is_waited_for() => World.Run(seed: 7, async world =>
    {
        await BeginAsync(world);
        var move = await world.MigrateAsync("web", to: "host2");
        await world.SleepAsync(360); // Longer than a silent host would be waited for.
        Assert.Null((await world.FindAsync(move)).End);
        world.Agents["host1"].Kill();

        Assert.Equal(MoveEnd.RolledBack, (await world.EndOfAsync(move)).End);
        Assert.True(world.Runs("web", on: "host1"));
    }, new WorldKnobs { LinkBytesPerSecond = 10_000 });

    [Fact]
    public void Silence_of_the_source_qemu_is_never_taken_for_a_stream_not_sent()
    {
        SimProcess? source = null;
        World.Run(seed: 8, async world =>
        {
            await BeginAsync(world, source: "outgoing.after-token=hang");
            var move = await world.MigrateAsync("web", to: "host2");
            await world.Loop.Until(() => world.Runs("web", on: "host2"));
            world.Agents["host1"].FailPoints = null;
            world.Agents["host1"].Kill();
            source = world.Copy("web", on: "host1")!.Process; // Stalled below, once the new agent is connected to it.
            await world.SleepAsync(60);
            source.Context.Continue();

            Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move)).End);
            Assert.True(world.Runs("web", on: "host2"));
        }, onEvent: happened =>
        {
            if (happened.Contains("found its QEMU again", StringComparison.Ordinal)) source?.Context.Stall();
        });
    }

    [Fact]
    public void A_target_qemu_that_runs_and_does_not_answer_outlives_its_agents_restart() => World.Run(seed: 9, async world =>
    {
        await BeginAsync(world);
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        world.Agents["host1"].FailPoints = "incoming.before-settling=hang";
        await RestartAsync(world, "host1", keepFailPoints: true);
        var back = await world.MigrateAsync("web", to: "host1");
        await world.Loop.Until(() => world.Runs("web", on: "host1"));
        world.Agents["host1"].FailPoints = null;
        world.Agents["host1"].Kill();
        var target = world.Copy("web", on: "host1")!;
        target.Process.Context.Stall();
        await world.SleepAsync(60);
        target.Process.Context.Continue();

        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(back)).End);
        Assert.True(world.Runs("web", on: "host1"));
    });

    private static async Task BeginAsync(World world, string? source = null, string? target = null)
    {
        await world.CreateVmAsync("web", on: "host1");
        (world.Agents["host1"].FailPoints, world.Agents["host2"].FailPoints) = (source, target);
        if (source is not null) await RestartAsync(world, "host1", keepFailPoints: true);
        if (target is not null) await RestartAsync(world, "host2", keepFailPoints: true);
    }

    private static async Task RestartAsync(World world, string host, bool keepFailPoints = false)
    {
        var agent = world.Agents[host];
        if (!keepFailPoints) agent.FailPoints = null;
        agent.Kill();
        await world.Loop.Until(() => agent.Serving is not null);
    }
}
