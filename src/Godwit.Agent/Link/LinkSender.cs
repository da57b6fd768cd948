using System.IO.Hashing;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Link;

/// <summary>
/// The source's end of one move's link: opens it, pumps QEMU's stream through it, hands over the token, hears the
/// answer. Order of calls: <see cref="OpenAsync"/>, <see cref="PumpAsync"/>, then <see cref="SendTokenAsync"/> or
/// <see cref="SendAbortAsync"/>; <see cref="Answer"/> may complete at any time. Owns the connection.
/// </summary>
public sealed partial class LinkSender : IAsyncDisposable
{
    private const int OpeningPings = 8;
    private static readonly TimeSpan OpenMax = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PingEvery = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan AskWhenIdle = TimeSpan.FromMilliseconds(1);
    private const long PushEveryMicros = 250;
    private const double ExpansionOverBytes = 4 << 20;

    private readonly PeerConnection _connection;
    private readonly TimeProvider _time;
    private readonly long _epoch;
    private readonly FrameReader _reader;
    private readonly FrameWriter _writer;
    private readonly WindowSignal _roomSignal = new();
    private readonly CancellationTokenSource _ended = new();
    private readonly TaskCompletionSource<LinkAnswer> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _gate = new();
    private readonly ClockOffset _clock = new();
    private PacingWindow _window = new(new());
    private long _lastProgress;
    private double _expansion = 1;

    private long _holdAt = long.MaxValue, _streamBytes;
    private bool _isPause;

    // Only the pump touches these.
    private bool _asked = true; // The target was asked to acknowledge all that was sent.
    private long _lastPush;
    private Task _listening = Task.CompletedTask;

    private LinkSender(PeerConnection connection, TimeProvider time, int heardBytesMax = 4096)
    {
        (_connection, _time, _epoch) = (connection, time, time.GetTimestamp());
        (_reader, _writer) = (new(connection.Stream, heardBytesMax), new(connection.Stream));
        _lastProgress = _epoch;
    }

    /// <summary>What the target says; completes at the latest when the link closes, and never faults.</summary>
    public Task<LinkAnswer> Answer => _answer.Task;

    /// <summary>Target's clock minus this host's, µs: subtract it from the target's RESUME time. Fresh while pumping.</summary>
    public long ClockOffsetMicros { get { lock (_gate) return _clock.Micros ?? 0; } }

    public LinkStats Stats
    {
        get
        {
            lock (_gate)
            {
                return new()
                {
                    SentBytes = _window.SentBytes,
                    AckedBytes = _window.AckedBytes,
                    DeliveryBytesPerSecond = (long)_window.DeliveryRate,
                    StreamBytesPerSecond = (long)(_window.DeliveryRate * _expansion),
                    RoundTrip = TimeSpan.FromMicroseconds(_window.RoundTripMicros),
                    RoundTripMin = TimeSpan.FromMicroseconds(_window.RoundTripMinMicros),
                    WindowBytes = _window.WindowBytes,
                    LastProgress = _lastProgress,
                };
            }
        }
    }

    /// <summary>
    /// Presents the ticket and measures round trip and clocks. Throws <see cref="LinkException"/> when the target
    /// refuses, does not speak our protocol, or is silent for 10 s; the connection is closed then.
    /// </summary>
    public static async Task<LinkSender> OpenAsync(
        PeerConnection connection, MoveId move, string ticket, TimeProvider time, CancellationToken cancel) =>
        await OpenAsync(new LinkSender(connection, time), move, ticket, cancel);

    private static async Task<LinkSender> OpenAsync(LinkSender sender, MoveId move, string ticket, CancellationToken cancel)
    {
        var (connection, time) = (sender._connection, sender._time);
        using var deadline = new CancellationTokenSource(OpenMax, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        try
        {
            await OnPumpThreadAsync(connection, "link-open", () => sender.GreetAsync(move, ticket, either.Token));
        }
        catch (Exception reason)
        {
            await sender.DisposeAsync();
            if (reason is NotWantedException || (reason is OperationCanceledException && cancel.IsCancellationRequested)) throw;
            throw sender.Broken("the link cannot be opened", reason);
        }
        sender._listening = OnPumpThreadAsync(connection, "link-listen", sender.ListenAsync);
        return sender;
    }

    /// <summary>
    /// Forwards until source QEMU closes its end. Every byte that is read is written out at once; how many wait on the way is bounded by
    /// <see cref="PacingWindow"/>, and what is to wait before it is read by <see cref="HoldAt"/>. Throws <see cref="LinkException"/> when
    /// the link breaks or the target answers early, <see cref="IOException"/> when QEMU's stream breaks. Once per link.
    /// </summary>
    public async Task<StreamSummary> PumpAsync(Stream fromQemu, PacingLimits limits, CancellationToken cancel)
    {
        lock (_gate) (_window, _lastProgress) = (new(limits), _time.GetTimestamp());
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, _ended.Token);
        using var waking = either.Token.UnsafeRegister(static signal => ((WindowSignal)signal!).Set(), _roomSignal);
        try
        {
            return await OnPumpThreadAsync(_connection, "link-send", () => PumpFramesAsync(fromQemu, either.Token));
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new LinkException(Answer.IsCompleted
                ? $"The link to {_connection.Peer} ended while memory was sent: {await Answer}"
                : $"The link to {_connection.Peer} ended while memory was sent");
        }
    }

