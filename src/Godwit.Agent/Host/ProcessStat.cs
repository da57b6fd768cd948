using System.Globalization;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>What /proc/PID/stat says: is this still the process we mean, and does any of it still run?</summary>
internal readonly record struct ProcessStat(char State, int Threads, long StartTicks)
{
    /// <summary>
    /// A zombie has ended, unless threads of it remain: the first thread may be gone while another one still hangs
    /// in the kernel, and a vCPU thread that hangs may yet write.
    /// </summary>
    public bool Runs => State is not ('Z' or 'X' or 'x') || Threads > 1;

    public static bool IsAlive(ProcessHandle process) =>
        Read(process.Pid) is { } stat && stat.StartTicks == process.StartTicks && stat.Runs;

    /// <summary>Null where there is no such process.</summary>
    public static ProcessStat? Read(int pid)
    {
        try
        {
            return Parse(File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat")));
        }
        catch (IOException) { return null; } // No such file, or ESRCH while reading: it is gone.
    }

    /// <summary>Null for text that is not of that form. The name in brackets may itself hold brackets and spaces.</summary>
    public static ProcessStat? Parse(string text)
    {
        var fields = text[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        const int state = 3 - 3, threads = 20 - 3, startTicks = 22 - 3; // Field numbers of proc(5); the list begins at 3.
        return fields.Length > startTicks && fields[state].Length == 1
            && int.TryParse(fields[threads], NumberStyles.None, CultureInfo.InvariantCulture, out var threadCount)
            && long.TryParse(fields[startTicks], NumberStyles.None, CultureInfo.InvariantCulture, out var ticks)
            ? new ProcessStat(fields[state][0], threadCount, ticks) : null;
    }
}
