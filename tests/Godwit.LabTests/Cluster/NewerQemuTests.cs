using Godwit.Core.Migration;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>Moves between QEMU versions: the machine's own, and the one of Debian's next release beside it.</summary>
[Collection(LabCollection.Name)]
public sealed class NewerQemuTests(LabFixture lab, ITestOutputHelper output)
{
    [NewerQemuFact]
    public async Task A_refresh_takes_a_guest_to_a_newer_qemu_and_a_live_move_takes_it_back()
    {
        var newer = lab.Cluster.NewerQemu!;
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 16, 5);
        var watch = await Continuity.BeginAsync(lab, lab.Guest);

        var refreshed = await lab.FollowAsync(await lab.Cluster.Api.RefreshAsync(
            LabFixture.VmName, new RefreshRequest(QemuPath: newer), default));
        output.WriteLine($"refresh: {refreshed.End} {refreshed.Reason} {refreshed.Receipt}");
        Assert.Equal(MoveEnd.Done, refreshed.End);
        Assert.Contains(newer, await QemuOfAsync(), StringComparison.Ordinal);

        // The host it comes to starts its first QEMU, which is the older one.
        var moved = await lab.MoveAsync(MoveMode.Live);
        output.WriteLine($"live: {moved.End} {moved.Reason} {moved.Receipt}");
        Assert.Equal(MoveEnd.Done, moved.End);
        Assert.DoesNotContain(newer, await QemuOfAsync(), StringComparison.Ordinal);

        await watch.HoldsAsync();
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 0, 0);
    }

    /// <summary>Command line of the VM's one running QEMU, as the kernel has it.</summary>
    private async Task<string> QemuOfAsync()
    {
        var uuid = (await lab.VmAsync()).Spec.Uuid;
        var lines = Directory.EnumerateDirectories("/proc").Where(d => int.TryParse(Path.GetFileName(d), out _))
            .Select(CommandLine).Where(l => l.Contains(uuid, StringComparison.Ordinal)).ToList();
        return Assert.Single(lines);
    }

    private static string CommandLine(string process)
    {
        try { return File.ReadAllText(Path.Combine(process, "cmdline")).Replace('\0', ' '); }
        catch (IOException) { return ""; } // Ended between the listing and the look.
    }
}
