using System.Buffers.Binary;
using Godwit.Core.Ports;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Machines;

/// <summary>
/// A guest's memory as its load knobs say: the used pages hold something, and the working pages are written in turn while it runs. A
/// page's content tells its number and how often it was written, and does not pack, as in the stream.
/// </summary>
internal sealed class SimMemoryFile(SimQemu qemu) : IMemoryFile
{
    private readonly HashSet<long> _freed = [];

    public long LengthBytes => qemu.Options.MemoryBytes;

    public IReadOnlyList<(long Offset, long Bytes)> PresentRanges(int rangesMax) =>
        qemu.State.IsBlank ? [] : [(0, (long)qemu.Load.UsedPages * GuestLoad.PageBytes)];

    public void Read(long offset, Span<byte> into)
    {
        if (offset < 0 || offset + into.Length > LengthBytes) throw new IOException($"nothing lies {offset} bytes into this memory");
        into.Clear();
        for (var at = 0; at + GuestLoad.PageBytes <= into.Length; at += GuestLoad.PageBytes)
        {
            var page = (offset + at) / GuestLoad.PageBytes;
            if (page >= qemu.Load.UsedPages || _freed.Contains(page)) continue;
            // Of a target that never got all of it: as far as it came.
            var first = qemu.State.IsBlank ? qemu.Incoming.Arrived((int)page)?.First ?? 0 : TimesWritten(qemu, page);
            if (first == 0) continue;
            SimRamStream.FillWithNoise(into.Slice(at, GuestLoad.PageBytes), page);
            BinaryPrimitives.WriteInt64LittleEndian(into[at..], first);
        }
    }

    public void Free(long offset, long bytes)
    {
        for (var page = offset / GuestLoad.PageBytes; page < (offset + bytes) / GuestLoad.PageBytes; page++) _freed.Add(page);
    }

    /// <summary>And once more for what was there at first: never 0.</summary>
    internal static long TimesWritten(SimQemu qemu, long page) => 1 + TimesWritten(qemu.Load, qemu.State, page);

    /// <summary>
    /// Filled pages are seen when who waits for them is woken. In memory that has all arrived a guest takes its holes by itself: a page
    /// written there comes over one that it may just have written.
    /// </summary>
    public int FillHoles(long offset, ReadOnlySpan<byte> content)
    {
        if (qemu.Ram.Arriving is not { } arriving)
        {
            qemu.Ledger.Record(qemu, GuestFactKind.Corrupt, qemu.State);
            return 0;
        }
        var filled = 0;
        for (var at = 0; at + GuestLoad.PageBytes <= content.Length; at += GuestLoad.PageBytes)
            filled += arriving.Fill((int)((offset + at) / GuestLoad.PageBytes), content.Slice(at, GuestLoad.PageBytes)) ? 1 : 0;
        return filled;
    }

    /// <summary>The first two words of a page, which tell how often it was written and which it is; zeros for one never used.</summary>
    public static (long First, long Second) Words(GuestLoad load, GuestState state, int page)
    {
        if (page >= load.UsedPages || state.IsBlank) return (0, 0);
        Span<byte> words = stackalloc byte[2 * sizeof(long)];
        SimRamStream.FillWithNoise(words, page);
        return (1 + TimesWritten(load, state, page), BinaryPrimitives.ReadInt64LittleEndian(words[sizeof(long)..]));
    }

    private static long TimesWritten(GuestLoad load, GuestState state, long page)
    {
        if (page >= load.WorkingPages) return 0;
        return (load.Writes(state.Counter) - page + load.WorkingPages - 1) / load.WorkingPages;
    }

    public void Dispose() { }
}
