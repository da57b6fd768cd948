using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Moves;

public sealed class TwoAgentsTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(MoveMode.Live)]
    [InlineData(MoveMode.Quick)]
    public async Task A_running_vm_moves_and_only_the_target_has_it(MoveMode mode)
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();

        var (source, target) = await two.MoveAsync(vm, mode);

        output.WriteLine($"{source.Standing} {source.Reason} {source.Receipt}");
        output.WriteLine($"{target.Standing} {target.Reason}");
        Assert.Equal(MoveStanding.SourceReleased, source.Standing);
        Assert.Equal(MoveStanding.TargetRuns, target.Standing);
        Assert.Equal(VmState.Running, await TwoAgents.StateAsync(two.Target, vm.Id));
        Assert.Equal(VmState.Unknown, await TwoAgents.StateAsync(two.Source, vm.Id));
        Assert.True(source.Receipt!.PauseMs > 0);
        // 64 MiB of guest memory and less than 2 MiB of firmware and ROMs: no page crosses twice.
        if (mode == MoveMode.Quick) Assert.InRange(source.Receipt.NormalPages + source.Receipt.ZeroPages, 16_384, 16_384 + 512);
    }

    [Fact]
    public async Task A_paused_vm_stays_paused_through_a_move()
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();
        await two.Source.PauseVmAsync(vm.Id, new Epoch(1), default);

        var ready = await two.MoveAsync(vm, MoveMode.Live, stayPaused: true);

        Assert.Equal(MoveStanding.TargetRuns, ready.Target.Standing);
        Assert.Equal(VmState.Paused, await TwoAgents.StateAsync(two.Target, vm.Id));
    }

    [Fact]
    public async Task A_move_cancelled_during_memory_leaves_the_guest_running_at_home()
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();
        var move = await two.BeginAsync(vm, MoveMode.Live, new MoveLimits(BandwidthBytesPerSecond: 50_000));

        var source = await two.Source.CancelMoveAsync(move, default);

        Assert.Equal(MoveStanding.SourceKept, source.Standing);
        await two.RestAsync(move);
        Assert.Equal(MoveStanding.TargetAborted, (await two.Target.QueryMoveAsync(move, default)).Standing);
        Assert.Equal(VmState.Running, await TwoAgents.StateAsync(two.Source, vm.Id));
    }

    [Fact]
    public async Task A_candidate_taken_back_by_the_server_leaves_the_guest_at_home()
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();
        var move = await two.BeginAsync(vm, MoveMode.Live, new MoveLimits(BandwidthBytesPerSecond: 50_000));

        var target = await two.Target.AbandonIncomingAsync(move, false, default);

        Assert.Equal(MoveStanding.TargetAborted, target.Standing);
        await two.RestAsync(move);
        Assert.Equal(MoveStanding.SourceKept, (await two.Source.QueryMoveAsync(move, default)).Standing);
        Assert.Equal(VmState.Running, await TwoAgents.StateAsync(two.Source, vm.Id));
    }

    [Theory]
    [InlineData("outgoing.before-token=throw", null)] // QEMU is in postmigrate by then: only cont brings the guest back.
    [InlineData(null, "incoming.before-intent=throw")]
    public async Task Trouble_before_the_target_may_run_brings_the_guest_back(string? atSource, string? atTarget)
    {
        await using var two = await TwoAgents.StartAsync(atSource, atTarget);
        var vm = await two.StartVmAsync();

        var (source, target) = await two.MoveAsync(vm, MoveMode.Live);

        Assert.Equal(MoveStanding.TargetAborted, target.Standing);
        Assert.Equal(MoveStanding.SourceKept, source.Standing);
        Assert.Equal(VmState.Running, await TwoAgents.StateAsync(two.Source, vm.Id));
    }

    [Fact]
    public async Task Trouble_after_the_intent_goes_forward()
    {
        await using var two = await TwoAgents.StartAsync(null, "incoming.after-intent=throw");
        var vm = await two.StartVmAsync();

        var (source, target) = await two.MoveAsync(vm, MoveMode.Live);

        Assert.Equal(MoveStanding.TargetRuns, target.Standing);
        Assert.Equal(MoveStanding.SourceDoubt, source.Standing); // Its link broke: it waits for proof, and does not run.
        Assert.Equal(MoveStanding.SourceReleased,
            (await two.Source.SettleOutgoingAsync(source.Move, TargetProof.Runs, default)).Standing);
        Assert.Equal(VmState.Running, await TwoAgents.StateAsync(two.Target, vm.Id));
    }

    [Fact]
    public async Task A_source_in_doubt_never_runs_and_is_settled_by_the_targets_proof_alone()
    {
        await using var two = await TwoAgents.StartAsync("outgoing.after-token=throw");
        var vm = await two.StartVmAsync();

        var (source, target) = await two.MoveAsync(vm, MoveMode.Live);

        Assert.Equal(MoveStanding.SourceDoubt, source.Standing);
        Assert.Equal(VmState.Unknown, await TwoAgents.StateAsync(two.Source, vm.Id));
        Assert.Equal(MoveStanding.SourceDoubt, (await two.Source.CancelMoveAsync(source.Move, default)).Standing);
        // The dying link may have swallowed the token: then the target never ran, and that is proof too.
        var runsThere = target.Standing == MoveStanding.TargetRuns;
        Assert.True(runsThere || target.Standing == MoveStanding.TargetAborted, $"{target.Standing}");
        await two.Source.SettleOutgoingAsync(source.Move, runsThere ? TargetProof.Runs : TargetProof.Aborted, default);
        Assert.Equal(runsThere ? VmState.Unknown : VmState.Running, await TwoAgents.StateAsync(two.Source, vm.Id));
        Assert.Equal(runsThere ? VmState.Running : VmState.Unknown, await TwoAgents.StateAsync(two.Target, vm.Id));
    }

    [Fact]
    public async Task A_refresh_keeps_the_guest_running_in_a_new_process()
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();
        var before = (await two.Source.ListVmsAsync(default)).Single();

        var move = new MoveId("mv-00000000000a");
        await two.Source.StartRefreshAsync(
            new RefreshOrder(move, vm.Id, new Epoch(1), new MoveLimits(), new RefreshWish(null, "0")), default);
        await two.RestAsync(move);

        var status = await two.Source.QueryMoveAsync(move, default);
        output.WriteLine($"{status.Standing} {status.Reason} {status.Receipt}");
        Assert.Equal(MoveStanding.SourceReleased, status.Standing);
        var after = (await two.Source.ListVmsAsync(default)).Single();
        Assert.NotEqual(before.QemuPid, after.QemuPid);
        Assert.Equal((VmState.Running, new Epoch(2)), (after.State, after.Epoch));
        Assert.True(status.Receipt!.WireBytes < 4 << 20, "memory must not cross");
    }

    [Fact]
    public async Task A_saved_vm_comes_back_on_the_other_host_and_its_file_goes_only_then()
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();

        var saved = await two.Source.SaveVmAsync(vm.Id, new Epoch(1), default);

        Assert.Equal(VmState.Saved, await TwoAgents.StateAsync(two.Source, vm.Id));
        Assert.True(File.Exists(two.InPool(saved.File)));
        await two.Target.StartVmAsync(new StartVm(vm, new Epoch(2), saved.File), default);
        Assert.Equal(VmState.Running, await TwoAgents.StateAsync(two.Target, vm.Id));
        Assert.False(File.Exists(two.InPool(saved.File)));
    }

    [Fact]
    public async Task A_saved_state_with_one_wrong_byte_is_refused_and_kept()
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();
        var saved = await two.Source.SaveVmAsync(vm.Id, new Epoch(1), default);
        using (var file = File.Open(two.InPool(saved.File), FileMode.Open))
        {
            file.Position = file.Length / 2;
            var one = (byte)file.ReadByte();
            file.Position--;
            file.WriteByte((byte)~one);
        }

        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            two.Target.StartVmAsync(new StartVm(vm, new Epoch(2), saved.File), default));

        Assert.Equal("saved-state-broken", refused.Reasons.Single().Code);
        Assert.True(File.Exists(two.InPool(saved.File)));
    }
}
