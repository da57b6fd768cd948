using System.Diagnostics;
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
    private const long TriedBytes = 2 << 20;
    private const int PageBytes = 4096;
    private const string Huge = "huge=", ForAll = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

    /// <summary>
    /// Blocks. A hint: whatever the kernel refuses is left for the faults. The directory is the VM's own, so a link or a pipe
    /// that its QEMU may have put there is neither followed nor waited for.
    /// </summary>
    public static void Populate(string path, CancellationToken cancel)
    {
        var descriptor = Libc.Open(path, Libc.OpenReadOnly | Libc.OpenNoFollow | Libc.OpenNonBlock | Libc.OpenCloseOnExec);
        if (descriptor < 0) return;
        using var file = new SafeFileHandle(new IntPtr(descriptor), ownsHandle: true);
        for (long at = 0, length = RandomAccess.GetLength(file); at < length && !cancel.IsCancellationRequested; at += PieceBytes)
            if (!TryGive(file, at, Math.Min(PieceBytes, length - at))) return;
    }

    /// <summary>False where the kernel refused.</summary>
    private static bool TryGive(SafeFileHandle file, long at, long bytes)
    {
        var mapped = Libc.Map(0, (nuint)bytes, Libc.ProtectionRead, Libc.MapShared, file.DangerousGetHandle().ToInt32(), at);
        if (mapped == -1) return false;
        _ = Libc.Advise(mapped, (nuint)bytes, Libc.AdviceHugePages);
        var refused = Libc.Advise(mapped, (nuint)bytes, Libc.AdvicePopulateRead) != 0;
        _ = Libc.Unmap(mapped, (nuint)bytes);
        return !refused;
    }

    /// <summary>
    /// As a guest's memory is given its pages: the middle of three tries, each of pages that no try before had, so that a process that
    /// is set aside in one of them does not decide. The first piece only warms up. 0 where it cannot be told.
    /// </summary>
    public static double GivenBytesPerSecond(string directory)
    {
        const int Pieces = 4;
        try
        {
            using var file = OpenOwn(directory, Pieces * TriedBytes);
            List<double> seconds = [];
            for (var piece = 0; piece < Pieces; piece++)
            {
                var begun = Stopwatch.GetTimestamp();
                if (!TryGive(file, piece * TriedBytes, TriedBytes)) return 0;
                seconds.Add(Stopwatch.GetElapsedTime(begun).TotalSeconds);
            }
            return TriedBytes / Math.Max(1e-6, seconds.Skip(1).Order().ElementAt(1));
        }
        catch (Exception failed) when (failed is IOException or UnauthorizedAccessException) { return 0; }
    }

    private static SafeFileHandle OpenOwn(string directory, long bytes)
    {
        var path = Path.Combine(directory, $".page-{Guid.NewGuid():N}.tmp");
        var file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);
        File.Delete(path); // At once: an agent that is killed meanwhile leaves nothing behind.
        try { RandomAccess.SetLength(file, bytes); }
        catch (Exception)
        {
            file.Dispose();
            throw;
        }
        return file;
    }

    /// <summary>
    /// Null, or half a sentence. By what the host is told to do (Documentation/admin-guide/mm/transhuge.rst), and by a file of its own: one
    /// page alone proves little, as the kernel gives small ones where it has no huge one.
    /// </summary>
    public static string? WhyNotByThePage(string directory)
    {
        if (HugeOfMount(directory) is "always" or "within_size")
            return $"{directory} is mounted with huge={HugeOfMount(directory)}";
        if (File.Exists(ForAll) && File.ReadAllText(ForAll).Contains("[force]", StringComparison.Ordinal)) return $"{ForAll} is 'force'";
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

    /// <summary>What the tmpfs that the directory lies on was mounted with; null where it does not say (proc(5), mountinfo).</summary>
    private static string? HugeOfMount(string directory)
    {
        var path = Path.GetFullPath(directory) + "/";
        var mount = File.ReadLines("/proc/self/mountinfo").Select(line => line.Split(' ')).Reverse()
            .Where(words => words.Length > 6 && path.StartsWith(words[4].TrimEnd('/') + "/", StringComparison.Ordinal))
            .MaxBy(words => words[4].Length); // Of several at one place the last one is seen.
        return mount?[^1].Split(',').FirstOrDefault(option => option.StartsWith(Huge, StringComparison.Ordinal))?[Huge.Length..];
    }
}
