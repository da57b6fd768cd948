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
    private const int PageBytes = 4096;

    /// <summary>
    /// Blocks. A hint: whatever the kernel refuses is left for the faults. The directory is the VM's own, so a link or a pipe
    /// that its QEMU may have put there is neither followed nor waited for.
    /// </summary>
    public static void Populate(string path, CancellationToken cancel)
    {
        var descriptor = Libc.Open(path, Libc.OpenReadOnly | Libc.OpenNoFollow | Libc.OpenNonBlock | Libc.OpenCloseOnExec);
        if (descriptor < 0) return;
        using var file = new SafeFileHandle(new IntPtr(descriptor), ownsHandle: true);
        TryPopulate(file, cancel);
    }

    /// <summary>False where the kernel refused, or it was cancelled.</summary>
    private static bool TryPopulate(SafeFileHandle file, CancellationToken cancel)
    {
        var (descriptor, length) = (file.DangerousGetHandle().ToInt32(), RandomAccess.GetLength(file));
        for (long at = 0; at < length && !cancel.IsCancellationRequested; at += PieceBytes)
        {
            var bytes = (nuint)Math.Min(PieceBytes, length - at);
            var mapped = Libc.Map(0, bytes, Libc.ProtectionRead, Libc.MapShared, descriptor, at);
            if (mapped == -1) return false;
            _ = Libc.Advise(mapped, bytes, Libc.AdviceHugePages);
            var refused = Libc.Advise(mapped, bytes, Libc.AdvicePopulateRead) != 0;
            _ = Libc.Unmap(mapped, bytes);
            if (refused) return false;
        }
        return !cancel.IsCancellationRequested;
    }

    /// <summary>As a guest's memory is given its pages, for a file of its own that is gone on return.</summary>
    public static bool TryGive(string directory, long bytes)
    {
        try
        {
            using var file = OpenOwn(directory, bytes);
            return TryPopulate(file, CancellationToken.None);
        }
        catch (Exception failed) when (failed is IOException or UnauthorizedAccessException) { return false; }
    }

    private static SafeFileHandle OpenOwn(string directory, long bytes)
    {
        var file = File.OpenHandle(Path.Combine(directory, $".page-{Guid.NewGuid():N}"), FileMode.CreateNew, FileAccess.ReadWrite,
            FileShare.None, FileOptions.DeleteOnClose);
        RandomAccess.SetLength(file, bytes);
        return file;
    }

    /// <summary>
    /// Tries it with a file of its own: what a mount and a kernel make of huge=, shmem_enabled and sizes of writes is theirs to say
    /// (Documentation/admin-guide/mm/transhuge.rst). Null, or half a sentence.
    /// </summary>
    public static string? WhyNotByThePage(string directory)
    {
        try
        {
            using var file = OpenOwn(directory, PieceBytes);
            RandomAccess.Write(file, new byte[PageBytes], 0);
            return Libc.Seek(file.DangerousGetHandle().ToInt32(), 0, Libc.SeekHole) == PageBytes ? null
                : $"a page written in {directory} brings those beside it with it, as huge pages do";
        }
        catch (Exception failed) when (failed is IOException or UnauthorizedAccessException)
        {
            return $"no page could be written in {directory}: {failed.Message}";
        }
    }
}
