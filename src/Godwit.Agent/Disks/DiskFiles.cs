using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Disks;

/// <summary>
/// VM disks in pools: blank, or a linked clone of a template.
/// </summary>
public sealed class DiskFiles(Pools pools, IDisk disk, IProcesses processes)
{
    private readonly QemuImg qemuImg = new(processes);
    /// <summary>The VM's uid reads and writes it, nobody else.</summary>
    private const UnixFileMode DiskMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Safe to repeat: a disk that is there stays as it is.</summary>
    public async Task CreateAsync(DiskSpec spec, int ownerUid, CancellationToken cancel)
    {
        if (VmSpecRules.BrokenIn(spec).FirstOrDefault() is { } broken)
            throw new RefusedException("disk-invalid", broken, "correct the disk's description");
        var path = pools.PathOf(spec.Pool, spec.File);
        if (disk.SizeOf(path) is not null) return;
        var unfinished = pools.PathOf(spec.Pool, spec.File + ".new"); // A crash leaves no half-made disk under its real name.
        disk.DeleteFile(unfinished);
        if (spec.BackingFile is { } needed && disk.SizeOf(pools.PathOf(spec.Pool, needed)) is null)
            throw new RefusedException("template-file-missing", $"pool {spec.Pool} has no {needed}",
                "import the template into this pool first");
        // Named relative to the disk: the pool may be mounted elsewhere on another host.
        (string, string)? template = spec.BackingFile is { } backing ? (backing, VmSpecRules.FormatOf(backing)) : null;
        try
        {
            await qemuImg.CreateAsync(unfinished, spec.Format, spec.SizeBytes, template, cancel);
            await disk.PublishAsync(unfinished, path, ownerUid, DiskMode, cancel);
        }
        catch (Exception)
        {
            disk.DeleteFile(unfinished);
            throw;
        }
    }

    /// <summary>No error where it is not there. That a template has no clones left is the server's to know.</summary>
    public void Delete(DiskSpec spec) => disk.DeleteFile(pools.PathOf(spec.Pool, spec.File));
}
