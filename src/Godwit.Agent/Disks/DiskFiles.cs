using System.Globalization;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Disks;

/// <summary>
/// VM disks in pools: blank, or a linked clone of a template. qemu-img is run here and nowhere else, with explicit
/// formats and limits of memory and time (it has been talked into reading host files before: reliability 2.7).
/// </summary>
public sealed class DiskFiles(Pools pools, IDisk disk, IProcesses processes)
{
    private static readonly TimeSpan ToolMax = TimeSpan.FromMinutes(2);
    private static readonly (long MemoryBytes, int CpuSeconds) ToolLimits = (2L << 30, 60);
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
        List<string> words = ["create", "-q", "-f", spec.Format];
        if (spec.BackingFile is { } backing)
        {
            if (disk.SizeOf(pools.PathOf(spec.Pool, backing)) is null)
                throw new RefusedException("template-file-missing", $"pool {spec.Pool} has no {backing}",
                    "import the template into this pool first");
            // Named relative to the disk: the pool may be mounted elsewhere on another host.
            words.AddRange(["-F", VmSpecRules.FormatOf(backing), "-b", backing]);
        }
        words.Add(unfinished);
        words.Add(spec.SizeBytes.ToString(CultureInfo.InvariantCulture));
        try
        {
            await RunAsync(words, cancel);
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

    private async Task RunAsync(List<string> words, CancellationToken cancel)
    {
        var result = await processes.RunAsync(new Command("qemu-img", words) { Limits = ToolLimits }, ToolMax, cancel);
        if (result.ExitCode != 0)
            throw new RefusedException("disk-tool-failed", $"qemu-img {words[0]} failed: {result.Error.Trim()}",
                "check the pool's space and permissions on that host");
    }
}
