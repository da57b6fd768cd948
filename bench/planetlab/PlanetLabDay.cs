using System.Globalization;
using Godwit.Core.Replay;

namespace Godwit.PlanetLab;

/// <summary>
/// One day of the experiment of Beloglazov and Buyya (CCPE 24(13), 2012) as CloudSim 3.0.3 sets it up: 800 hosts of two kinds, one VM
/// of four kinds for each file of the day, in the byte order of their names. Processing is in MIPS.
/// </summary>
internal static class PlanetLabDay
{
    public const int Hosts = 800;
    private const int Points = 288;
    private const double Megabyte = 1e6;
    /// <summary>HP ProLiant ML110 G4 and G5, by SPECpower, at 0, 10, …, 100 %.</summary>
    public static readonly double[][] Watts =
    [
        [86, 89.4, 92.6, 96, 99.5, 102, 106, 108, 112, 114, 117],
        [93.7, 97, 101, 105, 110, 116, 121, 125, 129, 133, 135],
    ];
    private static readonly double[] CoreMips = [1860, 2660];
    private static readonly (double Mips, double Megabytes)[] VmKinds = [(2500, 870), (2000, 1740), (1000, 1740), (500, 613)];

    /// <param name="directory">Files of 288 lines, each the load in per cent.</param>
    /// <param name="hostMegabytes">Memory of a host: 4096 in the experiment, whose policies do not ask for it.</param>
    public static ReplayCluster Read(string directory, double hostMegabytes)
    {
        var files = Directory.GetFiles(directory);
        Array.Sort(files, StringComparer.Ordinal);
        if (files.Length == 0) throw new InvalidOperationException($"{directory} has no files: it shall be one day's directory");
        var ofOneKind = (files.Length + VmKinds.Length - 1) / VmKinds.Length;
        return new ReplayCluster(
            [.. Enumerable.Range(0, Hosts).Select(h => Host(h, hostMegabytes))],
            [.. files.Select((file, i) => Vm(VmKinds[i / ofOneKind], file))],
            StepSeconds: 300);
    }

    private static ReplayHost Host(int number, double megabytes)
    {
        var kind = number % 2;
        return new ReplayHost(2 * CoreMips[kind], CoreMips[kind], megabytes * Megabyte, new PowerCurve(Watts[kind]));
    }

    private static ReplayVm Vm((double Mips, double Megabytes) kind, string file) =>
        new(kind.Mips, kind.Megabytes * Megabyte, Loads(file));

    private static double[] Loads(string file)
    {
        var lines = File.ReadLines(file).Take(Points).Select(line => int.Parse(line, CultureInfo.InvariantCulture) / 100.0).ToList();
        return lines.Count == Points ? [.. lines, lines[^1]]
            : throw new InvalidOperationException($"{file} has {lines.Count} lines, a day has {Points}");
    }

    /// <summary>Ticks as CloudSim has them: VMs exist from 0.1 s on; a move has half of a gigabit.</summary>
    public static ReplayRules Rules(bool idleVmsVanish, bool memoryIsHard, double wakeSeconds = 0) => new()
    {
        FirstTickSeconds = 0.1 + 300, TickSeconds = 300, EndSeconds = 86400, CopyBytesPerSecond = 62.5 * Megabyte, WholeUnits = true,
        IdleVmsVanish = idleVmsVanish, MemoryIsHard = memoryIsHard, WakeSeconds = wakeSeconds,
    };
}
