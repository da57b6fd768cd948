using System.Text;
using Godwit.Agent.Machines;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Machines;
using Xunit;

namespace Godwit.Tests.Agent;

/// <summary>A disk that hangs: who waits is told in time, and what lies there afterwards is in the order it was asked for.</summary>
public sealed class WatchedDiskTests
{
    private const string File = "/var/lib/godwit/record";

    [Fact]
    public void What_hung_comes_to_the_disk_and_what_was_given_up_before_its_turn_never_does() => World.Run(seed: 221, async world =>
    {
        var (real, disk) = Disks(world);
        real.Hangs = true;
        var (first, second) = (WriteAsync(disk, "first"), WriteAsync(disk, "second"));
        await Assert.ThrowsAsync<IOException>(() => first);
        await Assert.ThrowsAsync<IOException>(() => second);
        Assert.True(disk.SilentFor >= WatchedDisk.AnswerMax);
        await world.SleepAsync(1);
        await Assert.ThrowsAsync<IOException>(() => WriteAsync(disk, "third")); // At once, and not handed over.

        real.Hangs = false;
        await world.SleepAsync(1);
        Assert.Null(disk.SilentFor);
        Assert.Equal("first", Look(real));
        await WriteAsync(disk, "fourth");
        Assert.Equal("fourth", Look(real));
    });

    [Fact]
    public void A_disk_that_answers_in_time_delays_and_nothing_else() => World.Run(seed: 222, async world =>
    {
        var (real, disk) = Disks(world);
        real.Hangs = true;
        var (first, second) = (WriteAsync(disk, "first"), WriteAsync(disk, "second"));
        await world.SleepAsync(5);
        Assert.True(disk.SilentFor > WatchedDisk.ToldAfter);
        real.Hangs = false;
        await first;
        await second;
        Assert.Equal("second", Look(real));
    });

    [Fact]
    public void What_lies_elsewhere_is_not_watched() => World.Run(seed: 223, async world =>
    {
        var (real, disk) = Disks(world);
        real.CreateDirectory("/srv");
        real.Hangs = true;
        _ = disk.WriteDurablyAsync("/srv/other", Encoding.ASCII.GetBytes("x"), default);
        await world.SleepAsync(20);
        Assert.Null(disk.SilentFor);
    });

    private static (SimDisk Real, WatchedDisk Watched) Disks(World world)
    {
        var host = world.Agents["host1"].Host;
        return (host.Disk, new WatchedDisk(host.Disk, "/var/lib/godwit", host.Clock));
    }

    private static Task WriteAsync(WatchedDisk disk, string text) => disk.WriteDurablyAsync(File, Encoding.ASCII.GetBytes(text), default);

    private static string Look(SimDisk disk) => Encoding.ASCII.GetString(disk.Look(File)!);
}
