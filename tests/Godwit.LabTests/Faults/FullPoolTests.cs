using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Client;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>
/// Storage that fails under a running guest: the file system its disk lies on has no room for what it writes (ENOSPC), or the device
/// below it takes no more writes (EIO: a loop device whose own file has no room).
/// </summary>
[Collection(FaultCollection.Name)]
public sealed class FullPoolTests(FaultLab lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const string Vm = "full1";

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [FaultFact]
    public Task A_guest_whose_pool_is_full_is_stopped_stays_where_it_is_and_goes_on_once_there_is_room() =>
        FaultFigures.CountAsync(() => FillAndFreeAsync(device: false));

    [FaultFact]
    public Task A_guest_whose_device_fails_is_stopped_stays_where_it_is_and_goes_on_once_it_works_again() =>
        FaultFigures.CountAsync(() => FillAndFreeAsync(device: true));

    private async Task FillAndFreeAsync(bool device)
    {
        var api = lab.Cluster.Api;
        var made = await api.CreateVmAsync(new CreateVmRequest(Vm)
        {
            Template = LabCluster.TemplateName, Host = "host1", MemoryBytes = 128L << 20, Start = false,
        }, default);
        var file = Path.Combine(lab.Cluster.Plan.SharedPool, made.Spec.Disks[0].File);
        var (small, below, loop) = await MountAsync(file, promised: device);
        try
        {
            await api.ActAsync(Vm, "start", null, default);
            var guest = LabCluster.AddressOf(made);
            await lab.Cluster.Guests.WaitUntilUpAsync(guest, FaultLab.WaitMax);
            var watch = await Continuity.BeginAsync(lab.Cluster, guest);
            await api.ActAsync(Vm, "pause", null, default);
            await api.MakeSnapshotAsync(Vm, new SnapshotRequest("before"), default); // What it writes from now on wants room.
            Fill(device ? below : small);
            await api.ActAsync(Vm, "resume", null, default);

            await FaultLab.UntilAsync("it is told to be stopped", async () =>
                await api.VmAsync(Vm, default) is { State: VmState.Paused, Trouble: not null });
            var move = await lab.EndOfAsync(await api.MigrateAsync(Vm, new MigrateRequest("host2"), default));
            output.WriteLine($"{move.End}: {move.Reason}");
            Assert.Equal((MoveEnd.RolledBack, "storage-failed"), (move.End, move.Refusals.Single().Code));
            var refused = await Assert.ThrowsAsync<ApiException>(() => api.ActAsync(Vm, "resume", null, default));
            Assert.Equal("storage-failed", refused.Error.Code);

            File.Delete(Path.Combine(device ? below : small, "filler"));
            await api.ActAsync(Vm, "resume", null, default);
            await FaultLab.UntilAsync("it runs", async () =>
                await api.VmAsync(Vm, default) is { State: VmState.Running, Trouble: null });
            Assert.Equal("host1", (await api.VmAsync(Vm, default)).Owner.Value);
            await watch.HoldsAsync();
        }
        finally
        {
            await InsideAsync("umount", "--lazy", file); // A file that is mounted upon cannot be deleted.
            await api.DeleteVmAsync(Vm, force: true, default);
            await InsideAsync("umount", "--lazy", small);
            await LabShell.RunAsync(["umount", "--lazy", small]);
            await LabShell.RunAsync(["losetup", "--detach", loop]);
            await LabShell.RunAsync(["umount", "--lazy", below]);
            Directory.Delete(small);
            Directory.Delete(below);
        }
    }

    /// <summary>
    /// The disk's file on a small file system of its own, laid over the pool's where the agent and its QEMUs are.
    /// </summary>
    /// <param name="promised">That file system has given it its blocks; only what is below has not.</param>
    private async Task<(string Directory, string Below, string Device)> MountAsync(string file, bool promised)
    {
        var small = Path.Combine(lab.Cluster.Plan.RunDirectory, "small");
        var below = $"{small}-below";
        Directory.CreateDirectory(small);
        Directory.CreateDirectory(below);
        await LabShell.RunAsync(["mount", "-t", "tmpfs", "-o", "size=80M", "tmpfs", below]);
        await LabShell.RunAsync(["truncate", "-s", "64M", $"{below}/ext4"]);
        await LabShell.RunAsync(["mkfs.ext4", "-q", "-O", "^has_journal", $"{below}/ext4"]);
        var device = (await LabShell.RunAsync(["losetup", "--find", "--show", $"{below}/ext4"])).Trim();
        await LabShell.RunAsync(["mount", device, small]);
        await LabShell.RunAsync(["cp", "-a", file, $"{small}/disk"]);
        if (promised) await LabShell.RunAsync(["fallocate", "--keep-size", "--length", "48M", $"{small}/disk"]);
        await LabShell.RunAsync(["sync", "--file-system", small]);
        await InsideAsync("mount", device, small);
        await InsideAsync("mount", "--bind", $"{small}/disk", file);
        return (small, below, device);
    }

    private Task<string> InsideAsync(params IReadOnlyList<string> command) => LabShell.RunAsync(
        ["nsenter", "-t", lab.AgentOf("host1").Pid.ToString(System.Globalization.CultureInfo.InvariantCulture), "-m", .. command]);

    private static void Fill(string directory)
    {
        using var filler = new FileStream(
            Path.Combine(directory, "filler"), FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        var block = new byte[4096];
        try
        {
            while (true) filler.Write(block);
        }
        catch (IOException) { } // Full.
    }
}
