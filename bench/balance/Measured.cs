using System.Diagnostics;

namespace Godwit.Balance;

/// <summary>Wall and processor time of what is run: on a busy machine only the second says something.</summary>
internal sealed record Measured<T>(T Result, double WallSeconds, double CpuSeconds)
{
    public string Times => $"{WallSeconds:0.000} s wall, {CpuSeconds:0.000} s CPU";
}

internal static class Measured
{
    public static Measured<T> Of<T>(Func<T> work)
    {
        var (clock, cpu) = (Stopwatch.StartNew(), Process.GetCurrentProcess().TotalProcessorTime);
        var result = work();
        return new(result, clock.Elapsed.TotalSeconds, (Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalSeconds);
    }
}
