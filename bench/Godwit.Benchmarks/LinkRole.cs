using System.Diagnostics;
using System.Globalization;
using Godwit.Agent.Host;
using Godwit.Agent.Link;
using Godwit.Core;
using Godwit.Core.Identity;
using Microsoft.Extensions.Logging.Abstractions;

namespace Godwit.Benchmarks;

/// <summary>
/// One end of a copy, in its own process so that its CPU time is its own. Says on its standard output: a line when it
/// listens (the receiver: where), then one line of figures per run.
/// <c>role send|receive link|tls|tcp BUNDLE UNIX-PATH ENDPOINT RUNS [samples]</c>
/// </summary>
internal sealed class LinkRole(string variant, RealNetwork network, IdentityBundle identity, string unixPath, bool samples)
{
    private static readonly HostId Source = new("h1"), Target = new("h2");
    private static readonly MoveId Move = new("mv-000000000000");
    private const string Ticket = "ticket";

    public static async Task<int> RunAsync(string[] arguments)
    {
        var (side, variant, bundle, unixPath, endpoint) =
            (arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]);
        int runs = int.Parse(arguments[5], CultureInfo.InvariantCulture);
        var identity = IdentityBundle.Parse(await File.ReadAllBytesAsync(bundle), bundle);
        var network = new RealNetwork(() => identity, NullLogger<RealNetwork>.Instance);
        var role = new LinkRole(variant, network, identity, unixPath, samples: arguments.Length > 6);
        if (side == "send") await role.SendAsync(endpoint, runs);
        else await role.ReceiveAsync(endpoint, runs);
        return 0;
    }

    private async Task SendAsync(string endpoint, int runs)
    {
        int uid = int.Parse(File.ReadLines("/proc/self/status").First(l => l.StartsWith("Uid:", StringComparison.Ordinal))
            .Split('\t')[2], CultureInfo.InvariantCulture);
        await using var listener = await network.ListenUnixAsync(unixPath, uid, default);
        Console.WriteLine("listening");
        for (int run = 0; run < runs; run++)
        {
            await using var qemu = await listener.AcceptAsync(default);
            var usage = Usage.Start();
            if (variant == "link") await SendLinkAsync(qemu, endpoint);
            else
            {
                using var plain = new PlainConnection(variant == "tls", identity);
                await using var peer = await plain.ConnectAsync(endpoint);
                // TLS session tickets nobody reads would turn the close into a reset, and lose the last bytes.
                _ = peer.ReadAsync(new byte[1]).AsTask();
                await CopyAsync(qemu, peer);
            }
            Console.WriteLine(usage.Stop());
        }
    }

    private async Task SendLinkAsync(Stream qemu, string endpoint)
    {
        var connection = await network.ConnectPeerAsync(endpoint, Target, default);
        await using var link = await LinkSender.OpenAsync(connection, Move, Ticket, TimeProvider.System, default);
        using var sampling = new CancellationTokenSource();
        var collecting = samples ? LinkSamples.CollectAsync(() => link.Stats, sampling.Token) : Task.FromResult("");
        var summary = await link.PumpAsync(qemu, new(), default);
        sampling.Cancel();
        if (samples) Console.Error.WriteLine(await collecting);
        await link.SendTokenAsync(new(new(1), summary.Length, summary.Digest, 0), default);
        if (await link.Answer is not LinkAnswer.Running) throw new InvalidOperationException($"not running: {await link.Answer}");
    }

    private async Task ReceiveAsync(string listen, int runs)
    {
        if (variant == "link") await ReceiveLinksAsync(listen, runs);
        else await ReceivePlainAsync(listen, runs);
    }

    private async Task ReceiveLinksAsync(string listen, int runs)
    {
        await using var listener = await network.ListenPeersAsync(listen, default);
        Console.WriteLine(listener.Endpoint);
        var tickets = new LinkTickets();
        for (int run = 0; run < runs; run++)
        {
            tickets.Expect(Move, Ticket, Source);
            var connection = await listener.AcceptAsync(default);
            var usage = Usage.Start();
            await using var link = await LinkReceiver.AcceptAsync(connection, tickets, TimeProvider.System, default);
            var end = await link.PumpAsync(cancel => network.ConnectUnixAsync(unixPath, cancel), default);
            if (end is not LinkEnd.TokenReceived { Matches: true }) throw new InvalidOperationException($"no token: {end}");
            await link.SendAnswerAsync(new LinkAnswer.Running(new(1), 0), default);
            Console.WriteLine(usage.Stop());
        }
    }

    private async Task ReceivePlainAsync(string listen, int runs)
    {
        using var plain = new PlainConnection(variant == "tls", identity);
        Console.WriteLine(plain.Listen(listen));
        for (int run = 0; run < runs; run++)
        {
            await using var peer = await plain.AcceptAsync();
            await using var qemu = await network.ConnectUnixAsync(unixPath, default);
            var usage = Usage.Start();
            await CopyAsync(peer, qemu);
            Console.WriteLine(usage.Stop());
        }
    }

    private static async Task CopyAsync(Stream from, Stream to)
    {
        var buffer = new byte[64 * 1024];
        int count;
        while ((count = await from.ReadAsync(buffer)) > 0) await to.WriteAsync(buffer.AsMemory(0, count));
    }
}

/// <summary>CPU seconds, wall seconds and bytes allocated of this process between two moments.</summary>
internal readonly record struct Usage(double CpuSeconds, double WallSeconds, long Allocated)
{
    public static Usage Start()
    {
        using var process = Process.GetCurrentProcess();
        return new(process.TotalProcessorTime.TotalSeconds, Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency,
            GC.GetTotalAllocatedBytes());
    }

    /// <summary>"cpu wall allocated" since then.</summary>
    public string Stop()
    {
        var now = Start();
        return string.Create(CultureInfo.InvariantCulture,
            $"{now.CpuSeconds - CpuSeconds:0.000} {now.WallSeconds - WallSeconds:0.000} {now.Allocated - Allocated}");
    }
}
