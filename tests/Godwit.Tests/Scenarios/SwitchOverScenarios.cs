using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Machines;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Cells of docs/design/failure-table.md that need an exact moment, or more than the end of one process.</summary>
public sealed class SwitchOverScenarios
{
    private const string HeldAfterIntent = "incoming.after-intent=delay:1500";

    [Fact]
    public void A_source_qemu_that_dies_before_its_stream_is_complete_takes_the_guest_with_it() => World.Run(seed: 21, async world =>
    {
        var move = await BeginAsync(world);
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "finish-migrate");
        world.Copy("web", on: "host1")!.Process.Exit(ProcessEnd.Injected);
        await EndsAsync(world, move, MoveEnd.NeedsOperator, VmState.Crashed);
    });

    [Fact]
    public void A_source_qemu_that_dies_between_its_last_byte_and_the_token_is_not_missed() => World.Run(seed: 22, async world =>
    {
        var move = await BeginAsync(world, source: "outgoing.before-token=delay:500");
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        await world.SleepAsync(0.2);
        world.Copy("web", on: "host1")!.Process.Exit(ProcessEnd.Injected);
        await EndsAsync(world, move, MoveEnd.Done, VmState.Running);
    });

    [Fact]
    public void A_target_qemu_that_dies_as_soon_as_it_runs_is_a_crash_and_the_source_never_runs_again() =>
        World.Run(seed: 23, async world =>
        {
            var move = await BeginAsync(world);
            await world.Loop.Until(() => world.Runs("web", on: "host2"));
            world.Copy("web", on: "host2")!.Process.Exit(ProcessEnd.Injected);
            var ended = await world.EndOfAsync(move);
            Assert.Contains(ended.End, new MoveEnd?[] { MoveEnd.Done, MoveEnd.NeedsOperator }); // Whether RESUME was heard is chance.
            await CrashedAsync(world);
        });

    [Fact]
    public void A_source_host_that_loses_power_while_memory_crosses_has_lost_the_guest_and_says_so() => World.Run(seed: 24, async world =>
    {
        var move = await BeginAsync(world);
        await world.UntilAsync(move, Phase.Memory);
        await world.SleepAsync(0.05);
        await LosePowerAsync(world, "host1", seconds: 30);
        await EndsAsync(world, move, MoveEnd.NeedsOperator, VmState.Crashed);
    });

    [Fact]
    public void A_source_host_that_loses_power_after_the_token_is_not_missed() => World.Run(seed: 25, async world =>
    {
        var move = await BeginAsync(world, target: HeldAfterIntent);
        await HeldAsync(world);
        await LosePowerAsync(world, "host1", seconds: 30);
        await EndsAsync(world, move, MoveEnd.Done, VmState.Running);
        Assert.True(world.Runs("web", on: "host2"));
    });

    [Fact]
    public void A_target_host_that_loses_power_while_memory_crosses_sends_the_guest_home() => World.Run(seed: 26, async world =>
    {
        var move = await BeginAsync(world);
        await world.UntilAsync(move, Phase.Memory);
        await world.SleepAsync(0.05);
        await LosePowerAsync(world, "host2", seconds: 30);
        await EndsAsync(world, move, MoveEnd.RolledBack, VmState.Running);
    });

    [Fact]
    public void A_target_host_that_loses_power_after_its_intent_leaves_nobody_running() => World.Run(seed: 27, async world =>
    {
        var move = await BeginAsync(world, target: HeldAfterIntent);
        await HeldAsync(world);
        await LosePowerAsync(world, "host2", seconds: 30);
        await EndsAsync(world, move, MoveEnd.NeedsOperator, VmState.Crashed);
    });

    [Fact]
    public void A_target_host_that_took_the_token_and_is_never_heard_again_leaves_the_vm_in_doubt() => World.Run(seed: 28, async world =>
    {
        var move = await BeginAsync(world, target: HeldAfterIntent);
        await HeldAsync(world);
        world.Agents["host2"].Host.PowerOff();

        var ended = await world.EndOfAsync(move);
        Assert.Equal(MoveEnd.NeedsOperator, ended.End);
        Assert.Contains("fence", ended.Reason, StringComparison.Ordinal);
        Assert.Equal("postmigrate", world.Copy("web", on: "host1")?.RunState); // It may run there: here it stands still.
        Assert.Equal(VmState.Unknown, (await world.VmAsync("web")).State);
    });

    [Fact]
    public void A_link_cut_while_memory_crosses_takes_the_move_back() => World.Run(seed: 29, async world =>
    {
        var move = await BeginAsync(world);
        await world.UntilAsync(move, Phase.Memory);
        world.Net.Cut("host1", "host2");
        await EndsAsync(world, move, MoveEnd.RolledBack, VmState.Running);
        Assert.True(world.Runs("web", on: "host1"));
    });

    [Fact]
    public void A_link_cut_after_the_token_is_bridged_by_the_server() => World.Run(seed: 30, async world =>
    {
        var move = await BeginAsync(world, target: HeldAfterIntent);
        await HeldAsync(world);
        world.Net.Cut("host1", "host2");
        await EndsAsync(world, move, MoveEnd.Done, VmState.Running);
        Assert.True(world.Runs("web", on: "host2"));
    });

    /// <summary>
    /// Simulator, seed 4000395: the source missed a few words in the moment the target proved that it runs, and was never silent for
    /// long enough to "return": it waited in doubt for ever, and the VM could not come back to it.
    /// </summary>
    [Fact]
    public void A_source_that_misses_the_moment_of_proof_is_told_all_the_same() => World.Run(seed: 99, async world =>
    {
        var move = await BeginAsync(world, target: "incoming.after-intent=delay:90000");
        await HeldAsync(world);
        world.Net.Cut("host1", "host2");
        await world.SleepAsync(85); // Longer than a move waits for a source that it has not heard of.
        world.Net.Cut("server", "host1");
        await world.Loop.Until(() => world.Runs("web", on: "host2"));
        await world.SleepAsync(11); // One question of the rounds goes unheard, not two.
        world.Net.Heal("server", "host1");
        await EndsAsync(world, move, MoveEnd.Done, VmState.Running);

        await world.SleepAsync(15);
        Assert.Null(world.Copy("web", on: "host1")); // By the server's word: the link is cut still.
        world.Net.Heal("host1", "host2");
        await EndsAsync(world, await world.MigrateAsync("web", to: "host1"), MoveEnd.Done, VmState.Running);
        Assert.True(world.Runs("web", on: "host1"));
    });

    /// <summary>
    /// Simulator, seeds 5020620 and 5061063: the guest powered itself off as its move began, before anybody listened; its move waited
    /// for a STOP that had been told already.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_guest_that_is_off_before_its_move_listens_ends_the_move(bool refreshes)
    {
        World? there = null;
        World.Run(seed: 100, async world =>
        {
            there = world;
            world.Agents["host1"].FailPoints = $"{(refreshes ? "refresh" : "outgoing")}.before-listening=delay:2000";
            world.Agents["host1"].Kill();
            await world.Loop.Until(() => world.Agents["host1"].Serving is not null);
            await world.CreateVmAsync("web", on: "host1");
            world.LetGo("web");
            var ended = await world.EndOfAsync(refreshes ? await world.RefreshAsync("web") : await world.MigrateAsync("web", to: "host2"));
            Assert.StartsWith("vm-stopped", ended.Reason, StringComparison.Ordinal);
            Assert.Equal(VmState.Stopped, (await world.VmAsync("web")).State);
        }, onEvent: happened =>
        {
            // The last line of a journal before the story goes on.
            if (happened.Contains("HandingOver", StringComparison.Ordinal))
                there!.Copy("web", on: "host1")!.GuestPowersOff();
        });
    }

    /// <summary>Simulator, seed 12000590: nobody watched a QEMU that had not answered the new agent; its taps stayed for ever.</summary>
    [Fact]
    public void A_qemu_that_did_not_answer_a_new_agent_and_dies_leaves_nothing() => World.Run(seed: 101, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var qemu = world.Copy("web", on: "host1")!;
        world.LetGo("web");
        qemu.Process.Stall();
        world.Agents["host1"].Kill();
        world.Agents["host1"].Start();
        await world.SleepAsync(30); // Longer than it waits for the greeting.
        qemu.Process.Exit(ProcessEnd.Injected);
        await world.SleepAsync(15);
        Assert.Equal(VmState.Crashed, (await world.VmAsync("web")).State);
        Assert.DoesNotContain(await world.Server.AskAsync(c => c.Agents.Of(new HostId("host1")).TakeInventoryAsync(true, default))
            is { } told ? told.Leaks : [], leak => leak.Kind == Godwit.Core.Inventory.LeakKind.Tap);
    });

    /// <summary>
    /// Simulator, seed 30401308: the target lost power after the VM was written down as its own and before its move was. It was called
    /// lost, started anew at the source, and owned by both ever after.
    /// </summary>
    [Fact]
    public void A_target_that_loses_power_once_the_vm_is_its_own_keeps_it_as_crashed() => World.Run(seed: 102, async world =>
    {
        var move = await BeginAsync(world, target: $"{HeldAfterIntent},incoming.before-mark=hang");
        world.LetGo("web");
        await HeldAsync(world);
        world.Net.Cut("host1", "host2"); // The source does not hear that it runs.
        await world.Loop.Until(() => world.Runs("web", on: "host2"));
        await world.SleepAsync(0.1);
        await LosePowerAsync(world, "host2", seconds: 5);
        world.Net.Heal("host1", "host2");
        await EndsAsync(world, move, MoveEnd.Done, VmState.Crashed);
        Assert.Null(world.Copy("web", on: "host1"));

        await DoAsync(world, OperationKind.Start);
        await world.Loop.Until(() => world.Runs("web", on: "host2"));
        world.WantBack("web");
        await EndsAsync(world, await world.MigrateAsync("web", to: "host1"), MoveEnd.Done, VmState.Running);
    });

    [Fact]
    public void A_server_cut_off_from_the_source_does_not_disturb_the_move() => World.Run(seed: 31, async world =>
    {
        var move = await BeginAsync(world);
        await world.UntilAsync(move, Phase.Memory);
        world.Net.Cut("server", "host1");
        await world.Loop.Until(() => world.Runs("web", on: "host2")); // While it is cut off.
        world.Net.Heal("server", "host1");
        await EndsAsync(world, move, MoveEnd.Done, VmState.Running);
    });

    [Fact]
    public void A_start_that_arrives_again_after_the_vm_was_stopped_boots_nothing() => World.Run(seed: 41, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var late = new StartVm((await world.VmAsync("web")).Spec, (await world.VmAsync("web")).Epoch);
        world.LetGo("web");
        await world.Server.AskAsync(c => c.Vms.DoAsync(
            OperationKind.Stop, "web", o => o with { Force = true }, null, CancellationToken.None));

        var report = await world.Agents["host1"].Process!.Context.CallAsync(
            () => world.Agents["host1"].Serving!.StartVmAsync(late, CancellationToken.None));
        Assert.Equal(VmState.Stopped, report.State);
        Assert.Empty(world.Ledger.Alive);
    });

    [Fact]
    public void A_refresh_whose_new_qemu_dies_as_it_is_told_to_run_ends_by_itself_and_leaves_nothing() => World.Run(seed: 42, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var move = await world.RefreshAsync("web");
        await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.RunState == "paused"));
        world.Ledger.Alive.Single(q => q.RunState == "paused").Process.Exit(ProcessEnd.Injected);
        await EndsAsync(world, move, MoveEnd.NeedsOperator, VmState.Crashed);
        Assert.Empty(world.Ledger.Alive);
    });

    [Fact]
    public void A_resume_that_arrives_again_while_the_guest_is_handed_over_does_not_run_the_source() => World.Run(seed: 43, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        await DoAsync(world, OperationKind.Save);
        var saved = await world.VmAsync("web");
        await DoAsync(world, OperationKind.Resume);
        world.WantBack("web");
        var late = new StartVm(saved.Spec, (await world.VmAsync("web")).Epoch, saved.SavedFile);

        world.Agents["host2"].FailPoints = HeldAfterIntent;
        world.Agents["host2"].Kill();
        await world.Loop.Until(() => world.Agents["host2"].Serving is null);
        await world.Loop.Until(() => world.Agents["host2"].Serving is not null);
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        var refused = await Assert.ThrowsAsync<RefusedException>(() => world.Agents["host1"].Process!.Context.CallAsync(
            () => world.Agents["host1"].Serving!.StartVmAsync(late, CancellationToken.None)));
        Assert.Equal("move-under-way", refused.Reasons[0].Code);
        await EndsAsync(world, move, MoveEnd.Done, VmState.Running);
    });

    private static Task<Operation> DoAsync(World world, OperationKind verb) =>
        world.Server.AskAsync(c => c.Vms.DoAsync(verb, "web", o => o, null, CancellationToken.None));

    [Fact]
    public void A_start_that_arrives_after_the_vm_moved_away_cold_is_refused() => World.Run(seed: 32, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var late = new StartVm((await world.VmAsync("web")).Spec, (await world.VmAsync("web")).Epoch);
        await EndsAsync(world, await world.MigrateAsync("web", to: "host2", MoveMode.Cold), MoveEnd.Done, VmState.Running);

        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            world.Agents["host1"].Process!.Context.CallAsync(() => world.Agents["host1"].Serving!.StartVmAsync(late, default)));
        Assert.Equal("epoch-stale", refused.Reasons[0].Code);
        Assert.True(world.Runs("web", on: "host2"));
    });

    [Fact]
    public void A_paused_vm_that_was_sent_and_kept_after_all_is_paused_not_unknown() => World.Run(seed: 33, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Agents["host2"].FailPoints = "incoming.before-intent=throw";
        world.Agents["host2"].Kill();
        await world.Loop.Until(() => world.Agents["host2"].Serving is not null);
        await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Pause, "web", o => o, null, default));

        var ended = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        Assert.True(ended.End == MoveEnd.RolledBack, $"{ended.End}: {ended.Reason}");
        await world.SleepAsync(15); // Its host has reported since.
        Assert.Equal("postmigrate", world.Copy("web", on: "host1")!.RunState);
        Assert.Equal(VmState.Paused, (await world.VmAsync("web")).State);
    });

    /// <summary>
    /// Simulator, seed 40403498: the order that had started a guest came once more, five seconds late; meanwhile it was saved, and its host
    /// had forgotten it for another to bring it back. It booted the disk that belongs to the memory in the file.
    /// </summary>
    [Fact]
    public void A_late_start_of_a_vm_that_left_into_its_file_is_refused() => World.Run(seed: 103, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var before = await world.VmAsync("web");
        var late = new StartVm(before.Spec, before.Epoch);
        world.LetGo("web");
        await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Save, "web", o => o, null, default));
        var agent = world.Agents["host1"];
        await agent.Process!.Context.CallAsync(() => agent.Serving!.ForgetVmAsync(before.Spec.Id, before.Epoch, default));
        await Assert.ThrowsAnyAsync<RefusedException>(
            () => agent.Process!.Context.CallAsync(() => agent.Serving!.StartVmAsync(late, default)));
        Assert.False(world.Runs("web", on: "host1"));

        world.WantBack("web");
        await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, "web", o => o, null, default));
        await world.Loop.Until(() => world.Runs("web", on: "host1")); // To where it left from, too.
    });

    private static async Task<MoveId> BeginAsync(World world, string? source = null, string? target = null)
    {
        await world.CreateVmAsync("web", on: "host1");
        foreach (var (host, hold) in new[] { ("host1", source), ("host2", target) })
        {
            if (hold is null) continue;
            world.Agents[host].FailPoints = hold;
            world.Agents[host].Kill();
            await world.Loop.Until(() => world.Agents[host].Serving is not null);
        }
        return await world.MigrateAsync("web", to: "host2");
    }

    /// <summary>The token is out, the intent durable, and the target's agent stands there for a while.</summary>
    private static async Task HeldAsync(World world)
    {
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        await world.SleepAsync(0.5);
        Assert.False(world.Runs("web", on: "host2"));
    }

    private static async Task LosePowerAsync(World world, string host, double seconds)
    {
        world.Agents[host].Host.PowerOff();
        await world.SleepAsync(seconds);
        world.Agents[host].Host.PowerOn();
        world.Agents[host].Start();
    }

    private static async Task EndsAsync(World world, MoveId move, MoveEnd end, VmState state)
    {
        var ended = await world.EndOfAsync(move);
        Assert.True(end == ended.End, $"{ended.End}: {ended.Reason}");
        if (state == VmState.Crashed) await CrashedAsync(world);
        else Assert.Equal(state, (await world.VmAsync("web")).State);
    }

    /// <summary>Said by the move at once, or by the host's next report.</summary>
    private static async Task CrashedAsync(World world)
    {
        await world.SleepAsync(30);
        Assert.Equal(VmState.Crashed, (await world.VmAsync("web")).State);
        Assert.False(world.Runs("web", on: "host1") || world.Runs("web", on: "host2"));
    }
}
