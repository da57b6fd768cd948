using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Godwit.Core.Ports;
using Microsoft.Win32.SafeHandles;

namespace Godwit.Agent.Host;

/// <summary>
/// A guest's memory in tmpfs or hugetlbfs, read with pread: a mapping would give it every page that is looked at. Ranges by
/// SEEK_DATA and SEEK_HOLE (lseek(2)); where the file system knows no holes, all of it is there.
/// </summary>
internal sealed class RealMemoryFile : IMemoryFile
{
    private const int PageBytes = 4096;
    private readonly SafeFileHandle file;
    private readonly bool fills;

    /// <summary>The directory is the VM's own: a link or a pipe its QEMU may have put there is neither followed nor waited for.</summary>
    public RealMemoryFile(string path, bool toFill = false)
    {
        var how = toFill ? Libc.OpenReadWrite : Libc.OpenReadOnly;
        var descriptor = Libc.Open(path, how | Libc.OpenNoFollow | Libc.OpenNonBlock | Libc.OpenCloseOnExec);
        if (descriptor < 0) throw new IOException($"{path}: {Libc.LastError()}");
        fills = toFill;
        file = new SafeFileHandle(new IntPtr(descriptor), ownsHandle: true);
        LengthBytes = RandomAccess.GetLength(file);
    }

    public long LengthBytes { get; }

    public IReadOnlyList<(long Offset, long Bytes)> PresentRanges(int rangesMax)
    {
        var descriptor = file.DangerousGetHandle().ToInt32(); // Held open by this object, which its caller holds.
        List<(long, long)> ranges = [];
        for (long at = 0; at < LengthBytes && ranges.Count < rangesMax;)
        {
            var begin = Libc.Seek(descriptor, at, Libc.SeekData);
            if (begin < 0)
            {
                if (Marshal.GetLastPInvokeError() != Libc.NoSuchPlace) ranges.Add((at, LengthBytes - at));
                break; // Nothing but a hole to the end.
            }
            var end = Libc.Seek(descriptor, begin, Libc.SeekHole);
            if (end <= begin || ranges.Count == rangesMax - 1) end = LengthBytes;
            ranges.Add((begin, end - begin));
            at = end;
        }
        return ranges;
    }

    public long AllocatedBytes
    {
        get
        {
            var found = new byte[Libc.StatxBytes];
            return Libc.Statx(file.DangerousGetHandle().ToInt32(), "", Libc.AtEmptyPath, Libc.StatxBasic, found) < 0
                ? throw new IOException($"a guest's memory: {Libc.LastError()}")
                : BinaryPrimitives.ReadInt64LittleEndian(found.AsSpan(Libc.StatxBlocksAt)) * Libc.StatxBlockBytes;
        }
    }

    public void Read(long offset, Span<byte> into)
    {
        if (RandomAccess.Read(file, into, offset) != into.Length) throw new IOException($"nothing lies {offset} bytes into this memory");
    }

    /// <summary>
    /// A page of tmpfs that is written whole is not seen before it is whole: the kernel holds it locked meanwhile (mm/shmem.c).
    /// </summary>
    public int FillHoles(long offset, ReadOnlySpan<byte> content)
    {
        var (descriptor, filled) = (file.DangerousGetHandle().ToInt32(), 0);
        for (var at = 0; at < content.Length; at += PageBytes)
        {
            if (Libc.Seek(descriptor, offset + at, Libc.SeekHole) != offset + at) continue;
            RandomAccess.Write(file, content.Slice(at, PageBytes), offset + at);
            filled++;
        }
        return filled;
    }

    /// <summary>fallocate(2). Where the file system knows no holes, or the file was let go of meanwhile, nothing happens.</summary>
    public void Free(long offset, long bytes)
    {
        var held = false;
        try
        {
            file.DangerousAddRef(ref held);
            _ = Libc.Allocate(file.DangerousGetHandle().ToInt32(), Libc.PunchHole | Libc.KeepSize, offset, bytes);
        }
        catch (ObjectDisposedException) { }
        finally { if (held) file.DangerousRelease(); }
    }

    /// <summary>
    /// Of memory without a name the last to let go frees the pages, 60 ms for a GiB: nobody waits for that, a guest may stand still.
    /// </summary>
    public void Dispose()
    {
        if (fills) _ = Task.Factory.StartNew(file.Dispose, TaskCreationOptions.LongRunning);
        else file.Dispose();
    }
}