    private async Task<StreamSummary> PumpFramesAsync(Stream fromQemu, CancellationToken cancel)
    {
        var digest = new XxHash128();
        using var packer = new StreamPacker();
        var plain = GC.AllocateUninitializedArray<byte>(LinkFrame.HeaderBytes + LinkFrame.DataBytesMax);
        var packed = GC.AllocateUninitializedArray<byte>(LinkFrame.HeaderBytes + LinkFrame.DataBytesMax);
        long length = 0;
        long lastPing = _time.GetTimestamp();
        while (true)
        {
            int room = await WaitForRoomAsync(length, cancel);
            bool pack = PackingPays;
            int wish = pack ? packer.RawBytesFor(room) : room;
            wish = (int)Math.Clamp(Volatile.Read(ref _holdAt) - length, 1, wish);
            if (fromQemu is IBlockingSource source && !source.WaitReadable(TimeSpan.Zero))
            {
                OnSourceIdle();
                if (!source.WaitReadable(AskWhenIdle)) await AskForAckAsync(cancel);
            }
            var reading = fromQemu.ReadAsync(plain.AsMemory(LinkFrame.HeaderBytes, wish), cancel);
            if (!reading.IsCompleted)
            {
                OnSourceIdle();
                await AskForAckAsync(cancel);
            }
            int count = await reading;
            if (count == 0) return new(length, digest.GetCurrentHashAsUInt128());

            var raw = plain.AsMemory(LinkFrame.HeaderBytes, count);
            digest.Append(raw.Span);
            length += count;
            Volatile.Write(ref _streamBytes, length);
            int payload = pack ? packer.TryPack(raw.Span, packed.AsSpan(LinkFrame.HeaderBytes)) : 0;
            var (frame, bytes) = payload > 0 ? (packed, payload) : (plain, count);
            WriteDataHeader(frame, bytes, count, wish);
            await SendFrameAsync(frame.AsMemory(0, LinkFrame.HeaderBytes + bytes), cancel);
            if (_time.GetElapsedTime(lastPing) < PingEvery) continue;
            lastPing = _time.GetTimestamp();
            await SendAsync(WritePing, cancel);
        }
    }

    private void OnSourceIdle()
    {
        lock (_gate) _window.OnSourceIdle();
    }

    /// <summary>A ping is acknowledged at once. Without it the tail left over would look like a stall.</summary>
    private async ValueTask AskForAckAsync(CancellationToken cancel)
    {
        if (_asked) return;
        _asked = true;
        await SendAsync(WritePing, cancel);
    }

