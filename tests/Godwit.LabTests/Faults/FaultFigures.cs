using System.Globalization;
using Godwit.Tests;

namespace Godwit.LabTests.Faults;

/// <summary>
/// What ./test prints at its end: faults on real QEMU and how many ended as they should. One file, "name value" a line,
/// written anew after each test, so that a run that is broken off has told so far.
/// </summary>
internal static class FaultFigures
{
    private static readonly SortedDictionary<string, double> figures = new(StringComparer.Ordinal);

    public static async Task CountAsync(Func<Task> fault)
    {
        Set("faults-on-real-qemu-total", was => was + 1);
        await fault();
        Set("faults-on-real-qemu-passed", was => was + 1);
    }

    public static void Slowest(string name, TimeSpan took) => Set(name, was => Math.Max(was, took.TotalSeconds));

    private static void Set(string name, Func<double, double> next)
    {
        lock (figures)
        {
            figures.TryAdd("faults-on-real-qemu-passed", 0);
            figures[name] = next(figures.GetValueOrDefault(name));
            var directory = Path.Combine(FailureTable.Root(), "artifacts", "test-figures");
            Directory.CreateDirectory(directory);
            File.WriteAllLines(Path.Combine(directory, "faults-on-real-qemu.txt"),
                figures.Select(f => string.Create(CultureInfo.InvariantCulture, $"{f.Key} {f.Value:0.##}")));
        }
    }
}
