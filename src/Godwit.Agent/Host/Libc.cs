using System.Runtime.InteropServices;

[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]

namespace Godwit.Agent.Host;

/// <summary>The few system calls .NET has no word for. Linux only; all answer -1 with errno on failure.</summary>
internal static partial class Libc
{
    public const int OpenReadOnly = 0, OpenDirectory = 0x10000, OpenCloseOnExec = 0x80000, OpenNonBlock = 0x800;
    public const int OpenWriteOnly = 1, OpenReadWrite = 2, OpenNoFollow = 0x20000, OpenPath = 0x200000;
    /// <summary>Numbers are the same on all 64-bit Linux architectures (they were added after the tables were unified).</summary>
    private const long PidfdSendSignalCall = 424, PidfdOpenCall = 434, PidfdGetDescriptorCall = 438;
    public const int SigKill = 9;
    public const short PollIn = 1;
    public const int ProtectionRead = 1, MapShared = 1, AdviceHugePages = 14, AdvicePopulateRead = 22;

    [StructLayout(LayoutKind.Sequential)]
    public struct PollEntry
    {
        public int Descriptor;
        public short Wanted;
        public short Happened;
    }

    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    public static extern int Open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    [DllImport("libc", EntryPoint = "prctl", SetLastError = true)]
    public static extern int ProcessControl(int option, nuint value, nuint third, nuint fourth, nuint fifth);

    [DllImport("libc", EntryPoint = "setfsuid")]
    public static extern int SetFileUid(int uid);

    [DllImport("libc", EntryPoint = "setfsgid")]
    public static extern int SetFileGid(int gid);

    [DllImport("libc", EntryPoint = "close", SetLastError = true)]
    public static extern int Close(int descriptor);

    [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
    public static extern int Fsync(int descriptor);

    [DllImport("libc", EntryPoint = "lchown", SetLastError = true)]
    public static extern int LChown([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int uid, int gid);

    [DllImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static extern int Poll([In, Out] PollEntry[] entries, nuint count, int timeoutMs);

    [DllImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    public static extern int Pipe2([Out] int[] descriptors, int flags);

    [DllImport("libc", EntryPoint = "read", SetLastError = true)]
    public static extern nint Read(int descriptor, [Out] byte[] buffer, nuint count);

    [DllImport("libc", EntryPoint = "write", SetLastError = true)]
    public static extern nint Write(int descriptor, byte[] buffer, nuint count);

    /// <summary>Its argument is variadic in C; a pointer is passed alike on all 64-bit Linux architectures.</summary>
    [DllImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static extern int IoControl(int descriptor, nuint request, [In, Out] byte[] argument);

    [DllImport("libc", EntryPoint = "mmap", SetLastError = true)]
    public static extern nint Map(nint wish, nuint bytes, int protection, int flags, int descriptor, long offset);

    [DllImport("libc", EntryPoint = "madvise", SetLastError = true)]
    public static extern int Advise(nint address, nuint bytes, int advice);

    [DllImport("libc", EntryPoint = "munmap", SetLastError = true)]
    public static extern int Unmap(nint address, nuint bytes);

    [DllImport("libc", EntryPoint = "lseek", SetLastError = true)]
    public static extern long Seek(int descriptor, long offset, int whence);

    [DllImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    public static extern int Allocate(int descriptor, int mode, long offset, long bytes);

    public const int KeepSize = 1, PunchHole = 2;

    public const int SeekData = 3, SeekHole = 4, NoSuchPlace = 6;

    public const int AtCurrentDirectory = -100, AtNoFollow = 0x100, AtEmptyPath = 0x1000;
    public const uint StatxBasic = 0x7ff;
    /// <summary>Of struct statx, which is laid out the same on all architectures; offsets in bytes.</summary>
    public const int StatxBytes = 256, StatxUidAt = 20, StatxModeAt = 28, StatxInodeAt = 32, StatxBlocksAt = 48, StatxBlockBytes = 512;

    [DllImport("libc", EntryPoint = "statx", SetLastError = true)]
    public static extern int Statx(
        int directory, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, uint mask, [Out] byte[] found);

    [DllImport("libc", EntryPoint = "geteuid")]
    public static extern int EffectiveUid();

    [DllImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static extern long Syscall(long number, long first, long second, long third, long fourth);

    /// <summary>A descriptor for exactly this process, readable once it has ended with all its threads.</summary>
    public static int PidfdOpen(int pid) => (int)Syscall(PidfdOpenCall, pid, 0, 0, 0);

    public static int PidfdSendSignal(int pidfd, int signal) => (int)Syscall(PidfdSendSignalCall, pidfd, signal, 0, 0);

    /// <summary>A duplicate here of the descriptor <paramref name="number"/> of that process.</summary>
    public static int PidfdGetDescriptor(int pidfd, int number) => (int)Syscall(PidfdGetDescriptorCall, pidfd, number, 0, 0);

    public static string LastError() => Marshal.GetLastPInvokeErrorMessage();
}
