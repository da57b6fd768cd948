using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Godwit.Balance;

/// <summary>cluster-gen.py and hbal, in a directory of their own that is removed in the end.</summary>
internal sealed partial class OutsidePrograms : IDisposable
{
    private readonly string generator;
    private readonly string directory = Directory.CreateTempSubdirectory("godwit-balance-").FullName;

    public OutsidePrograms(string generator) => this.generator = generator;

    public GeneratedCluster Generate(string hosts, string vms, string seed)
    {
        Run("python3", generator, "--nodes", hosts, "--inst", vms, "--seed", seed, "--template", "ext", "--out", At("before"));
        return GeneratedCluster.Read(At("before.json"));
    }

    /// <summary>hbal's own plan: score after, moves, processor seconds.</summary>
    public (double Score, int Moves, double CpuSeconds) Balance()
    {
        // The shell tells what its children used; the last line, user and system.
        var text = Run("bash", "-c", "\"$0\" \"$@\"; times", "hbal", "-t", At("before.data"), "-U", At("before.util"));
        var cpu = Times().Matches(text).TakeLast(2).Sum(match => 60 * Number(match.Groups[1]) + Number(match.Groups[2]));
        return (Number(Improved().Match(text).Groups[1]),
            (int)Number(Length().Match(text).Groups[1]), cpu);
    }

    /// <summary>What hbal says the placement scores.</summary>
    public double Judge(GeneratedCluster cluster, int[] hostOf)
    {
        cluster.WriteMoved(At("moved.json"), hostOf);
        Run("python3", generator, "--from-json", At("moved.json"), "--out", At("after"));
        var text = Run("hbal", "-t", At("after.data"), "-U", At("after.util"), "-l", "0");
        return Number(Initial().Match(text).Groups[1]);
    }

    public void Dispose() => Directory.Delete(directory, recursive: true);

    private static double Number(Group group) => double.Parse(group.Value, CultureInfo.InvariantCulture);

    private string At(string name) => Path.Combine(directory, name);

    private static string Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })
            ?? throw new InvalidOperationException($"{program} does not start");
        var text = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        // hbal ends with 1 where nothing is left to do.
        return process.ExitCode <= 1 ? text
            : throw new InvalidOperationException($"{program} ended with {process.ExitCode}");
    }

    [GeneratedRegex(@"improved from [\d.]+ to ([\d.]+)")]
    private static partial Regex Improved();

    [GeneratedRegex(@"Solution length=(\d+)")]
    private static partial Regex Length();

    [GeneratedRegex(@"(\d+)m([\d.]+)s")]
    private static partial Regex Times();

    [GeneratedRegex(@"Initial score: ([\d.]+)")]
    private static partial Regex Initial();
}
