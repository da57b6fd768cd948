using Godwit.Simulator.Machines;
using Xunit;
using static Godwit.Tests.Simulation.SimNetworkTests;

namespace Godwit.Tests.Simulation;

public sealed class SimDiskTests
{
    private const string File = "/var/lib/x/record";

    [Fact]
    public void What_was_written_durably_survives_a_power_cut() => Two(1, async (_, a, _) =>
    {
        await WriteAsync(a, 1);
        a.Host.PowerOff();
        a.Host.PowerOn();
        Assert.Equal([1], await ReadAsync(a));
    });

    [Fact]
    public void A_power_cut_in_a_write_leaves_the_old_or_the_new_never_a_mixture()
    {
        var seen = new HashSet<byte>();
        for (ulong seed = 0; seed < 20; seed++) Two(seed, async (_, a, _) =>
        {
            await WriteAsync(a, 1);
            _ = WriteAsync(a, 2);
            a.Host.PowerOff();
            a.Host.PowerOn();
            seen.Add(Assert.Single((await ReadAsync(a))!));
        });
        Assert.Equal(new HashSet<byte> { 1, 2 }, seen);
    }

    [Fact]
    public void A_deletion_may_come_back_after_a_power_cut_but_not_after_its_directory_was_synced()
    {
        var cameBack = 0;
        for (ulong seed = 0; seed < 20; seed++) Two(seed, async (_, a, _) =>
        {
            await WriteAsync(a, 1);
            a.Host.Disk.DeleteFile(File);
            Assert.Null(await ReadAsync(a));
            a.Host.PowerOff();
            a.Host.PowerOn();
            if (await ReadAsync(a) is not null) cameBack++;

            a.Host.Disk.DeleteFile(File);
            await a.Host.Disk.WriteDurablyAsync("/var/lib/x/other", new byte[] { 3 }, default);
            a.Host.PowerOff();
            a.Host.PowerOn();
            Assert.Null(await ReadAsync(a));
        });
        Assert.InRange(cameBack, 1, 19);
    }

    [Fact]
    public void Tmpfs_is_empty_after_a_power_cut() => Two(1, async (_, a, _) =>
    {
        a.Host.Disk.CreateDirectory("/run/x");
        await a.Host.Disk.WriteDurablyAsync("/run/x/f", new byte[] { 1 }, default);
        a.Host.PowerOff();
        a.Host.PowerOn();
        Assert.Empty(a.Host.Disk.List("/run"));
    });

    [Fact]
    public void A_full_or_failing_disk_takes_nothing() => Two(1, async (_, a, _) =>
    {
        await WriteAsync(a, 1);
        a.Host.Disk.IsFull = true;
        await Assert.ThrowsAsync<IOException>(() => WriteAsync(a, 2));
        a.Host.Disk.IsFull = false;
        a.Host.Disk.FailingWrites = 1;
        await Assert.ThrowsAsync<IOException>(() => WriteAsync(a, 3));
        a.Host.PowerOff();
        a.Host.PowerOn();
        Assert.Equal([1], await ReadAsync(a));
    });

    [Fact]
    public void Listing_shows_names_in_order_and_only_of_that_directory() => Two(1, async (_, a, _) =>
    {
        await WriteAsync(a, 1);
        a.Host.Disk.CreateDirectory("/var/lib/x/b/deep");
        await a.Host.Disk.WriteDurablyAsync("/var/lib/x/b/deep/f", new byte[] { 1 }, default);
        Assert.Equal(["b", "record"], a.Host.Disk.List("/var/lib/x"));
        Assert.Empty(a.Host.Disk.List("/nowhere"));
    });

    private static Task WriteAsync(SimProcess a, byte content)
    {
        a.Host.Disk.CreateDirectory("/var/lib/x");
        return a.Host.Disk.WriteDurablyAsync(File, new[] { content }, default);
    }

    private static Task<byte[]?> ReadAsync(SimProcess a) => a.Host.Disk.ReadAsync(File, 100, default);
}
