using System.Globalization;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// A share of the host as a cgroup v2 of its own. Where systemd runs, the tree is its, and it is asked for a scope with
/// these limits; elsewhere the agent makes <c>godwit/NAME</c> below the root. Where neither can be, processes run without
/// limits of their own and <see cref="WhyNot"/> tells why.
/// </summary>
/// <param name="root">Where cgroup v2 is mounted, if it is.</param>
internal sealed class Cgroups(string root = "/sys/fs/cgroup")
{
    private static readonly string[] needed = ["memory", "pids", "cpu"];
    private const string Branch = "godwit";
    private volatile string? _failure;

    /// <summary>Null where limits are kept, as far as is known; else why not, as half a sentence.</summary>
    public string? WhyNot => Missing ?? _failure;

    /// <summary>Null where this host's kernel could keep limits.</summary>
    private string? Missing
    {
        get
        {
            string controllers;
            try { controllers = File.ReadAllText(Path.Combine(root, "cgroup.controllers")); }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return $"no cgroup v2 is mounted on {root}"; }
            var missing = needed.Except(controllers.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries)).ToList();
            return missing.Count > 0 ? $"cgroup v2 on {root} is without {string.Join(", ", missing)}" : null;
        }
    }

    /// <summary>Properties of a systemd scope; none where the kernel could not keep them.</summary>
    public IReadOnlyList<string> ScopeWords(HostShare share) => Missing is not null ? [] :
    [
        "-p", Text($"MemoryMax={share.MemoryBytesMax}"), "-p", Text($"TasksMax={share.TasksMax}"),
        "-p", Text($"CPUWeight={share.CpuWeight}"), "-p", Text($"IOWeight={share.IoWeight}"),
    ];

    /// <summary>Makes the group, its limits set. Returns the file a process writes its pid to; null where that cannot be.</summary>
    public string? Make(HostShare share)
    {
        if (Missing is not null) return null;
        var branch = Path.Combine(root, Branch);
        var group = Path.Combine(branch, share.Name);
        try
        {
            // I/O weights need a disk scheduler that knows them: where there is none, the others still hold.
            var io = File.ReadAllText(Path.Combine(root, "cgroup.controllers")).Contains("io", StringComparison.Ordinal);
            var enable = string.Join(' ', needed.Select(c => "+" + c)) + (io ? " +io" : "");
            File.WriteAllText(Path.Combine(root, "cgroup.subtree_control"), enable);
            Directory.CreateDirectory(branch);
            File.WriteAllText(Path.Combine(branch, "cgroup.subtree_control"), enable);
            Directory.CreateDirectory(group);
            Set(group, "memory.max", share.MemoryBytesMax);
            Set(group, "pids.max", share.TasksMax);
            Set(group, "cpu.weight", share.CpuWeight);
            if (io) Set(group, "io.weight", share.IoWeight);
            _failure = null;
            return Path.Combine(group, "cgroup.procs");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _failure = $"the cgroup {group} could not be made ({e.Message})";
            return null;
        }
    }

    /// <summary>Of the groups made here; those of systemd's scopes go with their last process.</summary>
    public IReadOnlyList<string> Names
    {
        get
        {
            try
            {
                var groups = Directory.EnumerateDirectories(Path.Combine(root, Branch));
                return [.. groups.Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal)];
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return []; }
        }
    }

    /// <summary>The kernel refuses as long as a process is in it.</summary>
    public void Remove(string name)
    {
        var group = Path.Combine(root, Branch, name);
        try { if (Directory.Exists(group)) Directory.Delete(group); }
        catch (IOException) { } // Still used, or not a cgroup: it costs nothing.
    }

    private static void Set(string group, string file, long value) =>
        File.WriteAllText(Path.Combine(group, file), value.ToString(CultureInfo.InvariantCulture));

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
