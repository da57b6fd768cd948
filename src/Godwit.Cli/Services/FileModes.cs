using System.Runtime.InteropServices;

namespace Godwit.Cli.Services;

/// <summary>
/// Agent and server give every file and directory its mode themselves. The umask of whoever started them must not
/// narrow that: VMs' uids would no longer get through to their own sockets.
/// </summary>
internal static partial class FileModes
{
    private const int NothingButWritingForOthers = 0x12; // 022

    public static void AsAsked() => _ = SetMask(NothingButWritingForOthers);

    [LibraryImport("libc", EntryPoint = "umask")]
    private static partial int SetMask(int mask);
}
