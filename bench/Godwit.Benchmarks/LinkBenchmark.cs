using System.Globalization;

namespace Godwit.Benchmarks;

/// <summary>
/// unix socket → sender → loopback → receiver → unix socket, each end in its own process: the link; the same copy over an
/// ordinary SslStream; over TCP; and AES-GCM alone. CPU seconds per GB are what counts: on a busy machine wall time is
/// luck. The first run of each process warms it up and is not counted. Loopback is dearer than a network card here: the
/// sender's CPU also runs the receiving half of TCP.
/// </summary>
internal static class LinkBenchmark
{
    private const long WarmUpBytes = 1L << 30;

    public static async Task<int> RunAsync(string[] arguments)
    {
        double gib = arguments.Length > 0 ? double.Parse(arguments[0], CultureInfo.InvariantCulture) : 4;
        string[] variants = arguments.Length > 1 ? arguments[1..] : ["link", "tls", "tcp"];
        long bytes = (long)(gib * (1 << 15)) << 15;
        double ceiling = AesCeiling.BytesPerCpuSecond() / 1e9;
        Print($"AES-128-GCM alone, 16 KiB records: {ceiling:0.00} GB/s per core; each copy: {gib} GiB over loopback");
        Print($"         CPU s/GB         GB/s per core     of AES-GCM       of tls           kB allocated/GB  GB/s");
        Print($"         source target    source target     source target    source target    source target    wall");
        var measured = new Dictionary<string, (Figures Source, Figures Target)>();
        foreach (string variant in variants.Order(StringComparer.Ordinal).OrderBy(v => v == "link"))
        {
            var (source, target) = measured[variant] = await MeasureAsync(variant, bytes);
            double gb = bytes / 1e9;
            var tls = measured.GetValueOrDefault("tls", (source, target));
            Print($"{variant,-6} {source.Cpu / gb,8:0.000} {target.Cpu / gb,6:0.000}    {gb / source.Cpu,6:0.00} {gb / target.Cpu,6:0.00}"
                + $"   {gb / source.Cpu / ceiling,8:0%} {gb / target.Cpu / ceiling,6:0%}"
                + $"  {tls.Item1.Cpu / source.Cpu,8:0.00} {tls.Item2.Cpu / target.Cpu,6:0.00}"
                + $"  {source.Allocated / gb / 1000,8:0} {target.Allocated / gb / 1000,6:0}  {gb / source.Wall,6:0.00}");
        }
        return 0;
    }

    private static async Task<(Figures Source, Figures Target)> MeasureAsync(string variant, long bytes)
    {
        await using var place = await Workplace.CreateAsync();
        using var sink = place.ListenUnix("sink");
        var receiver = place.Start(null, "role", "receive", variant, place.Path("h2.pem"), place.Path("sink"), "127.0.0.1:0", "2");
        string endpoint = await Workplace.LineAsync(receiver);
        var sender = place.Start(null, "role", "send", variant, place.Path("h1.pem"), place.Path("qemu"), endpoint, "2");
        await Workplace.LineAsync(sender);

        Figures source = default, target = default;
        foreach (long size in new[] { WarmUpBytes, bytes })
        {
            var draining = Task.Run(() => Workplace.Drain(sink));
            await Task.Run(() => Workplace.Feed(place.Path("qemu"), size));
            source = Figures.Parse(await Workplace.LineAsync(sender));
            target = Figures.Parse(await Workplace.LineAsync(receiver));
            if (await draining != size) throw new InvalidOperationException($"{variant} lost bytes");
        }
        return (source, target);
    }

    private static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));
    private static void Print(string line) => Console.WriteLine(line);

    private readonly record struct Figures(double Cpu, double Wall, double Allocated)
    {
        public static Figures Parse(string line)
        {
            var words = line.Split(' ').Select(w => double.Parse(w, CultureInfo.InvariantCulture)).ToArray();
            return new(words[0], words[1], words[2]);
        }
    }
}
