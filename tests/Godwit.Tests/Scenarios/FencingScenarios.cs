using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Hosts fall silent. Only proof that one is off lets its VMs run elsewhere; and what is back must not run them too.</summary>
public sealed class FencingScenarios
{
    private static readonly WorldKnobs Three = new() { Hosts = 3, Ha = true };

    [Fact]
    public void A_host_that_died_is_fenced_and_its_ha_vms_run_elsewhere() => World.Run(seed: 51, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await world.CreateVmAsync("db", on: "host1");
        await SetHaAsync(world, "db", false);
        world.Agents["host1"].Host.PowerOff();
        Assert.Equal(RecoveryEnd.Done, (await RecoveredAsync(world)).End);
        Assert.True(RunsElsewhere(world, "web", than: "host1"));
        var proof = await world.Server.AskAsync(c => c.Stores.Fences.InForceAsync(new HostId("host1")));
        Assert.Equal((FenceKind.Command, "ha", 0), (proof!.Kind, proof.By, proof.ExitCode));
        Assert.Equal(new HostId("host1"), (await world.VmAsync("db")).Owner);
        Assert.False(RunsElsewhere(world, "db", than: "host1"));
        await EventsAsync(world, "recovery-begun", "host-fenced", "vm-started", "vm-recovered", "recovery-ended");
    }, Three);

    [Fact]
    public void A_host_that_is_only_cut_off_is_turned_off_before_its_vms_start_elsewhere() => World.Run(seed: 52, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Net.Cut("server", "host1");
        await world.SleepAsync(30);
        Assert.True(world.Runs("web", on: "host1"));
        await world.Loop.Until(() => RunsElsewhere(world, "web", than: "host1"));
        Assert.False(world.Agents["host1"].Host.IsUp);
    }, Three);

    [Theory]
    [InlineData(FenceMood.Fails)]
    [InlineData(FenceMood.Hangs)]
    [InlineData(FenceMood.KillsAndSaysNo)]
    public void Without_proof_nothing_starts_and_a_person_is_asked_for(FenceMood mood) => World.Run(seed: 53, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var before = await world.VmAsync("web");
        world.Net.Cut("server", "host1");
        var ended = await RecoveredAsync(world);

        Assert.Equal((RecoveryEnd.NeedsOperator, 3), (ended.End, ended.FenceTries));
        Assert.Equal((before.Owner, before.Epoch), ((await world.VmAsync("web")).Owner, (await world.VmAsync("web")).Epoch));
        Assert.False(RunsElsewhere(world, "web", than: "host1"));
        await world.SleepAsync(120);
        Assert.Equal(3, world.Fence.Runs); // Not for ever: the same silence is not tried again.
        Assert.Equal(mood != FenceMood.KillsAndSaysNo, world.Runs("web", on: "host1"));
    }, Three with { FenceMood = mood });

    [Fact]
    public void A_persons_word_ends_the_wait_for_a_fence_that_hangs() => World.Run(seed: 54, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await world.CreateVmAsync("db", on: "host1");
        await SetHaAsync(world, "db", false);
        world.Agents["host1"].Host.PowerOff();
        await world.Loop.Until(() => world.Fence.Runs == 1);
        var (automatic, since) = (await NewestAsync(world), world.Loop.Now);
        await WordAsync(world, "host1");
        await world.Loop.Until(() => RunsElsewhere(world, "web", than: "host1") && RunsElsewhere(world, "db", than: "host1"));

        Assert.True(world.Loop.Now - since < TimeSpan.FromSeconds(30));
        var ended = await EndOfAsync(world, automatic!.Id);
        Assert.Equal((RecoveryEnd.Done, RecoveryScope.AllVms, false), (ended.End, ended.Scope, ended.IsAutomatic));
        Assert.Equal((FenceKind.Person, "anna"),
            ((await ProofAsync(world))!.Kind, (await ProofAsync(world))!.By));
    }, Three with { FenceMood = FenceMood.Hangs });

    [Fact]
    public void More_than_half_of_the_hosts_silent_means_that_the_server_is_cut_off() => World.Run(seed: 55, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Net.Cut("server", "host1");
        world.Net.Cut("server", "host2");
        await world.SleepAsync(180);
        Assert.Equal(0, world.Fence.Runs);
        Assert.True(world.Runs("web", on: "host1"));
        await EventsAsync(world, "ha-held");
    }, Three);

    [Fact]
    public void A_server_that_stood_still_longer_than_any_silence_fences_nobody_when_it_wakes() => World.Run(seed: 66, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Net.Cut("server", "host1");
        await world.SleepAsync(20); // One question was not answered.
        world.Server.Process!.Stall();
        await world.SleepAsync(600);
        world.Server.Process!.Continue();
        await world.SleepAsync(20);
        Assert.Equal(0, world.Fence.Runs);
        world.Net.HealAll();
        await world.SleepAsync(60);
        Assert.Equal((0, HostState.Ready), (world.Fence.Runs, await StateAsync(world)));
        Assert.True(world.Runs("web", on: "host1"));
    }, Three);

    [Fact]
    public void Hosts_that_fall_silent_together_are_recovered_one_after_the_other() => World.Run(seed: 56, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await world.CreateVmAsync("db", on: "host2");
        foreach (var host in new[] { "host1", "host2" }) world.Agents[host].Host.PowerOff();
        await world.Loop.Until(() => world.Fence.Runs == 1);
        await world.SleepAsync(0.1);
        Assert.Single(await world.Server.AskAsync(c => c.Stores.Fences.UnfinishedAsync()));
        await world.Loop.Until(() => new[] { "web", "db" }.All(vm =>
            world.Runs(vm, "host3") || world.Runs(vm, "host4") || world.Runs(vm, "host5")));
    }, Three with { Hosts = 5 });

    [Fact]
    public void A_fenced_host_that_comes_back_knows_what_left_it_before_it_is_trusted() => World.Run(seed: 57, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var web = await world.VmAsync("web");
        world.Agents["host1"].Host.PowerOff();
        await RecoveredAsync(world);
        world.Agents["host1"].Host.PowerOn();
        world.Agents["host1"].Start();
        await world.Loop.Until(() => world.Agents["host1"].Serving is not null);
        var added = await world.Server.AskAsync(c => c.Hosts.AddAsync(new HostId("host1"), "10.0.0.1:7443", CancellationToken.None));
        Assert.Equal(HostState.Fenced, added.State); // Nothing but its own word that it knows ends that.
        while (await StateAsync(world) != HostState.Ready) await world.SleepAsync(1);

        var late = new StartVm(web.Spec, (await world.VmAsync("web")).Epoch);
        var refused = await Assert.ThrowsAsync<RefusedException>(() => world.Agents["host1"].Process!.Context.CallAsync(
            () => world.Agents["host1"].Serving!.StartVmAsync(late, CancellationToken.None)));
        Assert.Equal("epoch-stale", refused.Reasons[0].Code);
        Assert.Empty(await world.Server.AskAsync(c => c.Stores.Fences.DeparturesAsync(new HostId("host1"))));
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host1"))).End);
    }, Three);

    [Fact]
    public void What_a_host_that_was_not_really_off_still_holds_ends_when_it_is_heard_of() => World.Run(seed: 58, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Pause, "web", o => o, null, CancellationToken.None));
        world.LetGo("web"); // Whoever gives a wrong word lets go of it.
        world.Net.Cut("server", "host1");
        while (await StateAsync(world) != HostState.Unreachable) await world.SleepAsync(1);
        await WordAsync(world, "host1");
        await RecoveredAsync(world);
        Assert.NotNull(world.Copy("web", on: "host1"));
        Assert.Equal(VmState.Crashed, (await world.VmAsync("web")).State); // It stood still: nobody asked for it to run.

        world.Net.HealAll();
        while (await StateAsync(world) != HostState.Ready) await world.SleepAsync(1);
        Assert.Null(world.Copy("web", on: "host1"));
        Assert.NotEqual(new HostId("host1"), (await world.VmAsync("web")).Owner);
    }, Three);

    [Theory]
    [InlineData(0.1), InlineData(1), InlineData(3), InlineData(6)]
    public void A_server_that_dies_at_any_moment_of_it_goes_on_and_never_starts_before_the_proof(double after) =>
        World.Run(seed: 59, async world =>
        {
            await world.CreateVmAsync("web", on: "host1");
            world.Net.Cut("server", "host1");
            await world.Loop.Until(() => world.Fence.Runs == 1);
            await world.SleepAsync(after);
            world.Server.Kill();
            await world.SleepAsync(2);
            await world.Server.StartAsync();
            Assert.Equal(RecoveryEnd.Done, (await RecoveredAsync(world)).End);
            Assert.True(RunsElsewhere(world, "web", than: "host1"));
        }, Three);

    [Theory]
    [InlineData(1), InlineData(2), InlineData(3), InlineData(4), InlineData(5), InlineData(6), InlineData(7), InlineData(8)]
    public void A_server_that_dies_after_the_so_manieth_commit_of_it_goes_on(int commits) => World.Run(seed: 60, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.Agents["host1"].Host.PowerOff();
        while (await NewestAsync(world) is null) await world.SleepAsync(0.02);
        for (var commit = 0; commit < commits && world.Server.Serving is not null; commit++)
        {
            world.Server.KillAfterCommit();
            await Joining.AnyAsync(world.Server.Process!.Exited, world.SleepAsync(60));
            await world.Server.StartAsync();
        }
        Assert.Equal(RecoveryEnd.Done, (await RecoveredAsync(world)).End);
        Assert.True(RunsElsewhere(world, "web", than: "host1"));
    }, Three);

    /// <summary>The token left, the target may have run: its fence proves that it does no more, and the VM boots from its disk.</summary>
    [Fact]
    public void A_move_in_doubt_is_settled_by_the_proof_that_its_target_is_off() => World.Run(seed: 61, async world =>
    {
        var move = await TokenLeftAsync(world);
        world.Agents["host2"].Host.PowerOff();
        world.LetGo("web");
        Assert.Equal(RecoveryEnd.Done, (await RecoveredAsync(world, "host2")).End);
        var ended = await world.EndOfAsync(move);
        Assert.Equal((MoveEnd.NeedsOperator, new HostId("host2")), (ended.End, ended.Fenced));
        Assert.True(world.Runs("web", "host1") || world.Runs("web", "host3"));
        Assert.True((await world.VmAsync("web")).Epoch > ended.Epoch.Next()); // The target may hold the one after the move's.
    }, Three);

    [Fact]
    public void A_move_whose_source_is_fenced_after_the_token_belongs_to_its_target() => World.Run(seed: 62, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await HoldAsync(world, "host2", "incoming.after-intent=delay:30000");
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        await world.SleepAsync(0.5);
        world.Agents["host1"].Host.PowerOff();
        Assert.Equal(RecoveryEnd.Done, (await RecoveredAsync(world)).End);
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move)).End);
        Assert.True(world.Runs("web", on: "host2"));
    }, Three);

    [Fact]
    public void A_vm_whose_source_died_while_memory_crossed_is_started_anew() => World.Run(seed: 63, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", memoryMiB: 64);
        var move = await world.MigrateAsync("web", to: "host2");
        await world.UntilAsync(move, Phase.Memory);
        world.Agents["host1"].Host.PowerOff();
        Assert.Equal(RecoveryEnd.Done, (await RecoveredAsync(world)).End);
        Assert.Equal(MoveEnd.NeedsOperator, (await world.EndOfAsync(move)).End);
        Assert.True(RunsElsewhere(world, "web", than: "host1"));
    }, Three);

    [Fact]
    public void A_vm_that_finds_no_room_stays_where_it_is_by_the_record_and_is_brought_back_later() => World.Run(seed: 64, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        foreach (var host in new[] { "host2", "host3" }) await CordonAsync(world, host, true);
        world.Agents["host1"].Host.PowerOff();
        var ended = await RecoveredAsync(world);
        Assert.Equal((RecoveryEnd.NeedsOperator, true), (ended.End, ended.Vms!.Single().Failed));
        Assert.Equal(new HostId("host1"), (await world.VmAsync("web")).Owner);

        await CordonAsync(world, "host2", false);
        var again = await world.Server.AskAsync(c => c.Fencing.RecoverAsync(
            new HostId("host1"), fenced: false, confirm: null, by: "anna", CancellationToken.None)); // The proof still stands.
        Assert.Equal(RecoveryEnd.Done, (await EndOfAsync(world, again.Id)).End);
        Assert.True(world.Runs("web", on: "host2"));
        Assert.Equal(1, world.Fence.Runs);
    }, Three);

    [Fact]
    public void Nothing_is_begun_on_a_fenced_host_nor_is_one_that_answers_fenced() => World.Run(seed: 65, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        Assert.Equal("host-answers", await RefusalAsync(() => WordAsync(world, "host1")));
        world.Agents["host1"].Host.PowerOff();
        while (await StateAsync(world) != HostState.Unreachable) await world.SleepAsync(1);
        Assert.Equal("bad-confirmation", await RefusalAsync(() => world.Server.AskAsync(c => c.Fencing.RecoverAsync(
            new HostId("host1"), fenced: true, confirm: "host2", by: "anna", CancellationToken.None))));
        await SetHaAsync(world, "web", false);
        var fenced = await world.Server.AskAsync(c => c.Fencing.FenceAsync(new HostId("host1"), "anna", CancellationToken.None));
        Assert.Equal((RecoveryEnd.Done, 0), ((await EndOfAsync(world, fenced.Id)).End, (await EndOfAsync(world, fenced.Id)).Vms!.Count));

        world.Net.Cut("server", "host1");
        world.Agents["host1"].Host.PowerOn();
        world.Agents["host1"].Start();
        await world.Loop.Until(() => world.Agents["host1"].Serving is not null);
        var start = await world.Server.AskAsync(c =>
            c.Vms.DoAsync(OperationKind.Restart, "web", o => o with { Force = true }, null, default));
        Assert.Equal("host-fenced", start.Problem?.Code);
        Assert.False(world.Runs("web", on: "host1"));
    }, Three);

    private static bool RunsElsewhere(World world, string vm, string than) =>
        world.Agents.Keys.Any(host => host != than && world.Runs(vm, host));

    private static Task<bool> SetHaAsync(World world, string vm, bool ha) => world.Server.AskAsync(async c =>
    {
        await c.Fencing.SetHaAsync((await c.Vms.FindAsync(vm)).Spec.Id, ha);
        return true;
    });

    private static Task<HostRecovery> WordAsync(World world, string host) => world.Server.AskAsync(c =>
        c.Fencing.RecoverAsync(new HostId(host), fenced: true, confirm: host, by: "anna", CancellationToken.None));

    private static Task<HostRecovery?> NewestAsync(World world, string host = "host1") =>
        world.Server.AskAsync(c => c.Stores.Fences.NewestAsync(new HostId(host)));

    private static async Task<HostState> StateAsync(World world) =>
        (await world.Server.AskAsync(c => c.Stores.Hosts.FindAsync(new HostId("host1"))))!.State;

    private static Task<bool> CordonAsync(World world, string host, bool cordoned) => world.Server.AskAsync(async c =>
    {
        await c.Hosts.CordonAsync(new HostId(host), cordoned);
        return true;
    });

    private static async Task<string> RefusalAsync(Func<Task> ask) =>
        (await Assert.ThrowsAsync<RefusedException>(ask)).Reasons[0].Code;

    private static async Task HoldAsync(World world, string host, string failPoint)
    {
        world.Agents[host].FailPoints = failPoint;
        world.Agents[host].Kill();
        await world.Loop.Until(() => world.Agents[host].Serving is null);
        await world.Loop.Until(() => world.Agents[host].Serving is not null);
        world.Agents[host].FailPoints = null;
    }

    private static async Task<MoveId> TokenLeftAsync(World world)
    {
        await world.CreateVmAsync("web", on: "host1");
        await HoldAsync(world, "host2", "incoming.before-intent=hang");
        var move = await world.MigrateAsync("web", to: "host2");
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        await world.SleepAsync(0.5);
        return move;
    }

    private static Task<FenceProof?> ProofAsync(World world) =>
        world.Server.AskAsync(c => c.Stores.Fences.InForceAsync(new HostId("host1")));

    private static Task<HostRecovery> EndOfAsync(World world, string id) =>
        world.Server.AskAsync(c => c.Recoveries.EndOfAsync(id, CancellationToken.None));

    /// <summary>The recovery of a host, once there is one and it has ended.</summary>
    private static async Task<HostRecovery> RecoveredAsync(World world, string host = "host1")
    {
        for (var limit = world.Loop.Now + TimeSpan.FromHours(1); world.Loop.Now < limit; await world.SleepAsync(1))
        {
            try
            {
                if (world.Server.Serving is not null && await NewestAsync(world, host) is { End: not null } ended) return ended;
            }
            catch (ServerGoneException) { } // The next server goes on.
        }
        throw new InvalidOperationException($"no recovery of {host} ended within an hour");
    }

    private static async Task EventsAsync(World world, params string[] kinds)
    {
        var said = (await world.Server.AskAsync(c => c.Stores.Events.AfterAsync(0, 1000))).Select(e => e.Kind).ToHashSet();
        Assert.Equal([], kinds.Except(said));
    }
}
