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
            if (page >= qemu.Load.UsedPages || qemu.State.IsBlank) continue;
            SimRamStream.FillWithNoise(into.Slice(at, GuestLoad.PageBytes), page);
            BinaryPrimitives.WriteInt64LittleEndian(into[at..], 1 + TimesWritten(page));
        }
    }

    private long TimesWritten(long page)
    {
        if (page >= qemu.Load.WorkingPages) return 0;
        var writes = qemu.State.Counter * qemu.Load.DirtyBytesPerSecond / 1000 / GuestLoad.PageBytes;
        return (writes - page + qemu.Load.WorkingPages - 1) / qemu.Load.WorkingPages;
    }

    public void Dispose() { }
}
