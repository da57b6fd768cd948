using Godwit.Core;
using Godwit.Wire;

namespace Godwit.Agent.Saved;

/// <summary>A guest's memory as it was when it stopped, somewhere else than in the QEMU that is to have it: one part at a time.</summary>
internal interface IGuestMemory
{
    /// <summary>All that QEMU knows and does not map from a file.</summary>
    DetachedState State { get; }
    long MemoryBytes { get; }
    /// <summary>What is read at once; whole pages, the last block may be shorter.</summary>
    int BlockBytes { get; }
    /// <summary>Known without reading it. False says nothing.</summary>
    bool IsZero(int block);

    /// <summary>
    /// Fills the first <see cref="GuestMemoryBlocks.BytesOf"/> bytes of <paramref name="into"/>. Throws <see cref="IOException"/> where it
    /// cannot be had just now, <see cref="RefusedException"/> where it never will be. One caller at a time.
    /// </summary>
    /// <param name="isWaitedFor">The guest stands at it; else it is one of a row, and the next may be fetched ahead.</param>
    Task ReadBlockAsync(int block, byte[] into, bool isWaitedFor, CancellationToken cancel);
}

internal static class GuestMemoryBlocks
{
    public static int CountOf(this IGuestMemory memory) => (int)((memory.MemoryBytes + memory.BlockBytes - 1) / memory.BlockBytes);

    public static int BytesOf(this IGuestMemory memory, int block) =>
        (int)Math.Min(memory.BlockBytes, memory.MemoryBytes - ((long)block * memory.BlockBytes));
}
