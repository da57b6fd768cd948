using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// A guest that runs at its target before its memory is there (post-copy, with both agents in between). Whatever dies or is cut
/// meanwhile, but a host: all of it comes, once, as it was. R1 to R7 after every step.
/// </summary>
public sealed class LazyMoveScenarios
{
    [Theory, InlineData(1001UL), InlineData(1002UL), InlineData(1003UL)]
    public void The_guest_runs_at_once_and_all_of_its_memory_follows(ulong seed) => World.Run(seed, async world =>
    {
        var move = await ArrivingAsync(world);
        Assert.True(world.Runs("web", on: "host2"));
        Assert.NotNull(world.Copy("web", on: "host1")); // Its memory is still needed.
        var ended = await world.EndOfAsync(move);
        Assert.Equal((MoveEnd.Done, null), (ended.End, ended.Reason));
        Assert.False(Arrives(world));
        Assert.Null(world.Copy("web", on: "host1"));
        Assert.InRange(ended.Receipt!.PauseMs!.Value, 1, 150);
        Assert.Equal(1, world.Ledger.LifeOf("web"));
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host1"));
        Assert.True(world.Runs("web", on: "host1"));
    });

    [Theory]
    [InlineData(1011UL, "host1", 0), InlineData(1012UL, "host1", 2), InlineData(1013UL, "host1", 30)]
    [InlineData(1021UL, "host2", 0), InlineData(1022UL, "host2", 2), InlineData(1023UL, "host2", 30), InlineData(1024UL, "host2", 5)]
    public void An_agent_that_dies_meanwhile_only_delays_the_rest(ulong seed, string host, int seconds) => World.Run(seed, async world =>
    {
        var move = await ArrivingAsync(world);
        world.Agents[host].Kill();
        await world.SleepAsync(seconds);
        world.Agents[host].Start();
        await DemandWholeAsync(world, move);
    });

    [Theory, InlineData(1031UL, 5), InlineData(1032UL, 60), InlineData(1033UL, 900)]
    public void A_link_that_is_cut_only_delays_the_rest(ulong seed, int seconds) => World.Run(seed, async world =>
    {
        var move = await ArrivingAsync(world);
        world.Net.Cut("host1", "host2");
        await world.SleepAsync(seconds);
        Assert.True(Arrives(world));
        world.Net.Heal("host1", "host2");
        await DemandWholeAsync(world, move);
    });

