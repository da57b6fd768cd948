using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Link;

/// <summary>
/// How fast bytes cross to another host, and how long a word and its answer take: noise through the very link that moves use, with
/// ticket, TLS and pacing, for a second and a half, and for as long as it still becomes faster. It is noise so that nothing packs, and
/// goes nowhere at the other end. The fastest stretch counts: an agent's first link is compiled while it runs, and came to a ninth of the
/// next one's rate.
/// </summary>
internal sealed class LinkTest(INetwork network, LinkTickets tickets, IRandomness randomness, TimeProvider time)
{
    private const string Prefix = "lt-";
    private const long BytesMax = 8L << 30;
    private static readonly TimeSpan SendFor = TimeSpan.FromSeconds(1.5), SendMax = TimeSpan.FromSeconds(6);
    private static readonly TimeSpan DrainMax = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50), Stretch = SendFor / 2;
    /// <summary>A shaper lets through at once what it saved up while nobody sent.</summary>
    private static readonly TimeSpan SavedUp = TimeSpan.FromMilliseconds(200);
    /// <summary>By so much a stretch is faster than the one before, or the link is as fast as it gets.</summary>
    private const double Faster = 1.1;
    private static readonly TimeSpan ReceiveMax = TimeSpan.FromSeconds(30);

    public static bool IsTest(MoveId link) => link.Value.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>The target's half, first part: one link of this name and ticket is let in within 30 s.</summary>
    public LinkTestReady Prepare(HostId source, string endpoint)
    {
        var (name, ticket) = (new MoveId(Prefix + randomness.NextHex(6)), randomness.NextHex(32));
        tickets.Expect(name, ticket, source);
        _ = ForgetAsync(name);
        return new LinkTestReady(name, endpoint, ticket);
    }

    /// <summary>Second part. Never throws for what the peer does.</summary>
    public async Task ReceiveAsync(LinkReceiver link)
    {
        using var late = new CancellationTokenSource(ReceiveMax, time);
        try { await link.PumpAsync(Stream.Null, late.Token); }
        catch (OperationCanceledException) { } // The source is slower than any test.
        finally { await link.DisposeAsync(); }
    }

    /// <summary>The source's half. Throws <see cref="LinkException"/>.</summary>
    public async Task<LinkFigures> RunAsync(LinkTestReady ready, HostId target, CancellationToken cancel)
    {
        var connection = await network.ConnectPeerAsync(ready.Endpoint, target, cancel);
        await using var link = await LinkSender.OpenAsync(connection, ready.Name, ready.Ticket, time, cancel);
        var begun = time.GetTimestamp();
        List<(TimeSpan At, long Acked)> seen = [(TimeSpan.Zero, 0)];
        var noise = new NoiseStream(time, SendMax, BytesMax);
        var pump = link.PumpAsync(noise, new PacingLimits(), cancel);
        while (!pump.IsCompleted)
        {
            await Joining.AnyAsync(pump, Task.Delay(LookEvery, time));
            seen.Add((time.GetElapsedTime(begun), link.Stats.AckedBytes));
            if (seen[^1].At >= SendFor && !BecomesFaster(seen)) noise.End();
        }
        await pump;
        await link.SendAbortAsync("the link test is over", cancel); // The target acknowledges before it hears that.
        while (link.Stats.BacklogBytes > 0 && !link.Answer.IsCompleted && time.GetElapsedTime(begun) < SendMax + DrainMax)
            await Task.Delay(TimeSpan.FromMilliseconds(1), time, cancel);
        var stats = link.Stats;
        seen.Add((time.GetElapsedTime(begun), stats.AckedBytes));
        return new LinkFigures
        {
            At = time.GetUtcNow(), BytesPerSecond = Fastest(seen), Bytes = stats.AckedBytes,
            RoundTripMs = stats.RoundTripMin.TotalMilliseconds, Security = connection.Security,
        };
    }

    /// <summary>The last stretch against the one before it: what is compiled while it runs, or begins slowly, is not tested yet.</summary>
    internal static bool BecomesFaster(List<(TimeSpan At, long Acked)> seen)
    {
        var end = seen[^1];
        var middle = seen.FindLast(one => one.At <= end.At - Stretch);
        var begin = seen.FindLast(one => one.At <= middle.At - Stretch);
        return middle.At > begin.At && Rate(middle, end) > Faster * Rate(begin, middle);
    }

    private static double Rate((TimeSpan At, long Acked) from, (TimeSpan At, long Acked) to) =>
        (to.Acked - from.Acked) / (to.At - from.At).TotalSeconds;

    /// <summary>Bytes a second over the best stretch of at least 0.75 s, not of the first 0.2; over all where it was shorter.</summary>
    internal static long Fastest(List<(TimeSpan At, long Acked)> seen)
    {
        var (best, from) = (0.0, Math.Max(0, seen.FindIndex(one => one.At >= SavedUp)));
        for (var to = from + 1; to < seen.Count; to++)
        {
            while (seen[to].At - seen[from + 1].At >= Stretch) from++;
            if (seen[to].At - seen[from].At >= Stretch) best = Math.Max(best, Rate(seen[from], seen[to]));
        }
        return (long)(best > 0 || seen[^1].At <= TimeSpan.Zero ? best : Rate(seen[0], seen[^1]));
    }

    private async Task ForgetAsync(MoveId name)
    {
        await Task.Delay(ReceiveMax, time);
        tickets.Forget(name);
    }

    /// <summary>Bytes that do not pack, until it is told to end or the time is over.</summary>
    private sealed class NoiseStream(TimeProvider time, TimeSpan length, long bytesMax) : Stream
    {
        private readonly byte[] noise = Noise();
        private readonly long begun = time.GetTimestamp();
        private long given;
        private volatile bool isOver;

        public void End() => isOver = true;

        public override int Read(Span<byte> buffer)
        {
            if (isOver || given >= bytesMax || time.GetElapsedTime(begun) >= length) return 0;
            var count = Math.Min(buffer.Length, noise.Length);
            noise.AsSpan(0, count).CopyTo(buffer);
            given += count;
            return count;
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            new(Read(buffer.Span));
        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));
        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        private static byte[] Noise()
        {
            var bytes = new byte[LinkFrame.DataBytesMax];
            var numbers = new SeededNumbers(1);
            for (var at = 0; at < bytes.Length; at++) bytes[at] = (byte)numbers.Next();
            return bytes;
        }
    }
}
