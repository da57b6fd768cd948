using System.Diagnostics;
using System.Globalization;

namespace Godwit.Benchmarks;

/// <summary>
/// Two network namespaces with a shaped 1 Gbit/s veth between them; a stand-in for QEMU pushes as fast as it can. What is
/// counted is what QEMU would believe sent and its target has not read: all of it would be pause. Beside the link, the
/// same copy with nobody pacing it. Needs root, ip and tc; removes what it made.
/// </summary>
internal static class PacingBenchmark
{
    /// <summary>1 Gbit/s less the headers of Ethernet, IP and TCP.</summary>
    private const double CapacityBytesPerSecond = 125e6 * 1448 / 1514;
    private const string SourceNamespace = "gw-bench-a", TargetNamespace = "gw-bench-b", TargetAddress = "10.219.77.2";

    public static async Task<int> RunAsync(string[] arguments)
    {
        double gib = arguments.Length > 0 ? double.Parse(arguments[0], CultureInfo.InvariantCulture) : 1;
        string[] variants = arguments.Length > 1 ? arguments[1..] : ["tls", "link"];
        await RemoveNamespacesAsync();
        try
        {
            await MakeNamespacesAsync();
            Console.WriteLine("         MB/s   of capacity   waiting between the QEMUs, ms at 1 Gbit/s:"
                + " p50    p90    p99    max   last byte after, ms");
            foreach (string variant in variants)
            {
                var run = await MeasureAsync(variant, (long)(gib * (1 << 15)) << 15);
                run.Waiting.Sort();
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{variant,-6} {run.BytesPerSecond / 1e6,6:0.0} {run.BytesPerSecond / CapacityBytesPerSecond,13:0.0%}"
                    + $" {LinkSamples.At(run.Waiting, 0.5),45:0.00} {LinkSamples.At(run.Waiting, 0.9),6:0.00}"
                    + $" {LinkSamples.At(run.Waiting, 0.99),6:0.00} {LinkSamples.At(run.Waiting, 1),6:0.00} {run.LastByteMs,8:0.00}"));
            }
            return 0;
        }
        finally
        {
            await RemoveNamespacesAsync();
        }
    }

    private static async Task<PacingRun> MeasureAsync(string variant, long bytes)
    {
        await using var place = await Workplace.CreateAsync();
        using var sink = place.ListenUnix("sink");
        var receiver = place.Start(
            TargetNamespace, "role", "receive", variant, place.Path("h2.pem"), place.Path("sink"), TargetAddress + ":0", "2");
        string endpoint = await Workplace.LineAsync(receiver);
        var sender = place.Start(
            SourceNamespace, "role", "send", variant, place.Path("h1.pem"), place.Path("qemu"), endpoint, "2", "samples");
        await Workplace.LineAsync(sender);

        var run = new PacingRun();
        foreach (long size in new[] { 256L << 20, bytes })
        {
            run = new PacingRun();
            var draining = Task.Run(() => Workplace.Drain(sink, run.OnDrained));
            var sampling = Task.Run(run.Sample);
            await Task.Run(() => Workplace.Feed(place.Path("qemu"), size, run.OnFed));
            run.FeedEnded();
            await draining;
            run.DrainEnded();
            await sampling;
            await Workplace.LineAsync(sender);
            await Workplace.LineAsync(receiver);
        }
        return run;
    }

    private static async Task MakeNamespacesAsync()
    {
        foreach (string command in new[]
        {
            $"netns add {SourceNamespace}", $"netns add {TargetNamespace}",
            $"link add gwb0 netns {SourceNamespace} type veth peer name gwb0 netns {TargetNamespace}",
            $"-n {SourceNamespace} addr add 10.219.77.1/24 dev gwb0", $"-n {TargetNamespace} addr add {TargetAddress}/24 dev gwb0",
            $"-n {SourceNamespace} link set gwb0 up", $"-n {TargetNamespace} link set gwb0 up",
        }) await RunToolAsync("ip", command);
        foreach (string name in new[] { SourceNamespace, TargetNamespace })
            await RunToolAsync("ip", $"netns exec {name} tc qdisc add dev gwb0 root tbf rate 1gbit burst 512kb latency 50ms");
    }

    private static async Task RemoveNamespacesAsync()
    {
        foreach (string name in new[] { SourceNamespace, TargetNamespace })
            await RunToolAsync("ip", $"netns del {name}", mayFail: true);
    }

    private static async Task RunToolAsync(string tool, string arguments, bool mayFail = false)
    {
        using var process = Process.Start(new ProcessStartInfo(tool, arguments) { RedirectStandardError = true })
            ?? throw new InvalidOperationException($"{tool} does not start");
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0 && !mayFail) throw new InvalidOperationException($"{tool} {arguments}: {error.Trim()}");
    }
}

/// <summary>What went in and came out of one copy, looked at every millisecond after the first 300 ms.</summary>
internal sealed class PacingRun
{
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(300);
    private readonly long _began = Stopwatch.GetTimestamp();
    private long _fed;
    private long _drained;
    private long _feedEnded;
    private long _drainEnded;

    public List<double> Waiting { get; } = [];
    public double BytesPerSecond => _drained / Stopwatch.GetElapsedTime(_began, _drainEnded).TotalSeconds;
    public double LastByteMs => Stopwatch.GetElapsedTime(_feedEnded, _drainEnded).TotalMilliseconds;

    public void OnFed(int bytes) => Interlocked.Add(ref _fed, bytes);
    public void OnDrained(int bytes) => Interlocked.Add(ref _drained, bytes);
    public void FeedEnded() => Interlocked.Exchange(ref _feedEnded, Stopwatch.GetTimestamp());
    public void DrainEnded() => _drainEnded = Stopwatch.GetTimestamp();

    public void Sample()
    {
        while (Interlocked.Read(ref _feedEnded) == 0)
        {
            Thread.Sleep(1);
            if (Stopwatch.GetElapsedTime(_began) < Settling) continue;
            long drained = Interlocked.Read(ref _drained); // First, so that it is never more than was fed.
            Waiting.Add((Interlocked.Read(ref _fed) - drained) / 125e3);
        }
    }
}
