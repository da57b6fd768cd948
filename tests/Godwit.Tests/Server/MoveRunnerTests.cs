using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>Moves through a whole server: order, cancel, and a server that dies under them.</summary>
public sealed class MoveRunnerTests
{
    private readonly TaskCompletionSource _memory = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Fact]
    public async Task A_restarted_server_goes_on_with_a_move_where_its_hosts_are()
    {
        await using var server = await TwoHostsAsync("web");
        var move = await MoveAsync(server, "web");
        await ReachedAsync(server, move, Phase.Memory);
        await server.StopAsync();

        _memory.SetResult();
        await server.StartAgainAsync();
        Assert.Equal(MoveEnd.Done, (await server.EndOfAsync(move.Id)).End);
        Assert.Equal(1, server.Cluster["h1"].Count("StartOutgoing"));
        Assert.Equal(new HostId("h2"), (await server.OkAsync<VmView>("GET", "vms/web")).Owner);
    }

    /// <summary>What the server before it had prepared is this move's own, not a reason to take the move back.</summary>
    [Fact]
    public async Task A_restarted_server_takes_up_the_candidate_its_predecessor_had_prepared()
    {
        await using var server = await TwoHostsAsync("web");
        var target = server.Cluster["h2"];
        var answer = new TaskCompletionSource();
        target.Waits["PrepareIncoming"] = answer.Task;
        var move = await MoveAsync(server, "web");
        while (target.Count("PrepareIncoming") == 0) await Task.Yield();
        await server.StopAsync();
        target.Moves[move.Id] = new MoveStatus { Move = move.Id, Standing = MoveStanding.TargetCandidate, Epoch = move.Epoch.Next() };
        server.Cluster.Moving[move.Id] = move.Vm; // The order arrived, its answer did not.

        answer.SetResult();
        _memory.SetResult();
        await server.StartAgainAsync();
        var ended = await server.EndOfAsync(move.Id);
        Assert.True(ended.End == MoveEnd.Done, $"{ended.End}: {ended.Reason}");
    }

    [Fact]
    public async Task A_restarted_server_does_not_forget_the_moves_that_wait_nor_their_order()
    {
        await using var server = await TwoHostsAsync("vm1", "vm2", "vm3");
        var moves = new List<Migration>();
        foreach (var vm in new[] { "vm1", "vm2", "vm3" }) moves.Add(await MoveAsync(server, vm));
        await ReachedAsync(server, moves[0], Phase.Memory);
        await server.StopAsync();
        await server.StartAgainAsync();
        Assert.Equal([Phase.Queued, Phase.Queued, Phase.Memory],
            (await server.OkAsync<Migration[]>("GET", "migrations")).Select(m => m.Phase));

        _memory.SetResult();
        var ends = new List<Migration>();
        foreach (var move in moves) ends.Add(await server.EndOfAsync(move.Id));
        Assert.All(ends, end => Assert.Equal(MoveEnd.Done, end.End));
        Assert.Equal(ends.Select(e => e.EndedAt), ends.Select(e => e.EndedAt).Order());
    }

    [Fact]
    public async Task A_busy_vm_is_refused_to_everyone_else_with_the_name_of_the_holder()
    {
        await using var server = await TwoHostsAsync("web");
        var move = await MoveAsync(server, "web");
        foreach (var verb in new[] { "stop", "start", "pause", "save", "migrate" })
        {
            var problem = await server.ProblemAsync("POST", $"vms/web/{verb}");
            Assert.Equal(("vm-busy", 409), (problem.Code, problem.Status));
            Assert.Contains(move.Id.Value, problem.Cause);
        }
        Assert.Equal("vm-busy", (await server.ProblemAsync("DELETE", "vms/web")).Code);
        Assert.Equal(move.Id.Value, (await server.OkAsync<VmView>("GET", "vms/web")).Operation!.Id);
        _memory.SetResult();
        await server.EndOfAsync(move.Id);
        Assert.Null((await server.OkAsync<VmView>("GET", "vms/web")).Operation);
    }

    [Fact]
    public async Task A_move_that_waits_is_cancelled_without_touching_anything()
    {
        await using var server = await TwoHostsAsync("vm1", "vm2");
        var first = await MoveAsync(server, "vm1");
        var second = await MoveAsync(server, "vm2");
        var cancelled = await server.OkAsync<Migration>("POST", $"migrations/{second.Id}/cancel");
        Assert.Equal(MoveEnd.Cancelled, cancelled.End);
        _memory.SetResult();
        await server.EndOfAsync(first.Id);
        Assert.Equal(1, server.Cluster["h2"].Count("PrepareIncoming"));
        Assert.Equal(new HostId("h1"), (await server.OkAsync<VmView>("GET", "vms/vm2")).Owner);
    }

    [Fact]
    public async Task A_move_is_cancelled_while_memory_crosses_and_the_guest_stays()
    {
        await using var server = await TwoHostsAsync("web");
        var move = await MoveAsync(server, "web");
        await ReachedAsync(server, move, Phase.Memory);
        Assert.True((await server.OkAsync<Migration>("POST", $"migrations/{move.Id}/cancel")).CancelRequested);
        var end = await server.EndOfAsync(move.Id);
        Assert.Equal(MoveEnd.Cancelled, end.End);
        Assert.Equal((new HostId("h1"), VmState.Running), Where(await server.OkAsync<VmView>("GET", "vms/web")));
        Assert.Equal(0, (await server.OkAsync<HostView>("GET", "hosts/h2")).MemoryAssignedBytes);
    }

    [Fact]
    public async Task A_refused_move_ends_rolled_back_with_every_reason_and_sets_nothing_aside()
    {
        await using var server = await TwoHostsAsync("web");
        server.Cluster["h2"].Fails["CheckTarget"] = new RefusedException("odd-host", "something is odd", "make it even");
        var end = await server.EndOfAsync((await MoveAsync(server, "web")).Id);
        Assert.Equal((MoveEnd.RolledBack, "odd-host"), (end.End!.Value, end.Refusals.Single().Code));
        Assert.Equal(0, (await server.OkAsync<HostView>("GET", "hosts/h2")).MemoryAssignedBytes);
    }

    [Fact]
    public async Task Every_phase_and_the_end_of_a_move_are_events()
    {
        await using var server = await TwoHostsAsync("web");
        _memory.SetResult();
        var move = await MoveAsync(server, "web");
        await server.EndOfAsync(move.Id);
        var told = (await server.Control.Stores.Events.AfterAsync(0, 100)).Where(e => e.Move == move.Id.Value).ToList();
        Assert.Equal("move-queued", told[0].Kind);
        Assert.Equal("move-ended", told[^1].Kind);
        Assert.Equal(["checking", "preparing", "disks", "memory", "verifying", "cleaning"],
            told.Where(e => e.Kind == "move-phase").Select(e => e.Text.Split(' ')[^1]));
    }

    [Fact]
    public async Task Progress_is_seen_while_memory_crosses()
    {
        await using var server = await TwoHostsAsync("web");
        var move = await MoveAsync(server, "web");
        await foreach (var seen in server.WatchAsync(move.Id))
        {
            if (seen.Progress is not { Pass: 2 }) continue;
            Assert.Equal(2, (await server.OkAsync<Migration>("GET", $"migrations/{move.Id}")).Progress!.Pass);
            break;
        }
        _memory.SetResult();
        await server.EndOfAsync(move.Id);
    }

    /// <summary>An agent of before this word takes the order for a move's: nothing is sent to it.</summary>
    [Fact]
    public async Task A_target_that_does_not_confirm_a_rehearsal_gets_no_stream()
    {
        await using var server = await TwoHostsAsync("web");
        var rehearsal = await server.OkAsync<Migration>("POST", "vms/web/migrate", new { to = "h2", rehearse = true });
        var end = await server.EndOfAsync(rehearsal.Id);
        Assert.Equal((MoveEnd.RolledBack, "agent-too-old"), (end.End!.Value, end.Refusals.Single().Code));
        Assert.Equal(0, server.Cluster["h1"].Count("StartOutgoing"));
        Assert.Equal(1, server.Cluster["h2"].Count("AbandonIncoming"));
    }

    [Fact]
    public async Task A_refresh_stays_on_its_host_and_auto_finds_the_other()
    {
        await using var server = await TwoHostsAsync("web");
        _memory.SetResult();
        var refresh = await server.OkAsync<Migration>("POST", "vms/web/refresh", new { cpus = "0-1" });
        var end = await server.EndOfAsync(refresh.Id);
        Assert.True(end.End == MoveEnd.Done, end.Reason);
        var auto = await server.OkAsync<Migration>("POST", "vms/web/migrate", new { to = "auto", mode = "quick" });
        Assert.Equal((new HostId("h2"), MoveMode.Quick), (auto.Target, auto.Mode));
        Assert.Equal(MoveEnd.Done, (await server.EndOfAsync(auto.Id)).End);
    }

    [Fact]
    public async Task A_verb_that_was_under_way_when_the_server_died_is_finished_by_the_next()
    {
        await using var server = await TwoHostsAsync("web");
        var stopping = new TaskCompletionSource();
        server.Cluster["h1"].Waits["StopVm"] = stopping.Task;
        var asked = server.SendAsync("POST", "vms/web/stop");
        while (server.Cluster["h1"].Count("StopVm") == 0) await Task.Yield();
        await server.StopAsync();
        await Assert.ThrowsAnyAsync<Exception>(async () => (await asked).EnsureSuccessStatusCode());

        stopping.SetResult();
        await server.StartAgainAsync();
        foreach (var operation in await server.Control.Stores.Operations.UnfinishedAsync())
            await server.Control.Operations.WaitAsync(operation.Id, CancellationToken.None);
        Assert.Equal(VmState.Stopped, (await server.OkAsync<VmView>("GET", "vms/web")).State);
    }

    [Fact]
    public async Task A_person_who_loses_patience_may_force_a_stop_that_waits_for_the_guest()
    {
        await using var server = await TwoHostsAsync("web");
        var patience = new TaskCompletionSource();
        server.Cluster["h1"].Waits["StopVm"] = patience.Task;
        var asked = server.SendAsync("POST", "vms/web/stop");
        while (server.Cluster["h1"].Count("StopVm") == 0) await Task.Yield();
        var forced = server.OkAsync<VmView>("POST", "vms/web/stop", new { force = true });
        while (server.Cluster["h1"].Count("StopVmByForce") == 0) await Task.Yield();
        patience.SetResult();
        Assert.Equal(VmState.Stopped, (await forced).State);
        using var first = await asked;
        Assert.True(first.IsSuccessStatusCode);
    }

    /// <summary>Simulator, seed 20566: its key was not kept, and arriving again it stopped the VM's next life.</summary>
    [Fact]
    public async Task A_forced_stop_that_hurried_another_is_part_of_that_one_also_when_it_arrives_again()
    {
        await using var server = await TwoHostsAsync("web");
        var patience = new TaskCompletionSource();
        server.Cluster["h1"].Waits["StopVm"] = patience.Task;
        var asked = server.SendAsync("POST", "vms/web/stop");
        while (server.Cluster["h1"].Count("StopVm") == 0) await Task.Yield();
        Task<VmView> ForceAsync() => server.OkAsync<VmView>("POST", "vms/web/stop", new { force = true }, key: "hurry");
        var forced = ForceAsync();
        while (server.Cluster["h1"].Count("StopVmByForce") == 0) await Task.Yield();
        patience.SetResult();
        await forced;
        using (await asked) { }

        await server.OkAsync<VmView>("POST", "vms/web/start");
        await ForceAsync();
        Assert.Equal(1, server.Cluster["h1"].Count("StopVmByForce"));
        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("GET", "vms/web")).State);
    }

    [Fact]
    public async Task Only_one_server_at_a_time_uses_a_state_directory()
    {
        await using var server = await TwoHostsAsync();
        var refused = await Assert.ThrowsAsync<RefusedException>(server.StartAgainAsync);
        Assert.Equal("server-runs-already", refused.Reasons.Single().Code);
    }

    private async Task<ServerUnderTest> TwoHostsAsync(params string[] vms)
    {
        var server = await ServerUnderTest.StartAsync("h1", "h2");
        server.Cluster["h1"].Waits["Memory"] = _memory.Task;
        foreach (var vm in vms) await server.CreateVmAsync(vm, "h1");
        return server;
    }

    private static Task<Migration> MoveAsync(ServerUnderTest server, string vm) =>
        server.OkAsync<Migration>("POST", $"vms/{vm}/migrate", new { to = "h2" });

    private static async Task ReachedAsync(ServerUnderTest server, Migration move, Phase phase)
    {
        await foreach (var seen in server.WatchAsync(move.Id))
            if (seen.Phase >= phase) return;
    }

    private static (HostId, VmState) Where(VmView vm) => (vm.Owner, vm.State);
}