    private async ValueTask<int> WaitForRoomAsync(long streamBytes, CancellationToken cancel)
    {
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            var untilHold = Volatile.Read(ref _holdAt) - streamBytes;
            if (untilHold <= 0)
            {
                OnSourceIdle(); // To the window it is as if QEMU had nothing to send.
                await AskForAckAsync(cancel);
                await _roomSignal.WaitAsync();
                continue;
            }
            long tokenWait;
            lock (_gate)
            {
                // One moment for both: tokens that come between two looks would leave nobody to wait for.
                long now = NowMicros;
                int room = _window.Room(now);
                if (room > 0) return (int)Math.Min(room, untilHold);
                tokenWait = _window.TokenWaitMicros(now);
            }
            // Delays are cut to whole milliseconds: rounding down would spin.
            if (tokenWait > 0)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(1 + tokenWait / 1000), _time, cancel);
                continue;
            }
            // The window may have shrunk since the last frame. What is on the way can then be too much for the window and too
            // little for the target to acknowledge by itself: both would wait for ever.
            await AskForAckAsync(cancel);
            await _roomSignal.WaitAsync();
        }
    }

    private bool PackingPays
    {
        get { lock (_gate) return _window.DeliveryRate < StreamPacker.WorthBelowBytesPerSecond; }
    }

    /// <param name="bytes">The payload, packed or plain.</param>
    /// <param name="count">What it holds of the stream, of <paramref name="wish"/> asked for.</param>
    private void WriteDataHeader(Span<byte> frame, int bytes, int count, int wish)
    {
        lock (_gate)
        {
            long now = NowMicros;
            _window.OnSent(bytes, now);
            _expansion += ((double)count / bytes - _expansion) * Math.Min(1, (double)count / ExpansionOverBytes);
            // QEMU paused, or the window is full: the target should not wait for more before it acknowledges.
            bool pause = count < wish && now - _lastPush >= PushEveryMicros;
            _asked = pause || _window.Room(now) == 0;
            if (_asked) _lastPush = now;
            var hint = (ushort)(_window.AckDistanceBytes / LinkFrame.HintUnit);
            var flags = (_asked ? LinkFrame.Push : 0) | (bytes != count ? LinkFrame.Packed : 0);
            new LinkFrame(FrameType.Data, (byte)flags, hint, bytes).Write(frame);
        }
    }

    /// <summary>What was read of QEMU's stream so far.</summary>
    public long StreamBytes => Volatile.Read(ref _streamBytes);

    /// <summary>
    /// Reads so much of QEMU's stream and no more, until <see cref="GoOn"/>: QEMU waits meanwhile, and the guest does not notice.
    /// </summary>
    public void HoldAt(long streamBytes)
    {
        lock (_gate)
            if (!_isPause) Volatile.Write(ref _holdAt, Math.Max(streamBytes, 1));
        _roomSignal.Set(); // It may wait for less already.
    }

    /// <summary>What may be read was read, and more waits.</summary>
    public bool IsHolding => StreamBytes >= Volatile.Read(ref _holdAt);

    /// <summary>Holds nothing back any more.</summary>
    public void GoOn()
    {
        if (Interlocked.Exchange(ref _holdAt, long.MaxValue) != long.MaxValue) _roomSignal.Set();
    }

    /// <summary>
    /// In the pause a bandwidth limit would only lengthen the pause, and nothing is held back: call it when the guest stops.
    /// </summary>
    public void LiftCeiling()
    {
        lock (_gate)
        {
            _window.LiftCeiling();
            _isPause = true;
        }
        GoOn();
        _roomSignal.Set();
    }

    /// <summary>
    /// From the first byte of this call on the token counts as sent, whatever it throws (<see cref="LinkException"/>).
    /// </summary>
    public Task SendTokenAsync(Token token, CancellationToken cancel) =>
        SendAsync(frame => ControlPayload.WriteToken(frame, token), cancel);

    /// <summary>A rehearsal's end: the stream is whole, and no token will come. Throws <see cref="LinkException"/>.</summary>
    public Task SendRehearsedAsync(StreamSummary sent, CancellationToken cancel) =>
        SendAsync(frame => ControlPayload.WriteRehearsed(frame, sent), cancel);

    /// <summary>Tells the target that no token will come. Best effort: a broken link tells it as well.</summary>
    public async Task SendAbortAsync(string reason, CancellationToken cancel)
    {
        if (_writer.IsBroken) return;
        await SendAsync(frame => ControlPayload.WriteReason(frame, FrameType.Abort, reason), cancel);
    }

    public async ValueTask DisposeAsync()
    {
        _ended.Cancel();
        await _connection.Stream.DisposeAsync();
        await _listening;
        _answer.TrySetResult(new LinkAnswer.Closed("closed here"));
    }

    private static Task<T> OnPumpThreadAsync<T>(PeerConnection connection, string name, Func<Task<T>> pump) =>
        connection.Stream is IPumpThread thread ? thread.RunAsync(name, pump) : pump();

    private async Task<bool> GreetAsync(MoveId move, string ticket, CancellationToken cancel)
    {
        await SendAsync(frame => ControlPayload.WriteHello(frame, move, ticket), cancel);
        var (frame, payload) = await ReadAnswerAsync(cancel);
        if (frame.Type == FrameType.Refused && ControlPayload.TryReadReason(payload.Span, out var reason))
            throw new InvalidDataException($"refused: {reason}");
        if (frame.Type == FrameType.AllHere) throw new NotWantedException($"{_connection.Peer} wants nothing of {move}");
        if (frame.Type != FrameType.Welcome || !ControlPayload.TryReadWelcome(payload.Span, out ushort version)
            || version is < ControlPayload.VersionMin or > ControlPayload.VersionMax)
            throw new InvalidDataException("the peer did not answer with a welcome");

        await MeasureClockAsync(cancel);
        await SendAsync(empty => LinkFrameEmpty(empty, FrameType.Opened), cancel);
        return true;
    }

    private async Task MeasureClockAsync(CancellationToken cancel)
    {
        for (int ping = 0; ping < OpeningPings; ping++)
        {
            await SendAsync(WritePing, cancel);
            var (frame, payload) = await ReadAnswerAsync(cancel);
            if (frame.Type != FrameType.Pong || !TakePong(payload.Span))
                throw new InvalidDataException("the peer did not answer a ping");
        }
    }

    private async ValueTask<(LinkFrame, ReadOnlyMemory<byte>)> ReadAnswerAsync(CancellationToken cancel)
    {
        var frame = await _reader.ReadHeaderAsync(cancel) ?? throw new EndOfStreamException("the peer closed");
        return (frame, await _reader.ReadPayloadAsync(frame, cancel));
    }

    /// <summary>The back channel, until an answer or the end. Everything after an answer is noise.</summary>
    private async Task<LinkAnswer> ListenAsync()
    {
        LinkAnswer answer;
        try
        {
            LinkAnswer? heard = null;
            while (heard is null)
            {
                var (frame, payload) = await ReadAnswerAsync(_ended.Token);
                if (_memory is { } memory && frame.Type is FrameType.Ask or FrameType.AskUnlike or FrameType.AskRow)
                    await GiveAsync(memory, frame.Type, payload);
                else heard = Take(frame.Type, payload.Span);
            }
            answer = heard;
        }
        catch (Exception reason)
        {
            answer = new LinkAnswer.Closed(reason.Message); // Whatever broke, nobody knows more than "closed".
        }
        _answer.TrySetResult(answer);
        _ended.Cancel();
        return answer;
    }

    private LinkAnswer? Take(FrameType type, ReadOnlySpan<byte> payload)
    {
        switch (type)
        {
            case FrameType.Ack when ControlPayload.TryReadNumber(payload, out long acked):
                TakeAck(acked);
                return null;
            case FrameType.Pong when TakePong(payload):
                return null;
            case FrameType.Running when ControlPayload.TryReadRunning(payload, out var running):
                return running;
            case FrameType.Loaded when ControlPayload.TryReadNumbers(payload, out long end, out long loaded):
                return new LinkAnswer.Loaded(end, loaded);
            case FrameType.Aborted when ControlPayload.TryReadAborted(payload, out var epoch, out var reason):
                return new LinkAnswer.Aborted(epoch, reason);
            case FrameType.AllHere when _memory is not null:
                return new LinkAnswer.AllHere();
            default:
                throw new InvalidDataException($"the target sent a {type} that does not belong here");
        }
    }

    private void TakeAck(long acked)
    {
        lock (_gate)
        {
            if (!_window.OnAcked(acked, NowMicros))
                throw new InvalidDataException($"the target acknowledged {acked} bytes, {_window.SentBytes} were sent");
            _lastProgress = _time.GetTimestamp();
        }
        _roomSignal.Set();
    }

    private bool TakePong(ReadOnlySpan<byte> payload)
    {
        if (!ControlPayload.TryReadNumbers(payload, out long sentAt, out long targetAt)) return false;
        lock (_gate) _clock.Add(sentAt, targetAt, WallClock.Micros(_time));
        return true;
    }

    private int WritePing(Span<byte> frame) =>
        ControlPayload.WriteNumbers(frame, FrameType.Ping, WallClock.Micros(_time));

    private static int LinkFrameEmpty(Span<byte> frame, FrameType type)
    {
        new LinkFrame(type, 0, 0, 0).Write(frame);
        return LinkFrame.HeaderBytes;
    }

    private async ValueTask SendFrameAsync(ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        try
        {
            await _writer.FrameAsync(frame, cancel);
        }
        catch (Exception reason) when (reason is IOException or ObjectDisposedException)
        {
            throw Broken("the link broke", reason);
        }
    }

    private async Task SendAsync(FrameWriter.Fill fill, CancellationToken cancel)
    {
        try
        {
            await _writer.ControlAsync(fill, cancel);
        }
        catch (Exception reason) when (reason is IOException or ObjectDisposedException)
        {
            throw Broken("the link broke", reason);
        }
    }

    private LinkException Broken(string what, Exception? reason) =>
        new($"{what} to {_connection.Peer} ({_connection.Security}): {Cause(reason)}", reason);

    private static string Cause(Exception? reason) => reason switch
    {
        null => "closed",
        OperationCanceledException => $"no answer within {OpenMax.TotalSeconds:0} s",
        _ => reason.Message,
    };

    private long NowMicros => _time.GetElapsedTime(_epoch).Ticks / TimeSpan.TicksPerMicrosecond;
}
