using System.Globalization;
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
    private const string MemoryMax = "--as=2147483648";
    private const string CpuSecondsMax = "--cpu=60";

    /// <summary>Safe to repeat: a disk that is there stays as it is.</summary>
    public async Task CreateAsync(DiskSpec spec, int ownerUid, CancellationToken cancel)
    {
        var path = pools.PathOf(spec.Pool, spec.File);
        if (disk.List(pools.DirectoryOf(spec.Pool)).Contains(spec.File)) return;
        var unfinished = pools.PathOf(spec.Pool, spec.File + ".new"); // A crash leaves no half-made disk under its real name.
        disk.DeleteFile(unfinished);
        List<string> words = ["create", "-q", "-f", spec.Format];
        if (spec.BackingFile is { } backing)
        {
            var template = pools.PathOf(spec.Pool, backing);
            if (!disk.List(pools.DirectoryOf(spec.Pool)).Contains(backing))
                throw new RefusedException("template-file-missing", $"pool {spec.Pool} has no {backing}", "import the template into this pool first");
            words.AddRange(["-F", Path.GetExtension(template)[1..], "-b", backing]);
        }
        words.Add(unfinished);
        words.Add(spec.SizeBytes.ToString(CultureInfo.InvariantCulture));
        await RunAsync("prlimit", [MemoryMax, CpuSecondsMax, "qemu-img", .. words], cancel);
        var owner = ownerUid.ToString(CultureInfo.InvariantCulture);
        await RunAsync("chown", ["-h", $"{owner}:{owner}", unfinished], cancel);
        await RunAsync("chmod", ["0600", unfinished], cancel);
        await RunAsync("mv", ["-n", "--", unfinished, path], cancel);
    }

    /// <summary>No error where it is not there. That a template has no clones left is the server's to know.</summary>
    public void Delete(DiskSpec spec) => disk.DeleteFile(pools.PathOf(spec.Pool, spec.File));

    private async Task RunAsync(string program, IReadOnlyList<string> words, CancellationToken cancel)
    {
        var result = await processes.RunAsync(new Command(program, words), ToolMax, cancel);
        if (result.ExitCode != 0)
            throw new RefusedException("disk-tool-failed", $"{program} {words[^1]} failed: {result.Error.Trim()}",
                "check the pool's space and permissions on that host");
    }
}
