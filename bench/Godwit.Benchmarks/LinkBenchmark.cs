using System.Globalization;

namespace Godwit.Benchmarks;

/// <summary>
/// unix socket → sender → loopback → receiver → unix socket, each end in its own process: the link, the same copy over
/// plain TLS, over plain TCP, and AES-GCM alone. CPU seconds per GB are what counts: on a busy machine wall time is luck.
/// The first run of each process warms it up and is not counted.
/// </summary>
internal static class LinkBenchmark
{
    private static readonly string[] Variants = ["link", "tls", "tcp"];

    public static async Task<int> RunAsync(string[] arguments)
    {
        double gib = arguments.Length > 0 ? double.Parse(arguments[0], CultureInfo.InvariantCulture) : 2;
        var variants = arguments.Length > 1 ? arguments[1..] : Variants;
        long bytes = (long)(gib * (1 << 15)) << 15;
        double ceiling = AesCeiling.BytesPerCpuSecond();
        Console.WriteLine($"AES-128-GCM, 16 KiB records, one core: {ceiling / 1e9:0.00} GB/s");
        Console.WriteLine($"{gib} GiB, loopback     GB/s  source CPU s/GB  target CPU s/GB  GB/s per core (source, target)  kB allocated/GB");
        foreach (string variant in variants)
        {
            var (source, target) = await MeasureAsync(variant, bytes);
            double gb = bytes / 1e9;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{variant,-16} {gb / source.Wall,10:0.00} {source.Cpu / gb,16:0.000} {target.Cpu / gb,16:0.000}"
                + $" {gb / source.Cpu,12:0.00} {gb / target.Cpu,10:0.00} = {gb / source.Cpu * 1e9 / ceiling:0%} {gb / target.Cpu * 1e9 / ceiling:0%} of AES"
                + $" {source.Allocated / gb / 1000,10:0} {target.Allocated / gb / 1000,6:0}"));
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
        foreach (long size in new[] { 1L << 30, bytes })
        {
            var draining = Task.Run(() => Workplace.Drain(sink));
            await Task.Run(() => Workplace.Feed(place.Path("qemu"), size));
            source = Figures.Parse(await Workplace.LineAsync(sender));
            target = Figures.Parse(await Workplace.LineAsync(receiver));
            if (await draining != size) throw new InvalidOperationException($"{variant} lost bytes");
        }
        return (source, target);
    }

    internal readonly record struct Figures(double Cpu, double Wall, double Allocated)
    {
        public static Figures Parse(string line)
        {
            var words = line.Split(' ').Select(w => double.Parse(w, CultureInfo.InvariantCulture)).ToArray();
            return new(words[0], words[1], words[2]);
        }
    }
}
