using Godwit.Agent.Link;
using Godwit.Core;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Link;

/// <summary>
/// A path that was fast and is slow: the window shrinks below what is on the way already, and that is less than the target
/// was told to wait for before it acknowledges. Then neither end says anything by itself.
/// </summary>
public sealed class ShrunkWindowTests
{
    private const int PathBytes = 64 * 1024;
    private const int RoundBytes = 3 * PathBytes;
    private const int RoundsMax = 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly MoveId Move = new("mv-0123456789ab");

    [Fact]
    public async Task The_source_asks_when_the_window_shrank_below_what_is_on_the_way()
    {
        await using var path = await PathUnderTest.OpenAsync();
        for (var round = 0; round < 4; round++) await path.RoundAsync(TimeSpan.FromMicroseconds(100));
        Assert.InRange(path.Sender.Stats.WindowBytes, 1 << 20, PacingWindow.WindowBytesMax);

        var rounds = 0;
        while (path.Sender.Stats.WindowBytes >= PathBytes && ++rounds < RoundsMax) await path.RoundAsync(TimeSpan.FromMilliseconds(17));
        Assert.InRange(path.Sender.Stats.WindowBytes, 1, PathBytes - 1);

        // All that is on the way, and nothing of it acknowledged: a target does so when it has less than the distance.
        while (true)
        {
            var frame = await path.ReadAsync();
            if (frame.Type == FrameType.Ping || (frame.Flags & LinkFrame.Push) != 0) break;
            Assert.InRange(path.Unacknowledged, 1, frame.Hint * LinkFrame.HintUnit - 1);
        }
    }

    /// <summary>The shipped source, and a target whose acknowledgements, and clock, are the test's.</summary>
    private sealed class PathUnderTest : IAsyncDisposable
    {
        private readonly FakeTimeProvider _time = new();
        private readonly CancellationTokenSource _end = new();
        private FrameReader _reader = null!;
        private FrameWriter _writer = null!;
        private Task _pump = Task.CompletedTask;
        private long _read;
        private long _acked;

        public LinkSender Sender { get; private set; } = null!;
        public long Unacknowledged => _read - _acked;

        public static async Task<PathUnderTest> OpenAsync()
        {
            var path = new PathUnderTest();
            var tickets = new LinkTickets();
            tickets.Expect(Move, "5ec2e7", new HostId("host1"));
            var (left, right) = DuplexPipe.Create(PathBytes);
            var accepting = LinkReceiver.AcceptAsync(new(right, new("host1"), "none"), tickets, path._time, CancellationToken.None);
            path.Sender = await LinkSender.OpenAsync(
                new(left, new("host2"), "none"), Move, "5ec2e7", path._time, CancellationToken.None);
            await accepting;
            (path._reader, path._writer) = (new(right, 2 * (LinkFrame.HeaderBytes + LinkFrame.DataBytesMax)), new(right));
            path._pump = path.Sender.PumpAsync(new Noise(), new(), path._end.Token);
            return path;
        }

        /// <summary>So much arrives, so long it takes, and then it is acknowledged while the path is full again.</summary>
        public async Task RoundAsync(TimeSpan took)
        {
            var windowIsFull = false; // As long as the window is small, and it is not the path that holds the source up.
            for (var from = _read; !windowIsFull && _read < from + RoundBytes;)
                windowIsFull = ((await ReadAsync()).Flags & LinkFrame.Push) != 0;
            await UntilAsync(() => windowIsFull || Sender.Stats.SentBytes - _read >= PathBytes - 1024); // Without headers.
            _time.Advance(took);
            _acked = _read;
            await _writer.ControlAsync(frame => ControlPayload.WriteNumbers(frame, FrameType.Ack, _acked), CancellationToken.None);
            await UntilAsync(() => Sender.Stats.AckedBytes == _acked);
        }

        public async Task<LinkFrame> ReadAsync()
        {
            using var patience = new CancellationTokenSource(Patience);
            var frame = await _reader.ReadHeaderAsync(patience.Token) ?? throw new EndOfStreamException();
            await _reader.ReadWholeAsync(frame, patience.Token);
            if (frame.Type == FrameType.Data) _read += frame.Length;
            return frame;
        }

        private static async Task UntilAsync(Func<bool> isSo)
        {
            using var patience = new CancellationTokenSource(Patience);
            while (!isSo()) await Task.Delay(1, patience.Token);
        }

        public async ValueTask DisposeAsync()
        {
            _end.Cancel();
            await Sender.DisposeAsync();
            await Task.WhenAny(_pump);
        }
    }

    /// <summary>A source QEMU that always has more, and none of it can be packed.</summary>
    private sealed class Noise : MemoryStream
    {
        private readonly Random _random = new(1);

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            _random.NextBytes(buffer.Span);
            return ValueTask.FromResult(buffer.Length);
        }
    }
}
