using System.Diagnostics;
using System.Globalization;
using Godwit.Agent.Host;
using Godwit.Agent.Link;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Microsoft.Extensions.Logging.Abstractions;

namespace Godwit.Benchmarks;

/// <summary>
/// One end of a copy, in its own process so that its CPU time is its own. Talks to the measurement over its standard
/// output: a line with the endpoint (receiver only), then one line of figures per run.
/// <c>role send VARIANT BUNDLE UNIX-PATH ENDPOINT RUNS</c>, <c>role receive VARIANT BUNDLE UNIX-PATH LISTEN RUNS</c>.
/// </summary>
internal static class LinkRole
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
        if (side == "send") await SendAsync(variant, network, unixPath, endpoint, runs);
        else await ReceiveAsync(variant, network, unixPath, endpoint, runs);
        return 0;
    }

    private static async Task SendAsync(string variant, RealNetwork network, string unixPath, string endpoint, int runs)
    {
        await using var listener = await network.ListenUnixAsync(unixPath, Environment.UserName == "root" ? 0 : -1, default);
        Console.WriteLine("listening");
        for (int run = 0; run < runs; run++)
        {
            await using var qemu = await listener.AcceptAsync(default);
            var usage = Usage.Start();
            if (variant == "link") await SendLinkAsync(network, qemu, endpoint);
            else await SendPlainAsync(variant, network, qemu, endpoint);
            Console.WriteLine(usage.Stop());
        }
    }

    private static async Task SendLinkAsync(RealNetwork network, Stream qemu, string endpoint)
    {
        var connection = await network.ConnectPeerAsync(endpoint, Target, default);
        await using var link = await LinkSender.OpenAsync(connection, Move, Ticket, TimeProvider.System, default);
        var summary = await link.PumpAsync(qemu, new(), default);
        await link.SendTokenAsync(new(new(1), summary.Length, summary.Digest, 0), default);
        if (await link.Answer is not LinkAnswer.Running) throw new InvalidOperationException($"not running: {await link.Answer}");
    }

    private static async Task SendPlainAsync(string variant, RealNetwork network, Stream qemu, string endpoint)
    {
        await using var peer = variant == "tls"
            ? (await network.ConnectPeerAsync(endpoint, Target, default)).Stream
            : await PlainTcp.ConnectAsync(endpoint);
        await CopyAsync(qemu, peer);
    }

    private static async Task ReceiveAsync(string variant, RealNetwork network, string unixPath, string listen, int runs)
    {
        await using IPeerListener listener = variant == "tcp"
            ? new PlainTcp(listen)
            : await network.ListenPeersAsync(listen, default);
        Console.WriteLine(listener.Endpoint);
        var tickets = new LinkTickets();
        for (int run = 0; run < runs; run++)
        {
            var connection = await listener.AcceptAsync(default);
            var usage = Usage.Start();
            if (variant == "link")
            {
                tickets.Expect(Move, Ticket, Source);
                await using var link = await LinkReceiver.AcceptAsync(connection, tickets, TimeProvider.System, default);
                var end = await link.PumpAsync(cancel => network.ConnectUnixAsync(unixPath, cancel), default);
                if (end is not LinkEnd.TokenReceived { Matches: true }) throw new InvalidOperationException($"no token: {end}");
                await link.SendAnswerAsync(new LinkAnswer.Running(new(1), 0), default);
            }
            else
            {
                await using var qemu = await network.ConnectUnixAsync(unixPath, default);
                await using (connection.Stream) await CopyAsync(connection.Stream, qemu);
            }
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
    public static Usage Start() => Now() with { };

    /// <summary>"cpu wall allocated" since then.</summary>
    public string Stop()
    {
        var now = Now();
        return string.Create(CultureInfo.InvariantCulture,
            $"{now.CpuSeconds - CpuSeconds:0.000} {now.WallSeconds - WallSeconds:0.000} {now.Allocated - Allocated}");
    }

    private static Usage Now()
    {
        using var process = Process.GetCurrentProcess();
        return new(process.TotalProcessorTime.TotalSeconds, Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency,
            GC.GetTotalAllocatedBytes());
    }
}
