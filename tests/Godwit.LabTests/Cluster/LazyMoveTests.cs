using System.Diagnostics;
using Godwit.Core.Migration;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>
/// A guest that runs at its target before its memory is there, on real QEMU and a real link. It checks the 24 MiB it writes by itself,
/// and its beats tell of every restart.
/// </summary>
[Collection(LabCollection.Name)]
public sealed class LazyMoveTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    /// <summary>What the issue of this way of moving asks for, whatever the guest's size; half as much again for a busy machine.</summary>
    private const double PauseMaxMs = 225;
    /// <summary>The 24 MiB that it writes all the while, and what was on the way or is its kernel's; it has 105.</summary>
    private const long FollowsMaxBytes = 72L << 20;
    /// <summary>Agents that have just started, of code that is compiled as it runs; how long it is otherwise is a bench's to say.</summary>
    private const double BusyPauseMaxMs = 1000;
    private readonly LazyGuest guest = new(lab);

    private string FailPointFile => Path.Combine(lab.Cluster.Plan.DataDirectory, "lazy-move-fail-points");

    public async Task InitializeAsync()
    {
        await lab.BeginTestAsync(output);
        await LazyGuest.AllowAsync();
    }

    public async Task DisposeAsync()
    {
        await LazyGuest.RestoreAsync();
        if (lab.Cluster is null) return;
        File.Delete(FailPointFile);
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 0, 0); // The next test's guest is idle.
    }

    [RealQemuFact]
    public async Task A_busy_guest_runs_at_its_target_before_its_memory_is_there()
    {
        var boot = await guest.LoadAsync(mebibytesPerSecond: 100);

        var clock = Stopwatch.StartNew();
        var move = await BeginAsync();
        var ended = await lab.FollowAsync(move);

        Assert.Equal((MoveEnd.Done, null), (ended.End, ended.Reason));
        output.WriteLine($"paused {ended.Receipt!.PauseMs:0} ms ({ended.Receipt.PauseParts}); all was there {clock.ElapsedMilliseconds} ms "
            + $"after it was asked for; its stream had {ended.Receipt.StreamBytes >> 10} KiB, "
            + $"{ended.Receipt.WireBytes >> 20} MiB in all");
        Assert.True(ended.Receipt.PauseMs < PauseMaxMs, $"paused {ended.Receipt.PauseMs} ms");
        await guest.GoesOnAsync(boot);
        await guest.MovesAsync();
        await guest.GoesOnAsync(boot);
    }

    /// <summary>It does not fit into 20 ms after a pass, and runs at its target then. What had come by then does not come again.</summary>
    [RealQemuFact]
    public async Task A_hybrid_move_brings_most_of_the_memory_before_the_guest_goes()
    {
        var boot = await guest.LoadAsync(mebibytesPerSecond: 100);

        var ended = await lab.FollowAsync(await lab.Cluster.Api.MigrateAsync(LabFixture.VmName,
            new MigrateRequest(await lab.OtherHostAsync(), MoveMode.Hybrid, MaxPauseMs: 20), default));

        Assert.Equal((MoveEnd.Done, MoveMode.Lazy, MoveMode.Hybrid), (ended.End, ended.Mode, ended.BeganAs));
        var followed = ended.Receipt!.WireBytes - ended.BytesBefore;
        output.WriteLine($"paused {ended.Receipt.PauseMs:0} ms ({ended.Receipt.PauseParts}); {ended.BytesBefore >> 20} MiB before it went, "
            + $"{followed >> 20} MiB after it, {ended.Receipt.TotalMs / 1000:0.0} s");
        Assert.True(ended.Receipt.PauseMs < BusyPauseMaxMs, $"paused {ended.Receipt.PauseMs} ms");
        Assert.True(followed < FollowsMaxBytes, $"{followed >> 20} MiB followed");
        await guest.GoesOnAsync(boot);
        await guest.MovesAsync();
        await guest.GoesOnAsync(boot);
    }

    [RealQemuTheory, InlineData(true), InlineData(false)]
    public async Task An_agent_that_is_killed_meanwhile_only_delays_the_rest(bool atSource)
    {
        var (source, target) = (await HostAsync(), await lab.OtherHostAsync());
        await File.WriteAllTextAsync(FailPointFile, "incoming.before-push=hold");
        await guest.RestartAgentAsync(target, $"GODWIT_FAILPOINTS=@{FailPointFile}");
        var boot = await guest.LoadAsync(mebibytesPerSecond: 20);
        var move = await BeginAsync();
        await UntilAtAsync(target);
        await guest.GoesOnAsync(boot); // On what it asks for, and nothing else.

        await guest.RestartAgentAsync(atSource ? source : target);
        File.Delete(FailPointFile);

        Assert.Equal(MoveEnd.Done, (await lab.FollowAsync(move)).End);
        await guest.GoesOnAsync(boot);
        await guest.RestartAgentAsync(target);
        await guest.MovesAsync();
        await guest.GoesOnAsync(boot);
    }

    /// <summary>A hybrid one before its first pass, too: it would be for nothing.</summary>
    [RealQemuTheory, InlineData(MoveMode.Lazy), InlineData(MoveMode.Hybrid)]
    public async Task A_host_that_does_not_let_qemu_wait_for_memory_refuses_and_nothing_is_touched(MoveMode mode)
    {
        var boot = await guest.LoadAsync(mebibytesPerSecond: 5);
        await LazyGuest.ForbidAsync();

        var ended = await lab.FollowAsync(await BeginAsync(mode));

        Assert.Equal(MoveEnd.RolledBack, ended.End);
        Assert.Equal("lazy-memory-not-allowed", Assert.Single(ended.Refusals).Code);
        await guest.GoesOnAsync(boot);
    }

    private async Task<Migration> BeginAsync(MoveMode mode = MoveMode.Lazy) => await lab.Cluster.Api.MigrateAsync(
        LabFixture.VmName, new MigrateRequest(await lab.OtherHostAsync(), mode), default);

    private async Task<string> HostAsync() => (await lab.VmAsync()).Owner.Value;

    private async Task UntilAtAsync(string host)
    {
        for (var clock = Stopwatch.StartNew(); await HostAsync() != host; await Task.Delay(50))
            Assert.True(clock.Elapsed < LazyGuest.ArrivalMax, $"it does not get to {host}");
    }
}
