using System.Collections.Concurrent;
using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Saved;

/// <summary>
/// Quick move, first half, to a file: pause, write memory and devices once, sync, and only then end the QEMU. Until
/// the file has its final name the guest can still go on here, and does when anything fails.
/// </summary>
internal sealed class SaveVm(MoveTools tools, IDisk disk, HostLayout layout)
{
    private static readonly TimeSpan AcceptMax = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<VmId, Task<SavedVm>> underWay = new();

    /// <summary>
    /// The order may come again while it is carried out, from a server that has just begun and does not know how far it came: one
    /// save writes, and both hear how it ended.
    /// </summary>
    public async Task<SavedVm> RunAsync(
        Machine vm, Epoch epoch, Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, CancellationToken cancel)
    {
        while (true)
        {
            var mine = new TaskCompletionSource<SavedVm>(TaskCreationOptions.RunContinuationsAsynchronously);
            var first = underWay.GetOrAdd(vm.Id, mine.Task);
            if (first != mine.Task)
            {
                try { return await first.Joinable().WaitAsync(cancel); }
                catch (Exception) when (!cancel.IsCancellationRequested) { continue; } // Its caller may have left: now it is our turn.
            }
            try
            {
                var saved = await SaveAsync(vm, epoch, listDevices, cancel);
                underWay.TryRemove(vm.Id, out _); // Before anybody hears of its end: who waited may begin the next.
                mine.SetResult(saved);
                return saved;
            }
            catch (Exception failed)
            {
                underWay.TryRemove(vm.Id, out _);
                mine.SetException(failed);
                _ = mine.Task.Exception; // Seen: most have no second caller.
                throw;
            }
        }
    }

    private async Task<SavedVm> SaveAsync(
        Machine vm, Epoch epoch, Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, CancellationToken cancel)
    {
        if (vm.Epoch != epoch) throw HostMachines.Stale(vm, epoch);
        tools.Machines.HoldForSave(vm);
        try
        {
            var (name, path) = FileOf(vm, layout);
            if (vm.Record is { IsOwner: true, Wanted: VmState.Saved }) // The answer was lost.
                return await FinishAsync(vm, name, path, 0, cancel);
            var qemu = vm.Current ?? throw new RefusedException("vm-not-running", $"{vm.Spec.Name} is not running", "start it first");
            return await WriteAsync(vm, qemu, name, path, listDevices, cancel);
        }
        finally { await tools.Machines.ReleaseFromSaveAsync(vm); }
    }

    private async Task<SavedVm> WriteAsync(Machine vm, QemuInstance qemu, string name, string path,
        Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, CancellationToken cancel)
    {
        var wasPaused = vm.Record.Wanted == VmState.Paused;
        using var signals = new QemuSignals(qemu.Qmp);
        var devices = await listDevices(qemu);
        var begun = tools.Time.GetTimestamp();
        try
        {
            await qemu.Qmp.PrepareSourceAsync(new(), sameHost: true); // Its memory is read from the file it maps, not from its stream.
            if (!wasPaused) await qemu.Qmp.StopAsync(QmpMoves.Deadline, cancel);
            await DemandGuestAsync(vm, qemu, cancel);
            await using (var file = await disk.CreateLargeAsync(path, cancel))
            {
                await StreamAsync(vm, qemu, signals, file.Content, devices, cancel);
                await file.CommitAsync();
            }
        }
        catch (Exception e) when (e is QmpException or IOException or OperationCanceledException or TimeoutException)
        {
            if (qemu.Qmp.Closed.IsCompleted) throw;
            TryDelete(path); // It may have its name already, and the guest goes on: it is the past.
            await qemu.Qmp.TryMigrateCancelAsync();
            if (!wasPaused) await qemu.Qmp.EnsureRunningAsync(tools.Time);
            throw new RefusedException("save-failed", $"{vm.Spec.Name} could not be saved and goes on: {e.Message}",
                $"check the space in pool {vm.Spec.Disks[0].Pool} and try again");
        }

        // The file is whole and durable. From here on it is the VM; this QEMU must not run again. There is no way back: a record whose
        // writing failed may be on the disk all the same.
        var pauseMs = tools.Time.GetElapsedTime(begun).TotalMilliseconds;
        await tools.StubbornlyAsync(() => tools.Machines.ChangeAsync(vm, r => r with { Wanted = VmState.Saved, Note = name }));
        return await FinishAsync(vm, name, path, pauseMs, cancel);
    }

