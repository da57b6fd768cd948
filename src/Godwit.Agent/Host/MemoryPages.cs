using Microsoft.Win32.SafeHandles;

namespace Godwit.Agent.Host;

/// <summary>
/// Gives a file in memory its pages before somebody needs them. A fault in a file costs about 3 µs a page, a third of a
/// second for 512 MiB; QEMU would pay that in the middle of the stream, while the network waits for it. Huge pages where the
/// file system gives them to who asks: whoever comes first decides of what size a page is.
/// (madvise(2), MADV_HUGEPAGE and MADV_POPULATE_READ, the latter in Linux 5.14 and later.)
/// </summary>
internal static class MemoryPages
{
    /// <summary>Small: between two pieces it looks whether it is still wanted. Of whole huge pages, so that each begins on one.</summary>
    private const long PieceBytes = 4 << 20;

    /// <summary>
    /// Blocks. A hint: whatever the kernel refuses is left for the faults. The directory is the VM's own, so a link or a pipe
    /// that its QEMU may have put there is neither followed nor waited for.
    /// </summary>
    public static void Populate(string path, CancellationToken cancel)
    {
        var descriptor = Libc.Open(path, Libc.OpenReadOnly | Libc.OpenNoFollow | Libc.OpenNonBlock | Libc.OpenCloseOnExec);
        if (descriptor < 0) return;
        using var file = new SafeFileHandle(new IntPtr(descriptor), ownsHandle: true);
        var length = RandomAccess.GetLength(file);
        for (long at = 0; at < length && !cancel.IsCancellationRequested; at += PieceBytes)
        {
            var bytes = (nuint)Math.Min(PieceBytes, length - at);
            var mapped = Libc.Map(0, bytes, Libc.ProtectionRead, Libc.MapShared, descriptor, at);
            if (mapped == -1) return;
            _ = Libc.Advise(mapped, bytes, Libc.AdviceHugePages);
            var refused = Libc.Advise(mapped, bytes, Libc.AdvicePopulateRead) != 0;
            _ = Libc.Unmap(mapped, bytes);
            if (refused) return;
        }
    }
}
