using Godwit.Agent.Disks;
using Godwit.Agent.Images;
using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Inventory;
using Godwit.Core.Ports;

namespace Godwit.Agent.Inventory;

/// <summary>
/// Everything this host has written down and all that lies on it, for a server that has to rebuild its record or looks
/// for leaks.
/// </summary>
internal sealed class InventoryTaking(
    HostMachines machines, MachineLife life, MachineAdoption adoption, MoveDesk moves, HostLook look, Pools pools,
    NotesKept notes)
{
    /// <summary>With the largest records some 4 MiB, a quarter of what the server takes in one answer.</summary>
    public const int FilesMax = 20_000, MovesMax = 10_000;
    private const string TemplateBegin = "template-";

    public async Task<HostInventory> TakeAsync(bool leaksOnly, DenyList denied, CancellationToken cancel)
    {
        var leaks = HostLeaks.Of(await look.TakeAsync(cancel));
        var vms = await Task.WhenAll(machines.All.Select(m => HoldingAsync(m, cancel)));
        var inventory = new HostInventory
        {
            Vms = vms,
            Unreadable = adoption.UnreadableRecords,
            Leaks = leaks,
            Denied = denied.Hosts,
        };
        if (leaksOnly) return inventory;
        var files = machines.Layout.Pools.OrderBy(p => p.Key, StringComparer.Ordinal)
            .SelectMany(p => machines.Disk.List(p.Value.Directory).Select(file => (Pool: p.Key, File: file))).ToList();
        var told = new List<PoolFile>();
        foreach (var (pool, file) in files.Take(FilesMax))
            if (await FileAsync(pool, file, cancel) is { } found) told.Add(found);
        return inventory with
        {
            Moves = await moves.HoldingsAsync(MovesMax), Files = told, FilesLeftOff = files.Count > FilesMax,
            Notes = await notes.ReadAsync(cancel),
        };
    }

    public IReadOnlyList<VmEpoch> Epochs() =>
        [.. machines.All.Select(m => m.Record).Select(r => new VmEpoch(r.Spec.Id, r.Epoch, r.IsOwner))];

    private async Task<VmHolding> HoldingAsync(Machine machine, CancellationToken cancel)
    {
        var record = machine.Record;
        var report = await life.ReportAsync(machine, cancel);
        return new VmHolding(record.Spec, record.Epoch, record.IsOwner, report.State,
            record.Instances.Any(i => machines.Processes.IsAlive(i.Process)), report.Note,
            record.MemoryFile is { } file ? MemoryFile.InUse(file) : null);
    }

    private async Task<PoolFile?> FileAsync(string pool, string file, CancellationToken cancel)
    {
        try
        {
            var path = pools.PathOf(pool, file);
            if (machines.Disk.SizeOf(path) is not { } bytes) return null;
            return new PoolFile(pool, file, bytes,
                file.StartsWith(TemplateBegin, StringComparison.Ordinal) ? await VirtualBytesAsync(path, cancel) : null);
        }
        catch (Exception notOurs) when (notOurs is RefusedException or IOException) { return null; } // Somebody else's file, or just gone.
    }

    /// <summary>The inspector that let it in reads it again: what is not a good image any more is no template.</summary>
    private async Task<long?> VirtualBytesAsync(string path, CancellationToken cancel)
    {
        await using var file = await machines.Disk.OpenLargeAsync(path, cancel);
        var said = path.EndsWith(".raw", StringComparison.Ordinal) ? ImageFormat.Raw : ImageFormat.Qcow2;
        return ImageInspector.Inspect(new ImageBytes(file), said) is ImageVerdict.Taken taken ? taken.Image.VirtualBytes : null;
    }
}
