using Godwit.Cli.Api;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>What guests and people do while a move goes on, and what is refused before one begins.</summary>
[Collection(LabCollection.Name)]
public sealed class LifeDuringMoveTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const long SlowBytesPerSecond = 4 << 20;
    private static readonly TimeSpan WaitMax = TimeSpan.FromMinutes(1);

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [RealQemuFact]
    public async Task A_guest_that_reboots_during_a_move_arrives()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var move = await BeginSlowlyAsync();

        await lab.Cluster.Guests.EndAsync(lab.Guest, "reboot");
        move = await lab.FollowAsync(move);

        Assert.Equal(MoveEnd.Done, move.End);
        await watch.BrokeOnceAsync();
    }

    [RealQemuFact]
    public async Task A_guest_that_powers_itself_off_ends_the_move_and_is_stopped_at_home()
    {
        var home = (await lab.VmAsync()).Owner;
        var move = await BeginSlowlyAsync();

        await lab.Cluster.Guests.EndAsync(lab.Guest, "poweroff");
        move = await lab.FollowAsync(move);

        Assert.Equal(MoveEnd.RolledBack, move.End);
        Assert.Contains("vm-stopped", move.Reason, StringComparison.Ordinal);
        await lab.WaitForStateAsync(VmState.Stopped);
        Assert.Equal(home, (await lab.VmAsync()).Owner);
        await lab.Cluster.Api.ActAsync(LabFixture.VmName, "start", null, default);
        await lab.Cluster.Guests.WaitUntilUpAsync(lab.Guest);
    }

    [RealQemuFact]
    public async Task A_cancel_while_memory_crosses_leaves_the_guest_at_home_unnoticed()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var home = (await lab.VmAsync()).Owner;
        var move = await BeginSlowlyAsync();

        await lab.Cluster.Api.CancelMoveAsync(move.Id.Value, default);
        move = await lab.FollowAsync(move);

        Assert.Equal(MoveEnd.Cancelled, move.End);
        Assert.Equal(home, (await lab.VmAsync()).Owner);
        await watch.HoldsAsync();
    }

    [RealQemuFact]
    public async Task A_second_move_of_a_vm_that_moves_is_refused_and_names_the_first()
    {
        var move = await BeginSlowlyAsync();

        var refused = await Assert.ThrowsAsync<ApiException>(async () => await lab.Cluster.Api.MigrateAsync(
            LabFixture.VmName, new MigrateRequest(await lab.OtherHostAsync()), default));

        Assert.Contains(move.Id.Value, refused.Message + refused.Error, StringComparison.Ordinal);
        await lab.Cluster.Api.CancelMoveAsync(move.Id.Value, default);
        await lab.FollowAsync(move);
    }

    [RealQemuFact]
    public async Task A_move_to_where_it_is_is_refused_before_anything_happens()
    {
        var plan = await lab.Cluster.Api.PlanAsync(
            LabFixture.VmName, new MigrateRequest((await lab.VmAsync()).Owner.Value), default);
        Assert.Contains("same-host", plan.Reasons.Select(r => r.Code));
        Assert.All(plan.Reasons, r => Assert.NotEmpty(r.Fix));
    }

    [RealQemuFact]
    public async Task A_saved_vm_is_brought_back_on_the_other_host_where_it_left_off()
    {
        var before = await lab.Cluster.Guests.PingAsync(lab.Guest);
        var target = await lab.OtherHostAsync();

        await lab.Cluster.Api.ActAsync(LabFixture.VmName, "save", null, default);
        Assert.Equal(VmState.Saved, (await lab.VmAsync()).State);
        await lab.Cluster.Api.ActAsync(LabFixture.VmName, "resume", new ResumeVmRequest(target), default);

        var after = await lab.Cluster.Guests.WaitUntilUpAsync(lab.Guest);
        Assert.Equal(before.BootId, after.BootId);
        Assert.True(after.Counter > before.Counter);
        Assert.Equal((target, VmState.Running), ((await lab.VmAsync()).Owner.Value, (await lab.VmAsync()).State));
    }

    [RealQemuFact]
    public async Task A_vm_on_a_local_pool_is_refused_clearly()
    {
        const string name = "homebody";
        await lab.Cluster.Api.CreateVmAsync(new CreateVmRequest(name)
        {
            DiskBytes = 16 << 20, Pool = Godwit.Cli.Lab.LabCluster.LocalPoolName, Host = "host1", MemoryBytes = 64 << 20,
            Start = true,
        }, default);

        var plan = await lab.Cluster.Api.PlanAsync(name, new MigrateRequest("host2"), default);

        Assert.NotEmpty(plan.Reasons);
        Assert.Contains(plan.Reasons, r => (r.Cause + r.Fix).Contains("local", StringComparison.Ordinal));
        await lab.Cluster.Api.DeleteVmAsync(name, force: true, default);
    }

    /// <summary>A move held in its memory phase by a low bandwidth.</summary>
    private async Task<Migration> BeginSlowlyAsync()
    {
        var move = await lab.Cluster.Api.MigrateAsync(LabFixture.VmName,
            new MigrateRequest(await lab.OtherHostAsync()) { BandwidthBytesPerSecond = SlowBytesPerSecond }, default);
        using var tooLong = new CancellationTokenSource(WaitMax);
        await foreach (var now in lab.Cluster.Api.WatchMoveAsync(move.Id, tooLong.Token))
        {
            Assert.Null(now.End);
            if (now is { Phase: Phase.Memory, Progress.SentBytes: > 0 }) return now;
        }
        throw new InvalidOperationException("the move was never seen in its memory phase");
    }
}
