using System.IO.Hashing;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Facts;

/// <summary>Pages of a guest's memory drawn at random, and whether they change.</summary>
internal static class PageSamples
{
    public const int PageBytes = 4096, RangesMax = 1 << 16;

    /// <summary>Memory that went with its QEMU, or that is none: nothing is known then, and nothing else stops for it.</summary>
    public static bool IsNoMemory(Exception failed) => failed is IOException or UnauthorizedAccessException or NotSupportedException;

    /// <summary>Offsets of <paramref name="count"/> pages, each as likely, ascending: read in order they cost less.</summary>
    public static long[] Draw(IReadOnlyList<(long Offset, long Bytes)> present, long presentPages, int count, ref SeededNumbers numbers)
    {
        var drawn = new long[count];
        for (var i = 0; i < count; i++) drawn[i] = (long)(numbers.Next() % (ulong)presentPages);
        Array.Sort(drawn);
        var (range, before) = (0, 0L);
        for (var i = 0; i < count; i++)
        {
            while (drawn[i] - before >= present[range].Bytes / PageBytes) before += present[range++].Bytes / PageBytes;
            drawn[i] = present[range].Offset + (drawn[i] - before) * PageBytes;
        }
        return drawn;
    }

    /// <summary>Hands each of them, or each <paramref name="step"/>-th, to <paramref name="take"/> with what it holds.</summary>
    public static void Look(IMemoryFile memory, long[] pages, int step, Action<int, ulong> take)
    {
        Span<byte> page = stackalloc byte[PageBytes];
        for (var i = 0; i < pages.Length; i += step)
        {
            memory.Read(pages[i], page);
            take(i, XxHash3.HashToUInt64(page));
        }
    }
}
