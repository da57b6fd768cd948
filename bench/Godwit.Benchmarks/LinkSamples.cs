using System.Globalization;
using Godwit.Agent.Link;

namespace Godwit.Benchmarks;

/// <summary>The link's own view of its backlog, every millisecond, after the first 300 ms.</summary>
internal static class LinkSamples
{
    public static async Task<string> CollectAsync(Func<LinkStats> stats, CancellationToken cancel)
    {
        var (waiting, roundTrips) = (new List<double>(), new List<double>());
        LinkStats last = default;
        try
        {
            await Task.Delay(300, cancel);
            while (true)
            {
                await Task.Delay(1, cancel);
                last = stats();
                roundTrips.Add(last.RoundTrip.TotalMilliseconds);
                if (last.DeliveryBytesPerSecond > 0)
                    waiting.Add(last.BacklogBytes * 1000.0 / last.DeliveryBytesPerSecond - last.RoundTripMin.TotalMilliseconds);
            }
        }
        catch (OperationCanceledException)
        {
            // The run is over.
        }
        waiting.Sort();
        roundTrips.Sort();
        return string.Create(CultureInfo.InvariantCulture,
            $"link: waiting p50 {At(waiting, 0.5):0.00} p99 {At(waiting, 0.99):0.00} ms, rate {last.DeliveryBytesPerSecond / 1e6:0} MB/s,"
            + $" round trip min {last.RoundTripMin.TotalMilliseconds:0.00} p50 {At(roundTrips, 0.5):0.00}"
            + $" p99 {At(roundTrips, 0.99):0.00} ms, window {last.WindowBytes / 1024} KiB");
    }

    public static double At(List<double> sorted, double share) =>
        sorted.Count == 0 ? double.NaN : sorted[(int)Math.Min(sorted.Count - 1, sorted.Count * share)];
}
