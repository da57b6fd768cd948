using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>The token left, the target's host went silent: nobody guesses, until it answers or a person says it is off.</summary>
public sealed class RepairScenarios
{
    [Fact]
    public void A_move_in_doubt_is_settled_by_itself_when_the_silent_host_is_back() => World.Run(seed: 21, async world =>
    {
        var move = await DoubtAsync(world);
        world.Agents["host2"].Host.PowerOn();
        world.Agents["host2"].Start();
        await world.Loop.Until(() => world.Runs("web", on: "host1"));

        Assert.Equal(MoveEnd.RolledBack, (await world.EndOfAsync(move)).End);
        await world.SleepAsync(30);
        Assert.Equal((new HostId("host1"), VmState.Running), await WhereAsync(world));
    });

    [Fact]
    public void A_repair_that_hears_nothing_new_ends_in_doubt_again_and_the_vm_stays_locked() => World.Run(seed: 22, async world =>
    {
        var move = await DoubtAsync(world);
        await RepairAsync(world, move, fenced: null);

        Assert.Equal(MoveEnd.NeedsOperator, (await world.EndOfAsync(move)).End);
        Assert.False(world.Runs("web", on: "host1"));
        Assert.Equal(VmState.Unknown, (await world.VmAsync("web")).State);
        await Assert.ThrowsAsync<RefusedException>(() => world.MigrateAsync("web", to: "host2"));
    });

    /// <summary>The target may have run for a moment and written to the disk: the memory at the source is not taken up again.</summary>
    [Fact]
    public void With_the_target_fenced_the_vm_is_as_after_a_power_cut_and_can_be_started() => World.Run(seed: 23, async world =>
    {
        var move = await DoubtAsync(world);
        await RepairAsync(world, move, fenced: "host2");

        Assert.Equal(MoveEnd.NeedsOperator, (await world.EndOfAsync(move)).End);
        Assert.Equal((new HostId("host1"), VmState.Crashed), await WhereAsync(world));
        world.LetGo("web");
        await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Start, "web", o => o, null, CancellationToken.None));
        await world.Loop.Until(() => world.Runs("web", on: "host1"));
        Assert.Equal("vm-settled", await RefusalOfRepairAsync(world, move, fenced: null));
    });

    [Fact]
    public void Fencing_is_refused_for_a_host_that_answers_and_for_one_that_had_no_part() => World.Run(seed: 24, async world =>
    {
        var move = await DoubtAsync(world);
        Assert.Equal("host-answers", await RefusalOfRepairAsync(world, move, fenced: "host1"));
        Assert.Equal("host-not-in-move", await RefusalOfRepairAsync(world, move, fenced: "host9"));
    });

    [Fact]
    public void A_move_that_ended_well_has_nothing_to_repair() => World.Run(seed: 25, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var move = await world.MigrateAsync("web", to: "host2");
        await world.EndOfAsync(move);
        Assert.Equal("move-not-in-doubt", await RefusalOfRepairAsync(world, move, fenced: null));
        Assert.Equal("migration-not-found", await RefusalOfRepairAsync(world, new MoveId("mv-000000000000"), fenced: null));
    });

    [Fact]
    public void A_source_that_was_silent_when_its_move_was_done_buries_its_copy_when_it_is_back() => World.Run(seed: 26, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var source = world.Agents["host1"];
        source.FailPoints = "outgoing.after-token=hang";
        source.Kill();
        await world.Loop.Until(() => source.Serving is not null);
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Runs("web", on: "host2"));
        world.Net.Cut("host1", "server");
        world.Net.Cut("host1", "host2");
        source.FailPoints = null;
        source.Kill(); // The next agent finds its token gone and no answer.

        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move)).End);
        Assert.NotNull(world.Copy("web", on: "host1"));
        world.Net.HealAll();
        await world.SleepAsync(60);
        Assert.Null(world.Copy("web", on: "host1"));
        Assert.True(world.Runs("web", on: "host2"));
    });

    private static async Task<MoveId> DoubtAsync(World world)
    {
        await world.CreateVmAsync("web", on: "host1");
        var target = world.Agents["host2"];
        target.FailPoints = "incoming.before-intent=hang";
        target.Kill();
        await world.Loop.Until(() => target.Serving is not null);
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        await world.SleepAsync(0.5);
        target.FailPoints = null;
        target.Host.PowerOff();

        Assert.Equal(MoveEnd.NeedsOperator, (await world.EndOfAsync(move)).End);
        await world.SleepAsync(30); // The source's reports change nothing: it does not know either.
        Assert.Equal(VmState.Unknown, (await world.VmAsync("web")).State);
        return move;
    }

    private static Task<Migration> RepairAsync(World world, MoveId move, string? fenced) =>
        world.Server.AskAsync(c => c.Migrations.RepairAsync(move, fenced is null ? null : new HostId(fenced)));

    private static async Task<string> RefusalOfRepairAsync(World world, MoveId move, string? fenced) =>
        (await Assert.ThrowsAsync<RefusedException>(() => RepairAsync(world, move, fenced))).Reasons[0].Code;

    private static async Task<(HostId Owner, VmState State)> WhereAsync(World world)
    {
        var vm = await world.VmAsync("web");
        return (vm.Owner, vm.State);
    }
}
