using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Saved;

/// <summary>
/// Memory that a live move brought here before it ended at home, for the lazy move that follows it: of that only what has changed since
/// has to cross. Held open after its QEMU and its name are gone; it ends with this agent, and is nobody's but a stock to compare with.
/// </summary>
internal sealed class KeptMemories(IDisk disk, TimeProvider time)
{
    private static readonly TimeSpan KeptMax = TimeSpan.FromMinutes(2);
    /// <summary>Runs of pages that are counted; guests have few, and what lies behind is counted as one.</summary>
    private const int RangesMax = 1 << 12;

    private readonly Lock gate = new();
    private readonly Dictionary<VmId, IMemoryFile> kept = [];

    /// <summary>Best effort: without it all of the memory crosses once more.</summary>
    public void Keep(VmId vm, string path)
    {
        IMemoryFile file;
        try { file = disk.OpenMemory(path, toFill: true); }
        catch (IOException) { return; }
        Drop(vm);
        lock (gate) kept[vm] = file;
        _ = DropLaterAsync(vm, file);
    }

    /// <summary>Null where nothing is kept. The caller's own from now on.</summary>
    public IMemoryFile? Take(VmId vm)
    {
        lock (gate) return kept.Remove(vm, out var file) ? file : null;
    }

    /// <summary>Its pages go: nothing of the VM will be needed here.</summary>
    public void Drop(VmId vm) => Take(vm)?.Dispose();

    /// <summary>Of this host's memory: whoever is about to have it again needs no other.</summary>
    public long BytesOf(VmId vm)
    {
        lock (gate) return kept.TryGetValue(vm, out var file) ? file.PresentRanges(RangesMax).Sum(range => range.Bytes) : 0;
    }

    private async Task DropLaterAsync(VmId vm, IMemoryFile file)
    {
        await Task.Delay(KeptMax, time);
        lock (gate)
        {
            if (kept.GetValueOrDefault(vm) != file) return; // Taken, or another one's.
            kept.Remove(vm);
        }
        file.Dispose();
    }
}
