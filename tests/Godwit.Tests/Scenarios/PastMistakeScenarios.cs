using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Machines;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Mistakes that were made once and found late, each told again: undo its mending and the scenario fails.</summary>
public sealed class PastMistakeScenarios
{
    /// <summary>
    /// Incarnations begin at 1 again where a host had forgotten the VM: the number in an old move's record is then that of
    /// the QEMU that runs. The restarted agent took it for the copy that was never buried, and ended the VM's only QEMU.
    /// </summary>
    [Fact]
    public void An_agent_that_restarts_does_not_bury_a_guest_that_came_back_under_an_old_moves_incarnation() => World.Run(seed: 61,
        async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await MovedAsync(world, to: "host2"); // host1 notes: incarnation 1 released.
        await MovedAsync(world, to: "host1");
        world.LetGo("web");
        await DoAsync(world, OperationKind.Stop, o => o with { Force = true });
        var (agent, vm) = (world.Agents["host1"], await world.VmAsync("web"));
        await agent.Process!.Context.CallAsync(() => agent.Serving!.ForgetVmAsync(vm.Spec.Id, vm.Epoch, default)); // host1 forgets the VM.
        await DoAsync(world, OperationKind.Start, o => o); // As incarnation 1 again.
        world.WantBack("web");
        Assert.EndsWith("ram-1", world.Copy("web", on: "host1")!.Options.MemoryPath, StringComparison.Ordinal);

        world.Agents["host1"].Kill();
        await world.Loop.Until(() => world.Agents["host1"].Serving is null);
        await world.Loop.Until(() => world.Agents["host1"].Serving is not null);
        await world.SleepAsync(10);
        Assert.True(world.Runs("web", on: "host1"));
        Assert.Equal(VmState.Running, (await world.VmAsync("web")).State);
    });

    /// <summary>
    /// Simulator, seed 50003586: the first step of a refresh failed on a full disk, and taking that back did, too; the VM was held by a
    /// move that was over, for ever.
    /// </summary>
    [Fact]
    public void A_refresh_that_cannot_begin_on_a_full_disk_lets_go_of_its_vm()
    {
        World? there = null;
        World.Run(seed: 104, async world =>
        {
            there = world;
            await world.CreateVmAsync("web", on: "host1");
            var move = await world.RefreshAsync("web");
            await world.Loop.Until(() => world.Agents["host1"].Host.Disk.IsFull);
            await world.SleepAsync(20);
            world.Agents["host1"].Host.Disk.IsFull = false;
            Assert.Equal(MoveEnd.RolledBack, (await world.EndOfAsync(move)).End);
            await MovedAsync(world, to: "host2");
        }, onEvent: happened =>
        {
            if (happened.Contains("host1", StringComparison.Ordinal)
                && happened.Contains("incoming migration setup", StringComparison.Ordinal))
                there!.Agents["host1"].Host.Disk.IsFull = true;
        });
    }

    /// <summary>A refresh kept the guest standing for up to 10 s before anybody acted; R5 says 2, and no server is needed.</summary>
    [Fact]
    public void A_refresh_whose_new_qemu_stands_still_gives_the_guest_back_after_two_seconds_without_a_server() => World.Run(seed: 62,
        async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var move = await world.RefreshAsync("web");
        await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.RunState == "inmigrate"));
        var old = world.Ledger.Alive.Single(q => q.RunState != "inmigrate");
        await world.Loop.Until(() => !old.IsRunning);
        var stoodStill = world.Loop.Now;
        world.Ledger.Alive.Single(q => q != old).Process.Stall();
        world.Server.Kill();

        await world.Loop.Until(() => old.IsRunning);
        Assert.InRange((world.Loop.Now - stoodStill).TotalSeconds, 1.9, 3);
        await world.SleepAsync(1);
        Assert.Single(world.Ledger.Alive);
        await world.Server.StartAsync();
        Assert.Equal(MoveEnd.RolledBack, (await world.EndOfAsync(move)).End);
    });

    /// <summary>
    /// Simulator, seed 22030: the new QEMU of a refresh could not load and ended, while the agent was dead. The next agent could
    /// not tell that from one that had run, and ended the old one, too.
    /// </summary>
    [Fact]
    public void A_new_qemu_that_was_never_told_to_run_and_is_gone_with_its_agent_leaves_the_guest_at_home() =>
        World.Run(seed: 63, world => RefreshedByTwoAgentsAsync(world, isTold: false, MoveEnd.RolledBack, VmState.Running));

    [Fact]
    public void A_new_qemu_that_was_told_to_run_and_is_gone_with_its_agent_may_have_run() =>
        World.Run(seed: 64, world => RefreshedByTwoAgentsAsync(world, isTold: true, MoveEnd.NeedsOperator, VmState.Crashed));

    /// <summary>Simulator, seed 40421: the move rested nowhere, because taking it back had failed where it was taken back.</summary>
    [Fact]
    public void A_source_qemu_that_dies_as_it_is_told_to_go_on_ends_the_move_too() => World.Run(seed: 65, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        world.Net.CutOneWay("host2", "host1"); // The last of the stream is never acknowledged: the pump is waited for in vain.
        await world.SleepAsync(0.01);
        world.Net.Heal("host2", "host1");
        await world.Loop.Until(() => world.Copy("web", on: "host1") is { IsRunning: true });
        world.Copy("web", on: "host1")!.Process.Exit(ProcessEnd.Injected);

        await world.SleepAsync(60);
        Assert.Equal(MoveEnd.NeedsOperator, (await world.FindAsync(move)).End);
        Assert.Equal(VmState.Crashed, (await world.VmAsync("web")).State);
    });

    /// <summary>
    /// Simulator, seed 200455: between the intent and <c>cont</c> the target's agent died, and then its QEMU, which could not load.
    /// The next agent took it for one that might have run, and the guest was ended at home.
    /// </summary>
    [Theory]
    [InlineData("incoming.after-intent", MoveEnd.RolledBack, VmState.Running)]
    [InlineData("incoming.after-cont", MoveEnd.NeedsOperator, VmState.Crashed)]
    public void A_target_qemu_that_is_gone_with_its_agent_ran_only_if_it_may_have_been_told_to(string at, MoveEnd end, VmState state) =>
        World.Run(seed: 67, async world =>
        {
            await world.CreateVmAsync("web", on: "host1");
            world.Agents["host2"].FailPoints = $"{at}=delay:1500";
            world.Agents["host2"].Kill();
            await world.Loop.Until(() => world.Agents["host2"].Serving is not null);
            var move = await world.MigrateAsync("web", to: "host2");
            await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
            await world.SleepAsync(0.5);
            Assert.Equal(state == VmState.Crashed, world.Runs("web", on: "host2"));
            if (state == VmState.Crashed) world.LetGo("web");
            var copy = world.Copy("web", on: "host2")!;
            world.Agents["host2"].Kill();
            copy.Process.Exit(ProcessEnd.Injected);

            var ended = await world.EndOfAsync(move);
            Assert.True(end == ended.End, $"{ended.End}: {ended.Reason}");
            Assert.Equal(state, (await world.VmAsync("web")).State);
            Assert.Equal(state == VmState.Running, world.Runs("web", on: "host1"));
        });

    /// <summary>
    /// Simulator, seed 200404: the pool was proved to be shared, or not, while its host could not write; nobody asked again once it could.
    /// </summary>
    [Fact]
    public void A_pool_that_could_not_be_written_when_it_was_proved_is_shared_again_once_it_can() => World.Run(seed: 68, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var host = world.Agents["host2"];
        host.Host.PowerOff();
        await world.SleepAsync(60); // Long enough to count as unreachable.
        host.Host.PowerOn();
        host.Start();
        await world.Loop.Until(() => host.Serving is not null);
        host.Host.Disk.IsReadOnly = true;
        await world.SleepAsync(30);
        host.Host.Disk.IsReadOnly = false;
        await world.SleepAsync(30);
        await MovedAsync(world, to: "host2");
    });

    /// <summary>
    /// Simulator, seed 201778: the answer of a restart was lost, so the record said "stopped"; a cold move made the target owner of a
    /// VM that ran at its source.
    /// </summary>
    [Fact]
    public void A_vm_that_runs_although_its_record_says_stopped_does_not_move_cold() => World.Run(seed: 69, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        var restart = world.Server.AskAsync(c => c.Vms.DoAsync(
            OperationKind.Restart, "web", o => o with { Force = true }, null, CancellationToken.None));
        await world.Loop.Until(() => world.Copy("web", on: "host1") is { IsRunning: true, State.Life: 2 });
        world.Net.Cut("server", "host1");
        Assert.NotNull((await restart).Problem);
        world.Net.Heal("server", "host1");
        world.WantBack("web");
        Assert.Equal(VmState.Stopped, (await world.VmAsync("web")).State);

        var move = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2", MoveMode.Cold));
        Assert.True(move.End == MoveEnd.RolledBack, $"{move.End}: {move.Reason}");
        await world.SleepAsync(30);
        Assert.Equal((VmState.Running, "host1"), ((await world.VmAsync("web")).State, (await world.VmAsync("web")).Owner.Value));
        await MovedAsync(world, to: "host2");
    });

    /// <summary>
    /// Simulator, seed 201023: the old QEMU of a refresh hung while the agent restarted; the new one was ended, and the old one, which
    /// lived, was written off.
    /// </summary>
    [Fact]
    public void An_old_qemu_that_hangs_while_its_agent_restarts_goes_on_when_it_answers() => World.Run(seed: 70, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var old = world.Copy("web", on: "host1")!;
        var move = await world.RefreshAsync("web");
        await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.RunState == "inmigrate"));
        await world.Loop.Until(() => !old.IsRunning);
        old.Process.Stall();
        world.Agents["host1"].Kill();
        await world.SleepAsync(40); // A monitor is waited for for 15 s.
        old.Process.Continue();

        var ended = await world.EndOfAsync(move);
        Assert.True(ended.End == MoveEnd.RolledBack, $"{ended.End}: {ended.Reason}");
        await world.SleepAsync(60);
        Assert.True(old.IsRunning);
        Assert.Equal(VmState.Running, (await world.VmAsync("web")).State);
    });

    /// <summary>
    /// Simulator, seed 704427: two writes of the target's journal failed and were on the disk all the same; its VM was held by that
    /// move until the agent's next restart.
    /// </summary>
    [Fact]
    public void A_target_whose_journal_fails_twice_lets_go_of_the_vm()
    {
        for (ulong seed = 71; seed < 83; seed++) // Whether what failed is on the disk is chance.
            World.Run(seed, async world =>
            {
                await world.CreateVmAsync("web", on: "host1");
                await MovedAsync(world, to: "host2");
                await MovedAsync(world, to: "host1");
                world.Agents["host2"].Host.Disk.FailingWrites = 2;
                await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
                world.Agents["host2"].Host.Disk.FailingWrites = 0;
                await MovedAsync(world, to: "host2");
            });
    }

    /// <summary>
    /// Simulator, seed 602223: a guest powered off while its host's disk failed, so its end was not written down; it was saved in
    /// that state, and no QEMU could go on from the file.
    /// </summary>
    [Fact]
    public void A_guest_that_powered_off_is_not_saved() => World.Run(seed: 83, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        world.Agents["host1"].Host.Disk.IsReadOnly = true;
        world.Copy("web", on: "host1")!.GuestPowersOff();
        await world.SleepAsync(1);
        world.Agents["host1"].Host.Disk.IsReadOnly = false;
        var saved = await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Save, "web", o => o, null, CancellationToken.None));
        Assert.Equal("vm-not-running", saved.Problem?.Code);

        await world.SleepAsync(30);
        Assert.Equal(VmState.Stopped, (await world.VmAsync("web")).State);
    });

    /// <summary>
    /// Simulator, seeds 1002137, 1002425, 1020307: an agent died between the loading of a saved state and its owner record; that QEMU
    /// was in the way of every later resume.
    /// </summary>
    [Fact]
    public void A_saved_state_that_was_loaded_when_the_agent_died_is_loaded_again() => World.Run(seed: 85, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web"); // Its memory goes into a file.
        await DoAsync(world, OperationKind.Save, o => o);
        var resume = world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, "web", o => o, null, CancellationToken.None));
        await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.RunState == "paused"));
        world.Agents["host1"].Kill();
        Assert.NotNull((await resume).Problem);
        world.Agents["host1"].Start();
        await world.SleepAsync(10);

        await DoAsync(world, OperationKind.Resume, o => o);
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
    });

    /// <summary>
    /// Simulator, seed 1241525: a server that began anew ordered a save again while the agent was still writing it; the second order
    /// failed and let the guest go on, the first ended well and ended it: what the guest had done between was lost.
    /// </summary>
    [Fact]
    public void A_save_that_is_ordered_again_while_it_is_written_loses_nothing() => World.Run(seed: 86, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web"); // Its memory goes into a file.
        world.Agents["host1"].Host.Disk.BeSlow(true);
        var saving = world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Save, "web", o => o, null, CancellationToken.None));
        await world.Loop.Until(() => world.Copy("web", on: "host1") is { IsRunning: false });
        world.Server.Kill();
        await Assert.ThrowsAsync<ServerGoneException>(() => saving);
        await world.Server.StartAsync();
        await world.RestAsync();
        world.Agents["host1"].Host.Disk.BeSlow(false);
        Assert.Equal(VmState.Saved, (await world.VmAsync("web")).State);

        await DoAsync(world, OperationKind.Resume, o => o);
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
    });

    /// <summary>Simulator, seed 1242562: a save ordered again after its answer was lost was refused: no QEMU was there any more.</summary>
    [Fact]
    public void A_save_that_is_ordered_again_after_it_was_done_is_done() => World.Run(seed: 87, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web"); // Its memory goes into a file.
        var vm = await world.VmAsync("web");
        await world.Server.AskAsync(c => c.Agents.Of(vm.Owner).SaveVmAsync(vm.Spec.Id, vm.Epoch, CancellationToken.None));
        var again = await world.Server.AskAsync(c => c.Agents.Of(vm.Owner).SaveVmAsync(vm.Spec.Id, vm.Epoch, CancellationToken.None));
        Assert.NotEmpty(again.Sha256);
        await world.SleepAsync(15);
        await DoAsync(world, OperationKind.Resume, o => o);
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
    });

    /// <summary>Simulator, seed 1241440: the disk failed as a guest's end during a move was tidied up; its tap stayed for ever.</summary>
    [Fact]
    public void What_is_left_of_a_guest_that_ended_during_a_move_goes_once_the_disk_works() => World.Run(seed: 88, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.RunState == "inmigrate" && q.Host.Name == "host2"));
        await world.SleepAsync(0.05);
        var copy = world.Copy("web", on: "host1")!;
        copy.GuestPowersOff();
        await world.Loop.Until(() => copy.Process.HasExited);
        world.Agents["host1"].Host.Disk.FailingWrites = 3;
        await world.EndOfAsync(move);
        await world.SleepAsync(60);
        Assert.Equal(VmState.Stopped, (await world.VmAsync("web")).State);
    });

    /// <summary>As seed 1300252, but the agent dies as well, between the guest's first instruction and the deletion of the file.</summary>
    [Fact]
    public void A_file_that_was_left_by_an_agent_that_died_as_the_guest_came_back_is_not_resumed() => World.Run(seed: 90, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        await DoAsync(world, OperationKind.Save, o => o);
        var resume = world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, "web", o => o, null, CancellationToken.None));
        await world.Loop.Until(() => world.Copy("web", on: "host1") is { IsRunning: true });
        world.Agents["host1"].Kill();
        world.Copy("web", on: "host1")!.GuestPowersOff();
        await resume;
        world.Agents["host1"].Start();
        await world.Loop.Until(() => world.Agents["host1"].Serving is not null);
        var again = await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, "web", o => o, null, CancellationToken.None));
        Assert.NotNull(again.Problem);
    });

    /// <summary>
    /// The record of a save could not be written, and was on the disk all the same: the guest went on, and the next agent ended it.
    /// </summary>
    [Fact]
    public void A_save_whose_record_fails_goes_forward()
    {
        for (ulong seed = 91; seed < 97; seed++) // Whether what failed is on the disk is chance.
            World.Run(seed, async world =>
            {
                await world.CreateVmAsync("web", on: "host1");
                world.LetGo("web");
                var saving = world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Save, "web", o => o, null, CancellationToken.None));
                await world.Loop.Until(() => world.Copy("web", on: "host1") is { HasSentAll: true });
                world.Agents["host1"].Host.Disk.FailingWrites = 2;
                await saving;
                world.Agents["host1"].Host.Disk.FailingWrites = 0;
                world.Agents["host1"].Kill();
                world.Agents["host1"].Start();
                await world.SleepAsync(20);
                var vm = await world.VmAsync("web");
                if (vm.State != VmState.Saved) return; // Its file could not be written: it goes on, as before.
                await DoAsync(world, OperationKind.Resume, o => o);
                world.WantBack("web");
                Assert.True(world.Runs("web", on: "host1"));
            });
    }

    /// <summary>
    /// Simulator, seed 1401484: the old QEMU of a refresh hung while the agent restarted and the new one was adopted; it stayed for ever.
    /// </summary>
    [Fact]
    public void An_old_qemu_that_hangs_as_the_new_one_is_adopted_goes() => World.Run(seed: 98, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var old = world.Copy("web", on: "host1")!;
        var move = await world.RefreshAsync("web");
        await world.Loop.Until(() => old.HasSentAll);
        world.Agents["host1"].Kill();
        old.Process.Stall();

        var ended = await world.EndOfAsync(move);
        Assert.True(ended.End == MoveEnd.Done, $"{ended.End}: {ended.Reason}");
        await world.SleepAsync(30);
        Assert.True(old.Process.HasExited);
        Assert.True(world.Ledger.Alive.Single().IsRunning);
    });

    /// <summary>
    /// Simulator, seed 1300252: a guest that came back from its file powered off at once; the file stayed, and was resumed a second time.
    /// </summary>
    [Fact]
    public void A_guest_that_powers_off_as_it_comes_back_does_not_come_back_twice() => World.Run(seed: 89, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        await DoAsync(world, OperationKind.Save, o => o);
        var resume = world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, "web", o => o, null, CancellationToken.None));
        await world.Loop.Until(() => world.Copy("web", on: "host1") is { IsRunning: true });
        world.Copy("web", on: "host1")!.GuestPowersOff();
        await resume;
        await world.SleepAsync(15);
        Assert.Equal(VmState.Stopped, (await world.VmAsync("web")).State);
        var again = await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, "web", o => o, null, CancellationToken.None));
        Assert.NotNull(again.Problem);
    });

    /// <summary>
    /// Simulator, seed 602375: a cold move used an epoch up although its source was not heard; the VM that ran there was stopped by
    /// the record for ever.
    /// </summary>
    [Fact]
    public void An_owner_that_runs_under_an_older_epoch_than_the_records_learns_the_newer() => World.Run(seed: 84, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        var restart = world.Server.AskAsync(c => c.Vms.DoAsync(
            OperationKind.Restart, "web", o => o with { Force = true }, null, CancellationToken.None));
        await world.Loop.Until(() => world.Copy("web", on: "host1") is { IsRunning: true, State.Life: 2 });
        world.Agents["host1"].Kill();
        Assert.NotNull((await restart).Problem);
        world.WantBack("web");
        var move = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2", MoveMode.Cold));
        Assert.True(move.End == MoveEnd.RolledBack, $"{move.End}: {move.Reason}");
        var usedUp = (await world.VmAsync("web")).Epoch;

        world.Agents["host1"].Start();
        await world.SleepAsync(30);
        Assert.Equal((VmState.Running, "host1", usedUp), ((await world.VmAsync("web")).State, (await world.VmAsync("web")).Owner.Value,
            (await world.VmAsync("web")).Epoch));
        await MovedAsync(world, to: "host2");
    });

    private static async Task RefreshedByTwoAgentsAsync(World world, bool isTold, MoveEnd end, VmState state)
    {
        await world.CreateVmAsync("web", on: "host1");
        var move = await world.RefreshAsync("web");
        await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.RunState == "inmigrate"));
        var fresh = world.Ledger.Alive.Single(q => q.RunState == "inmigrate");
        if (isTold) await world.Loop.Until(() => fresh.IsRunning);
        else await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.RunState == "postmigrate"));
        if (isTold) world.LetGo("web"); // Its memory goes with it: both have written it.
        world.Agents["host1"].Kill();
        fresh.Process.Exit(ProcessEnd.Injected);

        var ended = await world.EndOfAsync(move);
        Assert.True(end == ended.End, $"{ended.End}: {ended.Reason}");
        Assert.Equal(state, (await world.VmAsync("web")).State);
        Assert.Equal(state == VmState.Running, world.Runs("web", on: "host1"));
    }

    private static async Task MovedAsync(World world, string to)
    {
        var move = await world.EndOfAsync(await world.MigrateAsync("web", to));
        Assert.Equal((MoveEnd.Done, true), (move.End, world.Runs("web", on: to)));
    }

    private static async Task DoAsync(World world, OperationKind verb, Func<Operation, Operation> with)
    {
        var done = await world.Server.AskAsync(c => c.Vms.DoAsync(verb, "web", with, null, CancellationToken.None));
        Assert.Null(done.Problem);
    }
}