    private void TryDelete(string path)
    {
        try { disk.DeleteFile(path); }
        catch (IOException) { } // Nothing points to it.
    }

    /// <summary>
    /// Of a guest that has powered itself off, and whose end could not be written down yet, QEMU would save a state that no QEMU
    /// goes on from.
    /// </summary>
    private static async Task DemandGuestAsync(Machine vm, QemuInstance qemu, CancellationToken cancel)
    {
        if ((await qemu.Qmp.QueryStatusAsync(QmpMoves.Deadline, cancel)).Status == QmpRunStatus.Shutdown)
            throw new RefusedException("vm-not-running", $"{vm.Spec.Name} has powered itself off", "start it ('godwit vm start')");
    }

    /// <summary>Wanted is Saved, durable: a restarted agent comes here too. The QEMU goes, the file stays.</summary>
    private async Task<SavedVm> FinishAsync(Machine vm, string name, string path, double pauseMs, CancellationToken cancel)
    {
        if (vm.Current is { } qemu)
            using (await vm.EnterAsync()) await tools.Machines.DropAsync(vm, qemu);
        await using var file = await disk.OpenLargeAsync(path, cancel);
        return new SavedVm(name, file.Length, await SavedStateFile.ReadSha256Async(file, name, cancel), pauseMs);
    }

    /// <summary>In the pool of the first disk, so that every host that can run the VM can read it.</summary>
    public static (string Name, string Path) FileOf(Machine vm, HostLayout layout)
    {
        if (vm.Spec.Disks.Count == 0 || !layout.Pools.TryGetValue(vm.Spec.Disks[0].Pool, out var pool))
            throw new RefusedException("save-needs-pool", $"{vm.Spec.Name} has no disk on a pool of this host",
                "give it a disk on a pool: its saved state lies beside the first disk");
        var name = $"{vm.Id}-{vm.Epoch}.saved";
        return (name, Path.Combine(pool.Directory, name));
    }

    private async Task StreamAsync(
        Machine vm, QemuInstance qemu, QemuSignals signals, Stream file, IReadOnlyList<string> devices, CancellationToken cancel)
    {
        var stamp = new SavedStateStamp
        {
            Spec = vm.Spec, Epoch = vm.Epoch.Value, QemuVersion = qemu.Qmp.Version, Devices = devices,
            SavedAt = tools.Time.GetUtcNow(), WasPaused = vm.Record.Wanted == VmState.Paused,
        };
        var state = await DevicesAsync(vm, qemu, signals, cancel);
        using var memory = disk.OpenMemory(qemu.RamPath);
        await SavedGuestWriting.WriteAsync(file, stamp, state, memory, cancel);
    }

    /// <summary>All that QEMU knows and does not map from a file: some hundred KB, with a display some MiB.</summary>
    private async Task<ReadOnlyMemory<byte>> DevicesAsync(Machine vm, QemuInstance qemu, QemuSignals signals, CancellationToken cancel)
    {
        await using var listener = await tools.Network.ListenUnixAsync(qemu.OutgoingSocket, vm.Spec.Uid, cancel);
        await qemu.Qmp.MigrateAsync("unix:" + qemu.OutgoingSocket, QmpMoves.Deadline, cancel);
        await using var fromQemu = await listener.AcceptAsync(cancel).WaitAsync(AcceptMax, tools.Time, cancel);
        using var state = new MemoryStream();
        var part = new byte[64 << 10];
        for (int read; (read = await fromQemu.ReadAsync(part, cancel)) > 0; state.Write(part, 0, read))
            if (state.Length + read > SavedGuest.StateBytesMax) throw new IOException("its devices have more state than 256 MiB");
        var ended = await signals.MigrationEnded.Joinable().WaitAsync(QmpMoves.Deadline, tools.Time, cancel);
        if (ended != "completed") throw new IOException($"QEMU says {ended}: {(await qemu.Qmp.TryQueryMigrateAsync())?.ErrorDescription}");
        return state.GetBuffer().AsMemory(0, (int)state.Length);
    }
}