    /// <summary>What did not come would read as zeros after an agent's death: no guest gets so far.</summary>
    [Theory, InlineData(1034UL, MoveMode.Lazy), InlineData(1035UL, MoveMode.Hybrid)]
    public void A_host_whose_memory_does_not_come_page_by_page_refuses(ulong seed, MoveMode mode) => World.Run(seed, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Agents["host2"].Host.Disk.BringsOtherPages = "they are huge";
        var move = await world.Server.AskAsync(c => c.Wishes.BeginAsync("web", new MigrateRequest("host2", mode), null, null));
        var ended = await world.EndOfAsync(move.Id);
        Assert.Equal((MoveEnd.RolledBack, "lazy-memory-not-allowed"), (ended.End, Assert.Single(ended.Refusals).Code));
        Assert.True(world.Runs("web", on: "host1"));
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host2")); // Live it needs no holes.
        Assert.True(world.Runs("web", on: "host2"));
    });

    [Fact]
    public void A_source_qemu_that_dies_meanwhile_leaves_its_memory() => World.Run(seed: 1041, async world =>
    {
        var move = await ArrivingAsync(world);
        world.Copy("web", on: "host1")!.Process.Exit(Simulator.Machines.ProcessEnd.Injected);
        await DemandWholeAsync(world, move);
    });

    [Theory, InlineData(1042UL, 0), InlineData(1043UL, 10)]
    public void A_source_agent_and_its_qemu_that_die_together_leave_its_memory(ulong seed, int seconds) => World.Run(seed, async world =>
    {
        var move = await ArrivingAsync(world);
        world.Agents["host1"].Kill();
        world.Copy("web", on: "host1")!.Process.Exit(Simulator.Machines.ProcessEnd.Injected);
        await world.SleepAsync(seconds);
        world.Agents["host1"].Start();
        await DemandWholeAsync(world, move);
    });

    [Fact]
    public void A_source_host_that_loses_its_power_takes_the_guest_along_and_it_is_told_so() => World.Run(seed: 1051, async world =>
    {
        var move = await ArrivingAsync(world);
        world.Agents["host1"].Host.PowerOff();
        await world.SleepAsync(20);
        world.Agents["host1"].Host.PowerOn();
        world.Agents["host1"].Start();
        var ended = await world.EndOfAsync(move);
        Assert.Equal(MoveEnd.Done, ended.End);
        await world.SleepAsync(20);
        world.LetGo("web");
        Assert.Equal(VmState.Crashed, (await world.VmAsync("web")).State);
        Assert.DoesNotContain(world.Ledger.Alive, q => q.Options.Name == "web");
    });

    [Fact]
    public void It_is_not_moved_on_before_all_is_there_and_a_person_may_end_it() => World.Run(seed: 1061, async world =>
    {
        var move = await ArrivingAsync(world);
        world.Net.Cut("host1", "host2");
        await world.SleepAsync(1);
        var vm = await world.VmAsync("web");
        var facts = await world.Server.AskAsync(c => c.Agents.Of(new HostId("host2")).CheckSourceAsync(vm.Spec.Id, CancellationToken.None));
        Assert.Contains("is still where its move", Assert.Single(facts.Blockers), StringComparison.Ordinal);
        await world.Server.AskAsync(c => c.Migrations.CancelAsync(move)); // Nobody waits for it any more, and the VM is not busy.
        var ended = await world.EndOfAsync(move);
        Assert.Equal(MoveEnd.Done, ended.End);
        Assert.Contains(ended.Warnings, w => w.Contains("still follows", StringComparison.Ordinal));
        world.LetGo("web");
        Assert.Null((await world.Server.AskAsync(c => c.Vms.DoAsync(
            OperationKind.Stop, "web", o => o with { Force = true }, null, CancellationToken.None))).Problem);
        Assert.Null(world.Copy("web", on: "host2"));
        world.Net.Heal("host1", "host2");
        await world.SleepAsync(60);
        Assert.DoesNotContain(world.Ledger.Alive, q => q.Options.Name == "web");
    });

    /// <summary>Its host dies, and the one it came from, which still keeps memory for it, is to start it anew.</summary>
    [Fact]
    public void A_vm_whose_new_host_died_before_all_was_there_starts_where_it_came_from() => World.Run(seed: 1063, async world =>
    {
        var move = await ArrivingAsync(world);
        await world.SleepAsync(1);
        await world.Server.AskAsync(c => c.Migrations.CancelAsync(move));
        await world.EndOfAsync(move);
        Assert.True(Arrives(world));
        world.Agents["host2"].Host.PowerOff();
        await world.SleepAsync(120);
        await world.Server.AskAsync(c => c.Fencing.RecoverAsync(
            new HostId("host2"), fenced: true, confirm: "host2", by: "anna", CancellationToken.None));
        await world.SleepAsync(120);
        Assert.True(world.Runs("web", on: "host1"));
        Assert.Equal(2, world.Ledger.LifeOf("web"));
    }, new WorldKnobs { Hosts = 2, Ha = true });

    [Fact]
    public void One_that_nobody_waits_for_any_more_gets_all_of_its_memory_all_the_same() => World.Run(seed: 1062, async world =>
    {
        var move = await ArrivingAsync(world);
        await world.UntilAsync(move, Phase.Verifying);
        await world.Server.AskAsync(c => c.Migrations.CancelAsync(move));
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move)).End);
        Assert.True(Arrives(world));
        await world.Loop.Until(() => !Arrives(world));
        await world.SleepAsync(5);
        Assert.Null(world.Copy("web", on: "host1"));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host1"));
        Assert.True(world.Runs("web", on: "host1"));
    });

    /// <summary>4 MB/s of changes over a link of 2 MB/s: it never fits, and stays at home unless it may go lazily.</summary>
    [Theory, InlineData(1071UL, true), InlineData(1072UL, false)]
    public void A_live_move_that_would_stay_at_home_goes_lazily_if_it_may(ulong seed, bool allowed) => World.Run(seed, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", new GuestLoad(UsedPages: 2048, WorkingPages: 1500, DirtyBytesPerSecond: 4_000_000));
        await world.SleepAsync(5);
        var ended = await world.EndOfAsync(await world.MigrateAsync("web", "host2",
            wish: new MigrateRequest(MaxPauseMs: 100) { MayLazy = allowed }));
        if (!allowed)
        {
            Assert.Equal((MoveEnd.RolledBack, MoveMode.Live), (ended.End, ended.Mode));
            return;
        }
        Assert.Equal((MoveEnd.Done, MoveMode.Lazy, MoveMode.Live), (ended.End, ended.Mode, ended.BeganAs));
        Assert.StartsWith("live: would have paused", Assert.Single(ended.Warnings), StringComparison.Ordinal);
        Assert.InRange(ended.Receipt!.PauseMs!.Value, 1, 300);
        Assert.True(world.Runs("web", on: "host2"));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
    }, new WorldKnobs { LinkBytesPerSecond = 2_000_000 });

    /// <summary>The server dies just as it turns the move into a lazy one, and at any moment around it.</summary>
    [Theory, InlineData(1081UL), InlineData(1082UL), InlineData(1083UL), InlineData(1084UL)]
    public void A_server_that_dies_meanwhile_goes_on_with_the_lazy_one(ulong seed) => World.Run(seed, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", new GuestLoad(UsedPages: 2048, WorkingPages: 1500, DirtyBytesPerSecond: 4_000_000));
        await world.SleepAsync(5);
        var move = await world.MigrateAsync("web", "host2", wish: new MigrateRequest(MaxPauseMs: 100) { MayLazy = true });
        await world.UntilAsync(move, seed % 2 == 0 ? Phase.Memory : Phase.Checking);
        for (var time = 0; time < 12; time++)
        {
            await world.SleepAsync(0.05 + (seed % 7 * 0.11));
            world.Server.Kill();
            await world.Server.StartAsync();
            await world.Loop.Until(() => world.Server.Serving is not null);
        }
        Assert.Equal((MoveEnd.Done, MoveMode.Lazy), ((await world.EndOfAsync(move)) is var ended ? (ended.End, ended.Mode) : default));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
    }, new WorldKnobs { LinkBytesPerSecond = 2_000_000 });

    /// <summary>The same guest, hybrid: a pass brings all of it, and only what it has written since follows it.</summary>
    [Theory, InlineData(1091UL), InlineData(1092UL), InlineData(1093UL)]
    public void A_hybrid_move_goes_live_for_a_pass_and_only_what_has_changed_follows(ulong seed) => World.Run(seed, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", new GuestLoad(UsedPages: 2048, WorkingPages: 300, DirtyBytesPerSecond: 4_000_000));
        await world.SleepAsync(5);
        var ended = await world.EndOfAsync(await world.MigrateAsync("web", "host2", MoveMode.Hybrid,
            new MigrateRequest(Mode: MoveMode.Hybrid, MaxPauseMs: 100)));
        Assert.Equal((MoveEnd.Done, MoveMode.Lazy, MoveMode.Hybrid), (ended.End, ended.Mode, ended.BeganAs));
        Assert.Contains("after pass 1 does not fit", Assert.Single(ended.Warnings), StringComparison.Ordinal);
        Assert.InRange(ended.Receipt!.PauseMs!.Value, 1, 300);
        Assert.InRange(ended.BytesBefore, 1900 * 4096, 3000 * 4096); // As of its last report.
        // What has changed, and what was on the way; lazily alone it is all of 2048.
        Assert.InRange(ended.Receipt.WireBytes - ended.BytesBefore, 250 * 4096, 700 * 4096);
        Assert.True(world.Runs("web", on: "host2"));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
    }, new WorldKnobs { LinkBytesPerSecond = 2_000_000 });

    [Fact]
    public void A_hybrid_move_of_a_guest_that_fits_is_a_live_one() => World.Run(seed: 1094, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var ended = await world.EndOfAsync(await world.MigrateAsync("web", "host2", MoveMode.Hybrid,
            new MigrateRequest(Mode: MoveMode.Hybrid)));
        Assert.Equal((MoveEnd.Done, MoveMode.Hybrid, null), (ended.End, ended.Mode, ended.BeganAs));
        Assert.InRange(ended.Receipt!.PauseMs!.Value, 1, 300);
        Assert.True(world.Runs("web", on: "host2"));
    });

    /// <summary>What had come is nobody's state: with the agent that held it, it is gone, and all of it crosses.</summary>
    [Theory, InlineData(1095UL), InlineData(1096UL), InlineData(1097UL)]
    public void A_target_agent_that_dies_with_what_a_pass_had_brought_only_costs_bytes(ulong seed) => World.Run(seed, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", new GuestLoad(UsedPages: 2048, WorkingPages: 300, DirtyBytesPerSecond: 4_000_000));
        await world.SleepAsync(5);
        var move = await world.MigrateAsync("web", "host2", MoveMode.Hybrid, new MigrateRequest(Mode: MoveMode.Hybrid, MaxPauseMs: 100));
        await world.Loop.Until(() => Arrives(world) && world.Runs("web", on: "host2"));
        world.Agents["host2"].Kill();
        await world.SleepAsync(1);
        world.Agents["host2"].Start();
        Assert.Equal((MoveEnd.Done, MoveMode.Lazy), ((await world.EndOfAsync(move)) is var ended ? (ended.End, ended.Mode) : default));
        Assert.True(world.Runs("web", on: "host2"));
        Assert.Null(world.Copy("web", on: "host1"));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
    }, new WorldKnobs { LinkBytesPerSecond = 2_000_000 });

    private static async Task<MoveId> ArrivingAsync(World world)
    {
        await world.CreateVmAsync("web", on: "host1", new GuestLoad(UsedPages: 4000, WorkingPages: 3000));
        await world.SleepAsync(5);
        var move = await world.Server.AskAsync(c => c.Wishes.BeginAsync(
            "web", new MigrateRequest("host2", MoveMode.Lazy, BandwidthBytesPerSecond: 4 << 20), null, null));
        world.Promise(move.Id);
        await world.Loop.Until(() => Arrives(world) && world.Runs("web", on: "host2"));
        return move.Id;
    }

    private static async Task DemandWholeAsync(World world, MoveId move)
    {
        await world.Loop.Until(() => !Arrives(world));
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move)).End);
        await world.SleepAsync(20);
        Assert.Equal(1, world.Ledger.LifeOf("web"));
        Assert.True(world.Runs("web", on: "host2"));
        Assert.Null(world.Copy("web", on: "host1"));
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host1"));
        Assert.True(world.Runs("web", on: "host1"));
    }

    private static bool Arrives(World world) => world.Copy("web", on: "host2") is { Ram.Arriving: not null };
}
