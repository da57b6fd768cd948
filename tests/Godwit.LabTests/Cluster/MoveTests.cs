using System.Diagnostics;
using System.Globalization;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

[Collection(LabCollection.Name)]
public sealed class MoveTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [RealQemuFact]
    public async Task Migrate_on_the_command_line_moves_a_running_guest_and_it_does_not_notice()
    {
        var target = await lab.OtherHostAsync();
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 64, 10);
        var watch = await Continuity.BeginAsync(lab, lab.Guest);

        var (exitCode, json, error) = await lab.GodwitAsync("vm", "migrate", LabFixture.VmName, "--to", target);

        output.WriteLine($"{json} {error}");
        Assert.Equal(0, exitCode);
        Assert.Equal(target, (await lab.VmAsync()).Owner.Value);
        var heard = await watch.HoldsAsync();
        output.WriteLine($"client-seen pause {heard.GapMs} ms");
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 0, 0);
    }

    /// <summary>Where the kernel has none for shared memory, there are none; no more can be asked of it.</summary>
    [RealQemuFact]
    public async Task A_guest_that_moved_has_its_memory_in_huge_pages()
    {
        AssertDone(await lab.MoveAsync(MoveMode.Live));

        var monitor = $"/vms/{(await lab.VmAsync()).Spec.Id}/qmp-";
        var qemus = Qemus();
        for (var tries = 0; qemus.Count > 1 && tries < 100; tries++, qemus = Qemus()) await Task.Delay(100); // The one it left ends.
        var qemu = Assert.Single(qemus);
        var hugeKib = File.ReadLines($"/proc/{qemu.Id}/smaps").SkipWhile(line => !line.Contains("/ram-", StringComparison.Ordinal))
            .First(line => line.StartsWith("ShmemPmdMapped:", StringComparison.Ordinal))
            .Split(' ', StringSplitOptions.RemoveEmptyEntries)[1];
        output.WriteLine($"{hugeKib} KiB in huge pages");
        const string ofKernel = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"; // "never" is of memory without a mount.
        var hasThem = File.Exists(ofKernel) && !File.ReadAllText(ofKernel).Contains("[deny]", StringComparison.Ordinal);
        // Nearly all of it, but where the machine's memory is in pieces.
        Assert.InRange(int.Parse(hugeKib, CultureInfo.InvariantCulture), hasThem ? 128 << 10 : 0, hasThem ? 256 << 10 : 0);

        List<Process> Qemus() => [.. Process.GetProcesses().Where(process => CommandLine(process.Id) is var words
            && words.Contains(monitor, StringComparison.Ordinal) && words.Contains("qemu-system", StringComparison.Ordinal))];

        static string CommandLine(int pid)
        {
            try { return File.ReadAllText($"/proc/{pid}/cmdline"); }
            catch (IOException) { return ""; } // Ended meanwhile.
        }
    }

    [RealQemuFact]
    public async Task A_quick_move_keeps_the_guest_and_sends_no_page_twice()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);

        var move = await lab.MoveAsync(MoveMode.Quick);

        AssertDone(move);
        await watch.HoldsAsync();
        const long ramPages = 256L << 8, firmwarePagesMax = 512;
        Assert.InRange(move.Receipt!.NormalPages + move.Receipt.ZeroPages, ramPages, ramPages + firmwarePagesMax);
    }

    [RealQemuFact]
    public async Task A_refresh_gives_the_guest_a_new_process_and_it_does_not_notice()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var host = (await lab.VmAsync()).Owner;

        var move = await lab.FollowAsync(
            await lab.Cluster.Api.RefreshAsync(LabFixture.VmName, new RefreshRequest(), default));

        AssertDone(move);
        await watch.HoldsAsync();
        Assert.Equal(host, (await lab.VmAsync()).Owner);
    }

    [RealQemuFact]
    public async Task A_cold_move_stops_the_guest_here_and_boots_it_there()
    {
        var target = await lab.OtherHostAsync();
        var watch = await Continuity.BeginAsync(lab, lab.Guest);

        var move = await lab.MoveAsync(MoveMode.Cold);

        AssertDone(move);
        await watch.BrokeOnceAsync();
        Assert.Equal((target, VmState.Running), ((await lab.VmAsync()).Owner.Value, (await lab.VmAsync()).State));
    }

    [RealQemuFact]
    public async Task Twenty_moves_there_and_back_lose_no_beat_and_no_write()
    {
        const string name = "traveller";
        var guest = await lab.StartVmAsync(name, "host1");
        await lab.Cluster.Guests.LoadAsync(guest, 32, 10);
        for (var round = 0; round < 20; round++)
        {
            var watch = await Continuity.BeginAsync(lab, guest);
            var move = await lab.MoveAsync(MoveMode.Live, name: name);
            AssertDone(move);
            try
            {
                var heard = await watch.HoldsAsync();
                output.WriteLine($"{move.Source} to {move.Target}: client-seen pause {heard.GapMs} ms");
            }
            catch
            {
                output.WriteLine(await lab.ConsolesOfAsync(name));
                throw;
            }
        }

        await Continuity.NoWriteIsLostAsync(lab, name, guest);
        await lab.Cluster.Api.DeleteVmAsync(name, force: false, default);
    }

    private void AssertDone(Migration move)
    {
        output.WriteLine($"{move.Mode}: {move.End} {move.Reason} {move.Receipt} {string.Join("; ", move.Refusals)}");
        Assert.Equal(MoveEnd.Done, move.End);
    }
}
