using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// A lazy move's guest runs at its target, and the host that still has part of its memory is proved to be off: the guest has crashed, and
/// is brought back like those that ran on that host, once. R1 to R7 after every step.
/// </summary>
public sealed class LazyLossScenarios
{
    private static readonly WorldKnobs Three = new() { Hosts = 3, Ha = true };

    [Fact]
    public void A_source_that_is_fenced_takes_the_guest_along_and_ha_starts_it_again_once() => World.Run(seed: 1101, async world =>
    {
        var move = await ArrivingAsync(world);
        var before = await world.VmAsync("web");
        Lose(world, "host1");
        var ended = await world.EndOfAsync(move);
        Assert.Equal(MoveEnd.Done, ended.End);
        Assert.Contains(ended.Warnings, w => w.Contains("was on host1, which is off", StringComparison.Ordinal)
            && w.Contains("recovery of host1 starts it again", StringComparison.Ordinal));
        await DemandStartedOnceAsync(world, on: "host2");
        Assert.True((await world.VmAsync("web")).Epoch > before.Epoch);
        Assert.Equal(RecoveryEnd.Done, (await NewestAsync(world, "host1"))!.End);
    }, Three);

    [Fact]
    public void Without_ha_it_stays_crashed_and_the_move_says_why() => World.Run(seed: 1102, async world =>
    {
        var move = await ArrivingAsync(world, ha: false);
        Lose(world, "host1");
        await FenceAsync(world, "host1");
        var ended = await world.EndOfAsync(move);
        Assert.Contains(ended.Warnings, w => w.Contains("was on host1, which is off", StringComparison.Ordinal)
            && w.Contains("has no HA and stays so", StringComparison.Ordinal));
        await DemandCrashedAsync(world);
        var report = (await world.Server.AskAsync(c => c.Agents.Of(new HostId("host2")).ListVmsAsync(CancellationToken.None))).Single();
        Assert.Equal((VmState.Crashed, "part of its memory was on host1, which is off"), (report.State, report.Note));

        await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Start, "web", o => o, null, CancellationToken.None));
        await DemandStartedOnceAsync(world, on: "host2");
    }, Three);

    /// <summary>As every VM of a host that a person recovers, and that ran.</summary>
    [Fact]
    public void Without_ha_a_persons_recovery_of_that_host_starts_it_again() => World.Run(seed: 1103, async world =>
    {
        var move = await ArrivingAsync(world, ha: false);
        Lose(world, "host1");
        await FenceAsync(world, "host1");
        await world.EndOfAsync(move);
        await DemandCrashedAsync(world);
        var recovery = await world.Server.AskAsync(c => c.Fencing.RecoverAsync(
            new HostId("host1"), fenced: false, confirm: null, by: "anna", CancellationToken.None));
        await world.Server.AskAsync(c => c.Recoveries.EndOfAsync(recovery.Id, CancellationToken.None));
        await DemandStartedOnceAsync(world, on: "host2");
    }, Three);

    /// <summary>A person only fences the host: HA finds what it is to bring back also where it had crashed before it looked.</summary>
    [Fact]
    public void Ha_starts_it_again_where_a_person_only_fenced_the_source() => World.Run(seed: 1104, async world =>
    {
        var move = await ArrivingAsync(world);
        Lose(world, "host1");
        await FenceAsync(world, "host1");
        await world.EndOfAsync(move);
        await DemandStartedOnceAsync(world, on: "host2");
        Assert.True((await NewestAsync(world, "host1"))!.IsAutomatic);
    }, Three);

    /// <summary>The server dies after the so manieth commit from the proof on, each time anew.</summary>
    [Theory]
    [InlineData(1), InlineData(2), InlineData(3), InlineData(4), InlineData(5), InlineData(6), InlineData(8), InlineData(12)]
    public void A_server_that_dies_after_the_so_manieth_commit_of_it_does_the_same(int commits) =>
        World.Run(1110 + (ulong)commits, async world =>
        {
            await ArrivingAsync(world);
            Lose(world, "host1");
            await DieAfterCommitsAsync(world, commits);
            await DemandStartedOnceAsync(world, on: "host2");
        }, Three);

    [Theory]
    [InlineData(1131UL, 0.1), InlineData(1132UL, 0.6), InlineData(1133UL, 1.5), InlineData(1134UL, 4), InlineData(1135UL, 8)]
    public void A_server_that_dies_at_any_moment_of_it_does_the_same(ulong seed, double after) => World.Run(seed, async world =>
    {
        await ArrivingAsync(world, ha: seed % 2 == 1);
        Lose(world, "host1");
        if (seed % 2 == 0) await FenceAsync(world, "host1");
        await UntilAsync(world, () => world.Fence.Runs == 1);
        await world.SleepAsync(after);
        world.Server.Kill();
        await world.SleepAsync(3);
        await world.Server.StartAsync();
        if (seed % 2 == 1) await DemandStartedOnceAsync(world, on: "host2");
        else await DemandCrashedAsync(world);
    }, Three);

    [Theory, InlineData(1141UL, true), InlineData(1142UL, false)]
    public void One_that_nobody_waits_for_any_more_is_ended_and_brought_back_all_the_same(ulong seed, bool ha) =>
        World.Run(seed, async world =>
        {
            await ArrivingAsync(world, ha, cancelled: true);
            Lose(world, "host1");
            if (!ha) await FenceAsync(world, "host1");
            if (ha) await DemandStartedOnceAsync(world, on: "host2");
            else await DemandCrashedAsync(world);
            await EventAsync(world, "vm-memory-lost");
        }, Three);

    [Theory, InlineData(1151UL, 1), InlineData(1152UL, 2), InlineData(1153UL, 3), InlineData(1154UL, 5)]
    public void The_same_with_a_server_that_dies_meanwhile(ulong seed, int commits) => World.Run(seed, async world =>
    {
        await ArrivingAsync(world, cancelled: true);
        Lose(world, "host1");
        await DieAfterCommitsAsync(world, commits);
        await DemandStartedOnceAsync(world, on: "host2");
    }, Three);

    [Theory, InlineData(1161UL, true), InlineData(1162UL, false)]
    public void One_that_a_person_stopped_meanwhile_stays_stopped(ulong seed, bool first) => World.Run(seed, async world =>
    {
        await ArrivingAsync(world, ha: first, cancelled: true);
        world.Net.Cut("host1", "host2");
        Lose(world, "host1");
        if (first) await StopAsync(world);
        await FenceAsync(world, "host1");
        if (!first) await DemandCrashedAsync(world);
        if (!first) await StopAsync(world); // It has crashed, and is not to be started because of that.
        await world.Server.AskAsync(async c =>
        {
            await c.Fencing.SetHaAsync((await c.Vms.FindAsync("web")).Spec.Id, true);
            return true;
        });
        await world.SleepAsync(150);
        Assert.Equal(VmState.Stopped, (await world.VmAsync("web")).State);
        Assert.DoesNotContain(world.Ledger.Alive, q => q.Options.Name == "web");
        Assert.Equal(1, world.Ledger.LifeOf("web"));
    }, Three);

    /// <summary>It owned the guest, which starts elsewhere: nobody will ever ask for the memory that the source keeps.</summary>
    [Fact]
    public void A_fenced_target_has_the_source_let_go_of_the_memory_that_nobody_waits_for() => World.Run(seed: 1171, async world =>
    {
        await ArrivingAsync(world, ha: false, cancelled: true);
        world.Agents["host2"].Host.PowerOff();
        world.LetGo("web");
        await FenceAsync(world, "host2");
        await world.SleepAsync(30);
        Assert.Null(world.Copy("web", on: "host1"));
    }, Three);

    private static void Lose(World world, string host)
    {
        world.Agents[host].Host.PowerOff();
        world.LetGo("web"); // Its guest needs that host, as by a power cut of its own.
    }

    private static async Task<MoveId> ArrivingAsync(World world, bool ha = true, bool cancelled = false)
    {
        await world.CreateVmAsync("web", on: "host1", new GuestLoad(UsedPages: 4000, WorkingPages: 3000));
        await world.Server.AskAsync(async c =>
        {
            await c.Fencing.SetHaAsync((await c.Vms.FindAsync("web")).Spec.Id, ha);
            return true;
        });
        await world.SleepAsync(5);
        var move = await world.Server.AskAsync(c => c.Wishes.BeginAsync(
            "web", new MigrateRequest("host2", MoveMode.Lazy, BandwidthBytesPerSecond: 1 << 20), null, null));
        world.Promise(move.Id);
        await world.Loop.Until(() => Arrives(world) && world.Runs("web", on: "host2"));
        await world.UntilAsync(move.Id, Phase.Verifying);
        if (!cancelled) return move.Id;
        await world.Server.AskAsync(c => c.Migrations.CancelAsync(move.Id));
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move.Id)).End);
        Assert.True(Arrives(world));
        return move.Id;
    }

    /// <summary>From the run of the hook on, the server dies after each of so many commits.</summary>
    private static async Task DieAfterCommitsAsync(World world, int commits)
    {
        await UntilAsync(world, () => world.Fence.Runs == 1);
        for (var commit = 0; commit < commits && world.Server.Serving is not null; commit++)
        {
            world.Server.KillAfterCommit();
            await Joining.AnyAsync(world.Server.Process!.Exited, world.SleepAsync(60));
            await world.Server.StartAsync();
        }
    }

    private static async Task FenceAsync(World world, string host)
    {
        while ((await world.Server.AskAsync(c => c.Stores.Hosts.FindAsync(new HostId(host))))!.Answers) await world.SleepAsync(1);
        await world.Server.AskAsync(c => c.Fencing.FenceAsync(new HostId(host), "anna", CancellationToken.None));
    }

    private static async Task StopAsync(World world) => Assert.Null((await world.Server.AskAsync(c => c.Vms.DoAsync(
        OperationKind.Stop, "web", o => o with { Force = true }, null, CancellationToken.None))).Problem);

    private static async Task DemandStartedOnceAsync(World world, string on)
    {
        await UntilAsync(world, () => !Arrives(world) && world.Runs("web", on) && world.Ledger.LifeOf("web") == 2);
        await world.SleepAsync(150);
        var vm = await world.VmAsync("web");
        Assert.Equal((VmState.Running, new HostId(on)), (vm.State, vm.Owner));
        Assert.True(world.Runs("web", on));
        Assert.Equal(2, world.Ledger.LifeOf("web"));
    }

    private static async Task DemandCrashedAsync(World world)
    {
        await UntilAsync(world, () => !Arrives(world));
        await world.SleepAsync(150);
        Assert.Equal((VmState.Crashed, new HostId("host2")), ((await world.VmAsync("web")).State, (await world.VmAsync("web")).Owner));
        Assert.DoesNotContain(world.Ledger.Alive, q => q.Options.Name == "web");
    }

    /// <summary>What does not come within half an hour does not come.</summary>
    private static async Task UntilAsync(World world, Func<bool> reached)
    {
        for (var limit = world.Loop.Now + TimeSpan.FromMinutes(30); !reached(); await world.SleepAsync(0.1))
            if (world.Loop.Now > limit) throw new InvalidOperationException("it did not come to that within half an hour");
    }

    private static async Task EventAsync(World world, string kind) => Assert.Contains(
        await world.Server.AskAsync(c => c.Stores.Events.AfterAsync(0, 1000)), e => e.Kind == kind);

    private static Task<HostRecovery?> NewestAsync(World world, string host) =>
        world.Server.AskAsync(c => c.Stores.Fences.NewestAsync(new HostId(host)));

    private static bool Arrives(World world) => world.Copy("web", on: "host2") is { Ram.Arriving: not null };
}
