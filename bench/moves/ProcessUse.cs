using System.Globalization;

namespace Godwit.Moves;

/// <summary>What one process costs, from /proc (proc(5)).</summary>
internal static class ProcessUse
{
    private const double TicksPerSecond = 100; // USER_HZ, part of Linux's interface on x86.

    /// <summary>Processor time used so far, user and system.</summary>
    public static double CpuSeconds(int pid)
    {
        var stat = File.ReadAllText($"/proc/{pid}/stat");
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' '); // The name may hold spaces; fields[0] is state.
        const int userAt = 11, systemAt = 12;
        return (Number(fields[userAt]) + Number(fields[systemAt])) / TicksPerSecond;
    }

    public static double ResidentMib(int pid)
    {
        var line = File.ReadLines($"/proc/{pid}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
        return Number(line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1]) / 1024; // "VmRSS:  1234 kB"
    }

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}
