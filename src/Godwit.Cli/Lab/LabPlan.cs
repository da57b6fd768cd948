using System.Text.RegularExpressions;

namespace Godwit.Cli.Lab;

/// <summary>
/// What a lab is: every name and address in it follows from the tag, so a lab can be found and removed by its tag
/// alone, whatever became of the program that made it. Several labs with different tags live side by side.
/// </summary>
/// <param name="Tag">1 to 8 of a-z and 0-9: part of interface names, which the kernel ends at 15 characters.</param>
/// <param name="MigrationRate">Rate of each host's migration link in <c>tc</c>'s words (<c>1gbit</c>), null: unshaped.</param>
public sealed partial record LabPlan(string Tag, int HostCount, string? MigrationRate = LabPlan.MigrationRateDefault)
{
    public const int HostCountMax = 16;
    public const string MigrationRateDefault = "1gbit";
    /// <summary>Where guests send their beats.</summary>
    public const string ProberAddress = "10.77.255.254";
    /// <summary>Address of the server on the management network.</summary>
    public const string ServerAddress = "10.79.0.254";
    /// <summary>Of the machine itself on the management network, where <see cref="HasLegForPeople"/>.</summary>
    public const string PeoplesAddress = "10.79.0.253";
    /// <summary>The bridge on every host that VMs are plugged into.</summary>
    public const string Bridge = "br0";

    /// <summary>Holds the three bridges and the prober.</summary>
    public string LanNamespace => $"gw{Tag}-lan";
    public string ServerNamespace => $"gw{Tag}-server";
    /// <summary>A browser on this machine reaches the lab's console. One lab at a time: addresses are the same in all.</summary>
    public bool HasLegForPeople { get; init; }
    internal string PeoplesLink => $"gw{Tag}-web";
    public IEnumerable<LabHost> Hosts => Enumerable.Range(1, HostCount).Select(n => new LabHost(this, n));
    public IEnumerable<string> Namespaces => [LanNamespace, ServerNamespace, .. Hosts.Select(h => h.Namespace)];

    /// <summary>
    /// RAM files and sockets: must be memory, or guests run at the speed of a disk. /run where it is tmpfs,
    /// else /dev/shm.
    /// </summary>
    public string RunDirectory => Path.Combine(TmpfsRoot(), $"godwit-{Tag}");
    /// <summary>Pools, the server's store, logs and the lab's own record: on a disk, as they would be in earnest.</summary>
    public string DataDirectory => $"/var/tmp/godwit-{Tag}";
    public string SharedPool => Path.Combine(DataDirectory, "pool");

    /// <summary>Where the server's API listens; for the tag "lab" it is where godwit's verbs look by themselves.</summary>
    public string ServerSocket => $"/run/godwit-{Tag}/server.sock";
    /// <summary>All that a lab has on file systems.</summary>
    public IEnumerable<string> Directories => [RunDirectory, Path.GetDirectoryName(ServerSocket)!, DataDirectory];

    /// <exception cref="LabException">Tag or number of hosts out of bounds.</exception>
    public static LabPlan Of(string tag, int hostCount, string? migrationRate = MigrationRateDefault)
    {
        if (!TagPattern().IsMatch(tag))
            throw new LabException($"'{tag}' cannot name a lab: take 1 to 8 of a-z and 0-9.");
        if (hostCount is < 1 or > HostCountMax)
            throw new LabException($"a lab has 1 to {HostCountMax} hosts, not {hostCount}.");
        return new LabPlan(tag, hostCount, migrationRate);
    }

    /// <summary>True where a path lies on a tmpfs, by the longest mount point that holds it.</summary>
    public static bool IsTmpfs(string path, IEnumerable<string> mounts) => mounts
        .Select(line => line.Split(' '))
        .Where(m => m.Length > 2 && (path == m[1] || path.StartsWith(m[1].TrimEnd('/') + "/", StringComparison.Ordinal)))
        .OrderBy(m => m[1].Length)
        .LastOrDefault()?[2] == "tmpfs";

    private static string TmpfsRoot() => IsTmpfs("/run", File.ReadLines("/proc/mounts")) ? "/run" : "/dev/shm";

    [GeneratedRegex("^[a-z0-9]{1,8}\\z")]
    private static partial Regex TagPattern();
}

/// <summary>One namespace that plays a host.</summary>
public sealed record LabHost(LabPlan Plan, int Number)
{
    public string Name => $"host{Number}";
    public string Namespace => $"gw{Plan.Tag}-{Name}";
    public string MigrationAddress => $"10.78.0.{Number}";
    public string ManagementAddress => $"10.79.0.{Number}";
    public string RunDirectory => Path.Combine(Plan.RunDirectory, Name);
    public string DataDirectory => Path.Combine(Plan.DataDirectory, Name);
    /// <summary>A pool only this host has: what the server must find out and refuse.</summary>
    public string LocalPool => Path.Combine(DataDirectory, "local");
}
