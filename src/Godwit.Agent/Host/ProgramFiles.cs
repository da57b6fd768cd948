using System.Globalization;
using System.Runtime.InteropServices;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// Whether a program may be run as this process: it, and every directory above it, belongs to root or to this very user, and
/// nobody else may write it. No link is followed, so what was looked at is what is run.
/// </summary>
public sealed class ProgramFiles : IProgramFiles
{
    private const uint TypeMask = 0xF000, Directory = 0x4000, RegularFile = 0x8000;
    private const uint OthersWrite = 0x12, AnyExecute = 0x49, Sticky = 0x200;

    public string? WhyNotTrusted(string path)
    {
        if (!Path.IsPathFullyQualified(path)) return $"{path} is no path from the root on";
        var uid = (uint)Libc.EffectiveUid();
        if (Look(path) is not { } file) return $"there is no {path}";
        if (Judge(path, file, RegularFile, uid) is { } why) return why;
        if ((file.Mode & AnyExecute) == 0) return $"{path} may not be executed";
        for (var above = Path.GetDirectoryName(path); above is not null; above = Path.GetDirectoryName(above))
        {
            if (Look(above) is not { } directory) return $"there is no {above}";
            if (Judge(above, directory, Directory, uid) is { } whyNot) return whyNot;
        }
        return null;
    }

    /// <summary>Pure, so that it can be tried with owners that a test cannot make.</summary>
    internal static string? Judge(string path, FileStanding found, uint type, uint uid)
    {
        if ((found.Mode & TypeMask) != type)
            return type == Directory ? $"{path} is no directory of its own (a link?)" : $"{path} is no regular file (a link?)";
        if (found.Owner != 0 && found.Owner != uid)
            return string.Create(CultureInfo.InvariantCulture, $"{path} belongs to uid {found.Owner}, not to root");
        // In a sticky directory (/tmp) others may add names, but neither rename nor remove what is root's.
        if ((found.Mode & OthersWrite) != 0 && !(type == Directory && (found.Mode & Sticky) != 0))
            return $"{path} may be written by others than its owner";
        return null;
    }

    internal static FileStanding? Look(string path)
    {
        var buffer = new byte[Libc.StatxBytes];
        if (Libc.Statx(Libc.AtCurrentDirectory, path, Libc.AtNoFollow, Libc.StatxBasic, buffer) != 0) return null;
        return new FileStanding(
            MemoryMarshal.Read<uint>(buffer.AsSpan(Libc.StatxUidAt)), MemoryMarshal.Read<ushort>(buffer.AsSpan(Libc.StatxModeAt)));
    }
}

/// <param name="Mode">Type and permission bits, as stat has them.</param>
internal readonly record struct FileStanding(uint Owner, uint Mode);
