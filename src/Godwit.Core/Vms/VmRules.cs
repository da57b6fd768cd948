using System.Text.RegularExpressions;

namespace Godwit.Core.Vms;

/// <summary>
/// What a VM may be made of: one set of limits and forms for whoever is asked. The server holds a person's wish against
/// them (and so every client's: CLI, scripts), the agent the server's order.
/// </summary>
public static partial class VmRules
{
    public const int CpusMax = 288, DisksMax = 8, NicsMax = 8;
    public const long MemoryBytesMin = 16L << 20, MemoryBytesMax = 16L << 40, MemoryStep = 1L << 20;
    public const int Sector = 512;
    public const long DiskBytesMax = 64L << 40;
    public const string BridgeRule = "an interface name has 1 to 15 of a-z 0-9 . _ -";
    public const int MaxPauseMsMax = 60_000;
    /// <summary>More than any link carries; less than where sums of bytes overflow.</summary>
    public const long BandwidthMax = 1L << 40;

    public static bool IsMemory(long bytes) => bytes is >= MemoryBytesMin and <= MemoryBytesMax && bytes % MemoryStep == 0;

    /// <param name="min">A new disk's is larger than what an old one may have.</param>
    public static bool IsDisk(long bytes, long min = Sector) => bytes >= min && bytes <= DiskBytesMax && bytes % Sector == 0;

    public static bool IsBridge(string? name) => name is not null && BridgeForm().IsMatch(name);

    /// <summary>Lower-case, locally administered, unicast.</summary>
    public static bool IsMac(string? mac) => mac is not null && MacForm().IsMatch(mac);

    /// <summary>Host processors, as taskset reads them: <c>0-3,6</c>.</summary>
    public static bool IsCpuList(string? cpus) => cpus is not null && CpuListForm().IsMatch(cpus);

    /// <summary>An absolute path of one line.</summary>
    public static bool IsPath(string? path) =>
        path is { Length: > 1 and <= 4096 } && path[0] == '/' && !path.Any(char.IsControl);

    [GeneratedRegex("^[a-z0-9][a-z0-9._-]{0,14}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex BridgeForm();
    [GeneratedRegex("^[0-9a-f][26ae](:[0-9a-f]{2}){5}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex MacForm();
    [GeneratedRegex("^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?){0,63}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex CpuListForm();
}
