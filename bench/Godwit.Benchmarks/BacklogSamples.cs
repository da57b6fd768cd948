using System.Globalization;
using Godwit.Agent.Link;

namespace Godwit.Benchmarks;

/// <summary>The link's own view of its backlog, every millisecond, after the first 300 ms.</summary>
internal static class BacklogSamples
{
    public static async Task<string> CollectAsync(Func<LinkStats> stats, CancellationToken cancel)
    {
        var waiting = new List<double>();
        LinkStats last = default;
        try
        {
            await Task.Delay(300, cancel);
            while (true)
            {
                await Task.Delay(1, cancel);
                last = stats();
                if (last.DeliveryBytesPerSecond > 0)
                    waiting.Add(last.BacklogBytes * 1000.0 / last.DeliveryBytesPerSecond - last.RoundTripMin.TotalMilliseconds);
            }
        }
        catch (OperationCanceledException)
        {
            // The run is over.
        }
        waiting.Sort();
        return string.Create(CultureInfo.InvariantCulture,
            $"link: waiting p50 {At(waiting, 0.5):0.00} p99 {At(waiting, 0.99):0.00} ms, rate {last.DeliveryBytesPerSecond / 1e6:0} MB/s,"
            + $" round trip {last.RoundTripMin.TotalMilliseconds:0.00} ms, window {last.WindowBytes / 1024} KiB");
    }

    public static double At(List<double> sorted, double share) =>
        sorted.Count == 0 ? double.NaN : sorted[(int)Math.Min(sorted.Count - 1, sorted.Count * share)];
}
