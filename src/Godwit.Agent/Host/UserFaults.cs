using System.Buffers.Binary;
using System.Globalization;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// Wakes the threads of another process that wait in userfaultfd(2) for a page, by a duplicate of its own descriptor
/// (pidfd_getfd(2), needs the right to trace it) and UFFDIO_WAKE (linux/userfaultfd.h). They look again, and find what lies in the file
/// by now.
/// </summary>
internal static class UserFaults
{
    /// <summary>_IOR(0xAA, 0x02, struct uffdio_range).</summary>
    private const uint Wake = 0x8010AA02;
    private const string Link = "anon_inode:[userfaultfd]";

    /// <summary>Nothing where the process has no such descriptor, or does not map the file: then none of it waits.</summary>
    public static void WakeWaiters(ProcessHandle process, string memoryFile)
    {
        if (DescriptorOf(process.Pid) is not { } theirs || MappingOf(process.Pid, memoryFile) is not { } mapping) return;
        var pidfd = Libc.PidfdOpen(process.Pid);
        if (pidfd < 0) return; // It has ended.
        var mine = -1;
        try
        {
            if (ProcessStat.Read(process.Pid)?.StartTicks != process.StartTicks) return; // Somebody else's number by now.
            mine = Libc.PidfdGetDescriptor(pidfd, theirs);
            if (mine < 0)
                throw new IOException($"process {process.Pid} cannot be woken: {Libc.LastError()}; the agent needs CAP_SYS_PTRACE");
            var range = new byte[2 * sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(range, mapping.From);
            BinaryPrimitives.WriteUInt64LittleEndian(range.AsSpan(sizeof(ulong)), mapping.To - mapping.From);
            if (Libc.IoControl(mine, Wake, range) < 0) throw new IOException($"process {process.Pid} cannot be woken: {Libc.LastError()}");
        }
        finally
        {
            if (mine >= 0) _ = Libc.Close(mine);
            _ = Libc.Close(pidfd);
        }
    }

    public static bool HasDescriptor(ProcessHandle process) => ProcessStat.IsAlive(process) && DescriptorOf(process.Pid) is not null;

    private static int? DescriptorOf(int pid)
    {
        try
        {
            foreach (var path in Directory.EnumerateFileSystemEntries(Of(pid, "fd")))
                if (new FileInfo(path).LinkTarget == Link) return int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture);
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException) { } // It ends, or closes one, as we look.
        return null;
    }

    /// <summary>By inode: QEMU may see the file under another root.</summary>
    private static (ulong From, ulong To)? MappingOf(int pid, string memoryFile)
    {
        var found = new byte[Libc.StatxBytes];
        if (Libc.Statx(Libc.AtCurrentDirectory, memoryFile, Libc.AtNoFollow, Libc.StatxBasic, found) < 0) return null;
        var inode = BinaryPrimitives.ReadUInt64LittleEndian(found.AsSpan(Libc.StatxInodeAt)).ToString(CultureInfo.InvariantCulture);
        try
        {
            foreach (var line in File.ReadLines(Of(pid, "maps"))) // from-to rights offset device inode path, proc(5)
            {
                var words = line.Split(' ', 6, StringSplitOptions.RemoveEmptyEntries);
                if (words.Length < 6 || words[4] != inode) continue;
                if (!words[5].Contains(Path.GetFileName(memoryFile), StringComparison.Ordinal)) continue; // Of another file system.
                var ends = words[0].Split('-');
                return (ulong.Parse(ends[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture),
                    ulong.Parse(ends[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture));
            }
        }
        catch (IOException) { } // Gone.
        return null;
    }

    private static string Of(int pid, string what) => string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/{what}");
}
