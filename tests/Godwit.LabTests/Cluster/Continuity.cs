using Godwit.Cli.Lab;
using Xunit;

namespace Godwit.LabTests.Cluster;

/// <summary>What the guest and the prober can prove together about the time between two moments.</summary>
internal sealed class Continuity
{
    private static readonly TimeSpan FirstBeatMax = TimeSpan.FromSeconds(10);
    private static int count;
    private readonly LabCluster _cluster;
    private readonly string _guest;
    private readonly string _mark = $"continuity-{Interlocked.Increment(ref count)}";
    private readonly GuestStatus _before;

    private Continuity(LabCluster cluster, string guest, GuestStatus before) => (_cluster, _guest, _before) = (cluster, guest, before);

    public static Task<Continuity> BeginAsync(LabFixture lab, string guest) => BeginAsync(lab.Cluster, guest);

    public static async Task<Continuity> BeginAsync(LabCluster cluster, string guest)
    {
        var watch = new Continuity(cluster, guest, await cluster.Guests.PingAsync(guest));
        await cluster.Prober.MarkAsync(watch._mark);
        return watch;
    }

    /// <summary>
    /// The same boot, a counter that only grew and had no twin, no beat lost, memory and writes without error, and the
    /// guest answers now. Returns what the prober heard.
    /// </summary>
    public async Task<GuestTally> HoldsAsync()
    {
        var (after, heard) = await EndAsync();
        Assert.Equal(_before.BootId, after.BootId);
        Assert.Equal([_before.BootId], heard.BootIds);
        Assert.True(after.Counter > _before.Counter, $"the counter went from {_before.Counter} to {after.Counter}");
        Assert.True(after.Acked >= _before.Acked, $"acknowledged writes went from {_before.Acked} to {after.Acked}");
        Assert.Equal((0, 0, 0), (heard.Lost, heard.Duplicates, heard.Past));
        Assert.Equal((0, 0), (after.MemoryErrors, after.WriteErrors));
        return heard;
    }

    /// <summary>A restart that was meant: exactly one new boot, and never two guests at once.</summary>
    public async Task<GuestTally> BrokeOnceAsync()
    {
        await UntilNewBootIsHeardAsync();
        var (after, heard) = await EndAsync();
        Assert.NotEqual(_before.BootId, after.BootId);
        Assert.Equal([_before.BootId, after.BootId], heard.BootIds);
        Assert.Equal((0, 0), (heard.Duplicates, heard.Past));
        return heard;
    }

    /// <summary>A guest that boots answers a moment before it sends its first beat.</summary>
    private async Task UntilNewBootIsHeardAsync()
    {
        var after = await _cluster.Guests.WaitUntilUpAsync(_guest);
        for (var deadline = DateTime.UtcNow + FirstBeatMax; DateTime.UtcNow < deadline; await Task.Delay(50))
            if ((await _cluster.Prober.ReportAsync(_mark)).Of(_guest).BootIds.Contains(after.BootId)) return;
    }

    private async Task<(GuestStatus After, GuestTally Heard)> EndAsync()
    {
        var after = await _cluster.Guests.WaitUntilUpAsync(_guest);
        var report = await _cluster.Prober.ReportAsync(_mark);
        await _cluster.Prober.ForgetAsync(_mark);
        Assert.Equal(0, report.ProberDrops);
        return (after, report.Of(_guest));
    }

    /// <summary>
    /// Stops the VM from inside, reads its disk, and finds every write that the guest was told is safe.
    /// </summary>
    public static async Task NoWriteIsLostAsync(LabFixture lab, string name, string guest)
    {
        await lab.Cluster.Prober.MarkAsync("last-writes");
        var status = await lab.Cluster.Guests.EndAsync(guest, "poweroff");
        await lab.WaitForStateAsync(Core.Vms.VmState.Stopped, name);
        var heard = (await lab.Cluster.Prober.ReportAsync("last-writes")).Of(guest);

        var ring = await GuestDisk.ReadAsync(lab.Cluster.DiskOf(await lab.VmAsync(name)));
        Assert.Empty(ring.MissingUpTo(status.BootId, Math.Max(status.Acked, heard.AckedLast)));
    }
}
