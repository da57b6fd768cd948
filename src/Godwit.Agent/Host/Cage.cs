using System.Text;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// A mount namespace in which a process sees the files it was given and no others: an empty root, the system's programs
/// and libraries read-only, then the view. Made by util-linux' own tools, each replaced by the next, so that the pid is
/// the command's from the first moment on ([ADR 25](docs/adr/0025-confinement.md)). Nothing of it appears on the host,
/// and it is gone with its last process.
/// </summary>
internal static class Cage
{
    /// <summary>
    /// Where the new root is put together, over something in which no disk and no guest memory ever lies. (Seen by this
    /// namespace only.)
    /// </summary>
    private const string Root = "/sys";

    /// <summary>
    /// Arguments: table of mounts, directories, files, links (each list one a line), then the command. A path is never
    /// code. /proc is there only as long as umount(8) needs it: after that the process has none.
    /// </summary>
    private const string Script = """
        set -ef; umask 0022; table=$1 directories=$2 files=$3 links=$4; shift 4
        mount -t tmpfs -o mode=0755,size=1m,nosuid,nodev,noexec godwit /sys; cd /sys
        IFS='
        '; mkdir -p $directories; for file in $files; do : >"$file"; done; [ -z "$links" ] || ln -s $links .
        unset IFS; printf %s "$table" >.mounts; mount -a -T .mounts
        pivot_root . .; umount -lc . /proc; cd /; umask 0077; exec "$@"
        """;

    /// <summary>What every program needs to begin at all.</summary>
    private static readonly string[] devices = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

    /// <summary>To be put in front of what gives up rights: making it needs them.</summary>
    /// <exception cref="IOException">A path is relative, or has a line end in it.</exception>
    public static IEnumerable<string> Words(FileView view, SystemFiles system)
    {
        List<Seen> seen =
        [
            .. system.Directories.Concat(system.Files).Select(path => new Seen(path, "bind,ro,nosuid,nodev")),
            new("/proc", "nosuid,nodev,noexec"),
            .. devices.Concat(view.Devices).Select(path => new Seen(path, "bind,nosuid,noexec")),
            .. view.Programs.Select(path => new Seen(path, "bind,ro,nosuid,nodev")),
            .. view.ReadOnly.Select(path => new Seen(path, "bind,ro,nosuid,nodev,noexec")),
            .. view.Writable.Select(path => new Seen(path, "bind,nosuid,nodev,noexec")),
        ];
        foreach (var (path, _) in seen)
            if (!Path.IsPathFullyQualified(path) || path.Contains('\n', StringComparison.Ordinal))
                throw new IOException($"'{path}' cannot be shown to a confined process: it must be a path from the root on, in one line");

        var files = seen.Select(s => s.Path).Where(path => !system.IsDirectory(path)).ToList();
        var directories = seen.Select(s => s.Path).Except(files).Concat(files.Select(file => Path.GetDirectoryName(file)!));
        return ["sh", "-c", Script, "godwit", string.Concat(seen.Select(Mount)), Lines(directories.Select(Under)),
            Lines(files.Select(Under)), Lines(system.Links)];
    }

    private static string Mount(Seen seen) => seen.Path == "/proc" ? $"proc {Root}/proc proc {seen.Options}\n"
        : $"{Escaped(seen.Path)} {Escaped(Root + seen.Path)} none {seen.Options}\n";

    private static string Under(string path) => "." + path;
    private static string Lines(IEnumerable<string> lines) => string.Join('\n', lines.Distinct());

    /// <summary>As fstab(5) wants it.</summary>
    private static string Escaped(string path)
    {
        var text = new StringBuilder();
        foreach (var c in path)
            text.Append(c switch { ' ' => "\\040", '\t' => "\\011", '\\' => "\\134", '#' => "\\043", _ => c.ToString() });
        return text.ToString();
    }

    private readonly record struct Seen(string Path, string Options);
}

/// <summary>What of this system every confined process sees, and which of its paths are directories.</summary>
/// <param name="Links">At the root, by what they point to: <c>usr/lib</c> where /lib is a link to it.</param>
internal sealed record SystemFiles(
    IReadOnlyList<string> Directories, IReadOnlyList<string> Files, IReadOnlyList<string> Links, Func<string, bool> IsDirectory)
{
    /// <summary>As they are now; which of the two forms /lib has differs between distributions.</summary>
    public static SystemFiles Read()
    {
        string[] roots = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
        var links = roots.Select(path => new DirectoryInfo(path).LinkTarget?.TrimStart('/'))
            .OfType<string>().Where(target => target.StartsWith("usr/", StringComparison.Ordinal));
        return new SystemFiles(
            [.. roots.Where(path => Directory.Exists(path) && new DirectoryInfo(path).LinkTarget is null)],
            File.Exists("/etc/ld.so.cache") ? ["/etc/ld.so.cache"] : [], [.. links], Directory.Exists);
    }
}
