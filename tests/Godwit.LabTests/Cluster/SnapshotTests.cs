using System.Text.Json;
using Godwit.Cli.Lab;
using Godwit.Client;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>Snapshots on real QEMU: the guest numbers what it writes, so its disk tells which moment it is of.</summary>
[Collection(LabCollection.Name)]
public sealed class SnapshotTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    public async Task InitializeAsync()
    {
        await lab.BeginTestAsync(output);
        if (lab.Cluster is null) return; // Skipped.
        foreach (var left in await lab.Cluster.Api.SnapshotsAsync(LabFixture.VmName, default))
            await lab.Cluster.Api.DeleteSnapshotAsync(LabFixture.VmName, left.Name, default);
    }

    public Task DisposeAsync() => Task.CompletedTask;

    [RealQemuFact]
    public async Task A_snapshot_of_a_running_guest_survives_a_move_and_takes_its_disk_back()
    {
        var (api, before) = (lab.Cluster.Api, await lab.Cluster.Guests.PingAsync(lab.Guest));
        var said = await LabShell.RunAsync(["env", $"GODWIT_SERVER={lab.Cluster.Plan.ServerSocket}",
            Path.Combine(AppContext.BaseDirectory, "godwit"), "vm", "snapshot", "create", LabFixture.VmName, "--name", "before"]);
        Assert.StartsWith($"Snapshot before of {LabFixture.VmName} is made, crash-consistent", said);
        var snapshot = Assert.Single(await api.SnapshotsAsync(LabFixture.VmName, default));
        Assert.True(snapshot is { Name: "before", IsWhole: true, IsCrashConsistent: true });

        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var move = await lab.MoveAsync(MoveMode.Live);
        Assert.True(move.End == MoveEnd.Done, $"{move.End}: {move.Reason}");
        await watch.HoldsAsync();
        Assert.Equal([snapshot.Tag], await InFileAsync());
        var after = await lab.Cluster.Guests.PingAsync(lab.Guest);
        Assert.True(after.Acked > before.Acked + 20, $"{before.Acked}, {after.Acked}");

        Assert.Equal("vm-running", (await Assert.ThrowsAsync<ApiException>(() =>
            api.RevertAsync(LabFixture.VmName, "before", default))).Error.Code);
        await api.ActAsync(LabFixture.VmName, "stop", new StopVmRequest(Force: true), default);
        Assert.Empty((await RingAsync()).MissingUpTo(after.BootId, after.Acked));
        await api.RevertAsync(LabFixture.VmName, "before", default);
        var ring = await RingAsync();
        Assert.Empty(ring.MissingUpTo(before.BootId, before.Acked));
        Assert.True(ring.SequencesByBoot[before.BootId].Max() < after.Acked, "what was written since the snapshot is gone");

        await api.ActAsync(LabFixture.VmName, "start", null, default);
        Assert.NotEqual(before.BootId, (await lab.Cluster.Guests.WaitUntilUpAsync(lab.Guest)).BootId);
        await api.DeleteSnapshotAsync(LabFixture.VmName, "before", default); // By its QEMU.
        Assert.Empty(await InFileAsync());
        Assert.Empty(await api.SnapshotsAsync(LabFixture.VmName, default));
    }

    [RealQemuFact]
    public async Task A_stopped_vm_has_its_snapshots_made_and_deleted_by_the_tool_and_its_disk_stays_whole()
    {
        var api = lab.Cluster.Api;
        await api.ActAsync(LabFixture.VmName, "stop", new StopVmRequest(Force: true), default);
        await api.MakeSnapshotAsync(LabFixture.VmName, new SnapshotRequest("a"), default);
        await api.MakeSnapshotAsync(LabFixture.VmName, new SnapshotRequest(), default);
        Assert.Equal(["snapshot-1", "a"], (await api.SnapshotsAsync(LabFixture.VmName, default)).Select(s => s.Name));
        Assert.All(await api.SnapshotsAsync(LabFixture.VmName, default), s => Assert.False(s.IsCrashConsistent));
        Assert.Equal(2, (await InFileAsync()).Count);
        await api.DeleteSnapshotAsync(LabFixture.VmName, "a", default);
        var move = await lab.MoveAsync(MoveMode.Cold);
        Assert.True(move.End == MoveEnd.Done, $"{move.End}: {move.Reason}");
        await api.DeleteSnapshotAsync(LabFixture.VmName, "snapshot-1", default);
        Assert.Empty(await InFileAsync());
        await LabShell.RunAsync(["qemu-img", "check", "-q", "-f", "qcow2", lab.Cluster.DiskOf(await lab.VmAsync())]);
        await api.ActAsync(LabFixture.VmName, "start", null, default);
        await lab.Cluster.Guests.WaitUntilUpAsync(lab.Guest);
    }

    private async Task<GuestRing> RingAsync() => await GuestDisk.ReadAsync(lab.Cluster.DiskOf(await lab.VmAsync()));

    /// <summary>Names of the snapshots in the disk's file, also while a QEMU has it open.</summary>
    private async Task<IReadOnlyList<string>> InFileAsync()
    {
        var info = await LabShell.RunAsync(
            ["qemu-img", "info", "-U", "--output=json", "-f", "qcow2", lab.Cluster.DiskOf(await lab.VmAsync())]);
        return JsonDocument.Parse(info).RootElement.TryGetProperty("snapshots", out var snapshots)
            ? [.. snapshots.EnumerateArray().Select(s => s.GetProperty("name").GetString()!)] : [];
    }
}
