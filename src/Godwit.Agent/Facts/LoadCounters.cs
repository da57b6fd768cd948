using System.Globalization;

namespace Godwit.Agent.Facts;

/// <summary>
/// Counters out of /proc and /sys texts (proc(5), Documentation/accounting/psi.rst, scheduler/sched-stats.rst). Pure; text that is
/// not of the expected form gives null, never an exception: kernels differ.
/// </summary>
internal static class LoadCounters
{
    /// <summary>USER_HZ: what /proc counts processor time in, on every architecture Linux has left.</summary>
    public const double TicksPerSecond = 100;

    /// <summary>The first line of /proc/stat: ticks not idle (guests are part of user), and ticks stolen.</summary>
    public static (long Busy, long Steal)? HostCpu(string stat)
    {
        var line = stat.Split('\n')[0].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (line.Length < 9 || line[0] != "cpu") return null;
        var ticks = new long[8];
        for (var n = 0; n < ticks.Length; n++)
            if (!long.TryParse(line[n + 1], NumberStyles.None, CultureInfo.InvariantCulture, out ticks[n])) return null;
        const int idle = 3, ioWait = 4, steal = 7;
        return (ticks.Sum() - ticks[idle] - ticks[ioWait] - ticks[steal], ticks[steal]);
    }

    /// <summary>Share of the last ten seconds in which some task waited, 0 to 1.</summary>
    public static double? Pressure(string text)
    {
        const string sign = "some avg10=";
        var line = text.Split('\n').FirstOrDefault(l => l.StartsWith(sign, StringComparison.Ordinal));
        var word = line?[sign.Length..].Split(' ')[0];
        return double.TryParse(word, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var percent)
            && double.IsFinite(percent) ? percent / 100 : null;
    }

    /// <summary>utime and stime of /proc/PID/stat, in ticks: of all threads, also of those that have ended.</summary>
    public static long? ProcessCpu(string stat)
    {
        var fields = stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        const int userTime = 14 - 3, systemTime = 15 - 3; // Field numbers of proc(5); the list begins at 3.
        return fields.Length > systemTime
            && long.TryParse(fields[userTime], NumberStyles.None, CultureInfo.InvariantCulture, out var user)
            && long.TryParse(fields[systemTime], NumberStyles.None, CultureInfo.InvariantCulture, out var system) ? user + system : null;
    }

    /// <summary>A thread's schedstat: nanoseconds it was ready to run and did not.</summary>
    public static long? ThreadWaitNs(string schedstat) =>
        schedstat.Split(' ') is { Length: >= 2 } words
        && long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out var waited) ? waited : null;

    /// <summary>A "name: value kB" line of /proc/meminfo or /proc/PID/status, in bytes.</summary>
    public static long? Kilobytes(string text, string name)
    {
        var line = text.Split('\n').FirstOrDefault(l => l.StartsWith(name + ":", StringComparison.Ordinal));
        var word = line?[(name.Length + 1)..].Trim().Split(' ')[0];
        return long.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value << 10 : null;
    }

    /// <summary>Bytes read from and written to devices, of /proc/PID/io.</summary>
    public static long? ProcessDisk(string io) =>
        Plain(io, "read_bytes") is { } read && Plain(io, "write_bytes") is { } written ? read + written : null;

    /// <summary>One link's bytes, received and sent, of /proc/net/dev.</summary>
    public static (long Received, long Sent)? Link(string netDev, string name)
    {
        var line = netDev.Split('\n').Select(l => l.Trim()).FirstOrDefault(l => l.StartsWith(name + ":", StringComparison.Ordinal));
        var words = line?[(name.Length + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return words is { Length: >= 9 }
            && long.TryParse(words[0], NumberStyles.None, CultureInfo.InvariantCulture, out var received)
            && long.TryParse(words[8], NumberStyles.None, CultureInfo.InvariantCulture, out var sent) ? (received, sent) : null;
    }

    private static long? Plain(string text, string name)
    {
        var line = text.Split('\n').FirstOrDefault(l => l.StartsWith(name + ":", StringComparison.Ordinal));
        var word = line?[(name.Length + 1)..].Trim();
        return long.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;
    }
}
