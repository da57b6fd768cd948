using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Vms;
using Xunit;

namespace Godwit.LabTests.Machines;

/// <summary>
/// What a guest that broke out of its QEMU would find, as the kernel tells it: no right, no file but its own.
/// </summary>
[Collection("real host")]
public sealed class ConfinementTests
{
    private static readonly Epoch First = new(1);

    [RealQemuFact]
    public async Task A_running_qemu_sees_its_own_files_and_nothing_else_of_the_host()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var (spec, other) = (await host.VmAsync(), (await host.VmAsync("vm-0123456789ac")) with { Uid = LabHost.Uid });
        var (machines, life, _) = await host.AgentAsync();
        await life.StartAsync(other, First, default);
        await life.StartAsync(spec, First, default);

        var instance = machines.Get(spec.Id).Current!;
        AssertConfined(instance);
        var root = $"/proc/{instance.Process.Pid}/root";
        Assert.True(File.Exists(root + Path.Combine(host.Pool, spec.Disks[0].File)));
        foreach (var hidden in new[]
        {
            "/etc/shadow", "/etc/passwd", "/root", "/home", "/proc/1", "/sys/kernel", host.Layout.StateDirectory,
            Path.Combine(host.Pool, other.Disks[0].File), machines.Get(other.Id).Home.Run,
        })
            Assert.False(Path.Exists(root + hidden), $"{hidden} is to be seen");
        Assert.Equal(["net", "null", "random", "shm", "urandom", "zero"], // shm: this test's run directory lies there.
            Directory.EnumerateFileSystemEntries(root + "/dev").Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [RealQemuFact]
    public async Task The_target_of_a_move_is_confined_before_a_stream_can_reach_it()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (machines, _, _) = await host.AgentAsync();

        var target = await machines.LaunchIncomingAsync(spec, new Epoch(2), new(), default);

        Assert.False(File.Exists(target.IncomingSocket)); // Nobody has told it to listen yet.
        AssertConfined(target);
    }

    [RealQemuFact]
    public async Task A_disk_that_vanished_before_the_start_is_told_by_its_name()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (machines, _, _) = await host.AgentAsync();
        File.Delete(Path.Combine(host.Pool, spec.Disks[0].File));

        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            machines.LaunchIncomingAsync(spec, new Epoch(2), new(), default));

        Assert.Equal("qemu-start-failed", refused.Reasons[0].Code);
        Assert.Contains(spec.Disks[0].File, refused.Message, StringComparison.Ordinal);
        Assert.Empty(host.Disk.List(Path.Combine(host.Layout.RunDirectory, "vms")));
    }

    private static void AssertConfined(QemuInstance instance)
    {
        var process = $"/proc/{instance.Process.Pid}";
        var status = File.ReadLines($"{process}/status").Select(l => l.Split(":\t", 2)).Where(l => l.Length == 2)
            .ToDictionary(l => l[0], l => l[1].Trim());
        const string uid = "20001\t20001\t20001\t20001", nothing = "0000000000000000";
        Assert.Equal((uid, uid), (status["Uid"], status["Gid"]));
        Assert.Equal((nothing, nothing, nothing, nothing, nothing),
            (status["CapInh"], status["CapPrm"], status["CapEff"], status["CapBnd"], status["CapAmb"]));
        Assert.Equal(("1", "2", ""), (status["NoNewPrivs"], status["Seccomp"], status["Groups"]));
        Assert.Matches(@"Max core file size +1 +1 ", File.ReadAllText($"{process}/limits"));
        foreach (var space in new[] { "mnt", "ipc", "uts" })
            Assert.NotEqual(LinkOf($"/proc/self/ns/{space}"), LinkOf($"{process}/ns/{space}"));

        // What is mounted to be written to, beside devices: an empty root that is root's, its own directory, its disk.
        var writable = File.ReadLines($"{process}/mountinfo").Select(l => l.Split(' '))
            .Where(m => m[5].Split(',').Contains("rw") && m[^3] != "devtmpfs").Select(m => m[4]).ToList();
        Assert.Equal(["/", instance.Home.Run], writable.Take(2));
        Assert.EndsWith("-0.qcow2", Assert.Single(writable.Skip(2)), StringComparison.Ordinal);
    }

    private static string? LinkOf(string path) => new FileInfo(path).LinkTarget;
}
