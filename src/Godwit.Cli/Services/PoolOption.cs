using System.Runtime.InteropServices;
using Godwit.Agent.Machines;
using Godwit.Core;

namespace Godwit.Cli.Services;

/// <summary>One <c>--pool NAME=DIRECTORY</c>.</summary>
internal static partial class PoolOption
{
    private const int WriteOnlyCreate = 0x41, Direct = 0x4000, OwnerOnly = 0x180; // O_WRONLY|O_CREAT, O_DIRECT, 0600 on x86-64.

    /// <summary>Null where the text is not of that form.</summary>
    public static (string Name, string Directory)? Parse(string text)
    {
        var equals = text.IndexOf('=');
        if (equals <= 0 || !Names.IsValid(text[..equals])) return null;
        var directory = text[(equals + 1)..];
        return Path.IsPathFullyQualified(directory) ? (text[..equals], Path.TrimEndingDirectorySeparator(directory)) : null;
    }

    /// <summary>Makes the directory where it is missing and asks its file system for O_DIRECT by trying it.</summary>
    public static PoolPlace Open(string directory)
    {
        Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute); // VMs' uids pass through, and list nothing.
        var probe = Path.Combine(directory, $".godwit-direct-{Environment.ProcessId}");
        var descriptor = OpenFile(probe, WriteOnlyCreate | Direct, OwnerOnly);
        if (descriptor >= 0) _ = CloseFile(descriptor);
        File.Delete(probe);
        return new PoolPlace(directory, DirectIo: descriptor >= 0);
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags, int mode);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseFile(int descriptor);
}
