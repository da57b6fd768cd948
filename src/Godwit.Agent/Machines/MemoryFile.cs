using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>
/// The saved state that a guest was resumed from and that some of its memory still lies in (<see cref="OwnerRecord.MemoryFile"/>). While
/// it is in use it has another name: no order names that one, so a store that is put back from an older day cannot have it resumed again.
/// </summary>
internal static class MemoryFile
{
    private const string InUseEnd = "-in-use";

    /// <summary>Throws <see cref="RefusedException"/> where this host does not have the pool.</summary>
    public static (string Saved, string InUse) Paths(HostLayout layout, VmSpec spec, string file) =>
        spec.Disks.Count > 0 && layout.Pools.TryGetValue(spec.Disks[0].Pool, out var pool)
            ? (Path.Combine(pool.Directory, file), Path.Combine(pool.Directory, InUse(file)))
            : throw Elsewhere(file);

    public static RefusedException Elsewhere(string file) => new("saved-state-elsewhere", $"this host cannot reach the saved state {file}",
        "resume it on a host that has the pool of the VM's first disk");

    public static string InUse(string file) => file + InUseEnd;

    /// <summary>The name it had before it was in use.</summary>
    public static string Saved(string name) => name.EndsWith(InUseEnd, StringComparison.Ordinal) ? name[..^InUseEnd.Length] : name;

    /// <summary>The guest has run since: under either name it is the past. Throws <see cref="IOException"/>.</summary>
    public static void Delete(IDisk disk, HostLayout layout, VmSpec spec, string file)
    {
        var (saved, inUse) = Paths(layout, spec, file);
        disk.DeleteFile(inUse);
        disk.DeleteFile(saved);
    }
}
