using System.IO.Hashing;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Link;

/// <summary>
/// The target's end of one move's link. Order of calls: <see cref="AcceptAsync"/>, <see cref="PumpAsync"/>, then
/// <see cref="SendAnswerAsync"/> (allowed at any time, also while pumping). Owns the connection.
/// </summary>
public sealed partial class LinkReceiver : IAsyncDisposable
{
    private ushort _version;
    private const int OpeningPingsMax = 64;
    private static readonly TimeSpan AcceptMax = TimeSpan.FromSeconds(10);

    private readonly PeerConnection _connection;
    private readonly TimeProvider _time;
    private readonly FrameReader _reader;
    private readonly FrameWriter _writer;
    private readonly byte[] _ack = new byte[LinkFrame.HeaderBytes + 8];

    // Only the pump touches these.
    private readonly XxHash128 _digest = new();
    private StreamUnpacker _unpacker = null!;
    private long _accepted;
    private long _acceptedWire;
    private long _acked;

    private LinkReceiver(PeerConnection connection, TimeProvider time)
    {
        (_connection, _time) = (connection, time);
        _reader = new(connection.Stream, 2 * (LinkFrame.HeaderBytes + LinkFrame.DataBytesMax));
        _writer = new(connection.Stream);
    }

    public MoveId Move { get; private set; }
    public HostId Peer => _connection.Peer;
    public string Security => _connection.Security;
    /// <summary>Bytes handed to target QEMU so far.</summary>
    public long AcceptedBytes => Interlocked.Read(ref _accepted);

    /// <summary>
    /// Hears the hello, uses up its ticket, answers the source's pings until it says that data follows. Throws
    /// <see cref="LinkException"/> on anyone not expected, not speaking our protocol, or silent for 10 s; the peer is
    /// told why where it can understand, and the connection is closed.
    /// </summary>
    public static async Task<LinkReceiver> AcceptAsync(
        PeerConnection connection, LinkTickets tickets, TimeProvider time, CancellationToken cancel)
    {
        var receiver = new LinkReceiver(connection, time);
        using var deadline = new CancellationTokenSource(AcceptMax, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        try
        {
            return await receiver.OnPumpThreadAsync("link-welcome", () => receiver.WelcomeAsync(tickets, either.Token));
        }
        catch (Exception reason)
        {
            await receiver.DisposeAsync();
            if (reason is OperationCanceledException && cancel.IsCancellationRequested) throw;
            var cause = reason is OperationCanceledException ? $"silent for {AcceptMax.TotalSeconds:0} s" : reason.Message;
            throw new LinkException($"A link from {connection.Peer} was not accepted: {cause}", reason);
        }
    }

    /// <summary>
    /// Hands the stream to target QEMU until token, abort or end. QEMU is connected with the first bytes, not before:
    /// QEMU from 8.0 on stops its main loop on a connection until bytes are there.
    /// Never throws for what peers do; cancelling throws <see cref="OperationCanceledException"/>.
    /// </summary>
    public Task<LinkEnd> PumpAsync(Func<CancellationToken, Task<Stream>> connectQemu, CancellationToken cancel) =>
        OnPumpThreadAsync("link-receive", () => PumpFramesAsync(connectQemu, cancel));

    private async Task<LinkEnd> PumpFramesAsync(Func<CancellationToken, Task<Stream>> connectQemu, CancellationToken cancel)
    {
        using var unpacker = _unpacker = new StreamUnpacker();
        Stream? qemu = null;
        try
        {
            while (true)
            {
                if (await _reader.ReadHeaderAsync(cancel) is not { } frame) return new LinkEnd.Closed("the source closed the link");
                if (frame.Type == FrameType.Data)
                {
                    try
                    {
                        qemu ??= await connectQemu(cancel);
                    }
                    catch (Exception reason) when (reason is not OperationCanceledException)
                    {
                        return new LinkEnd.QemuGone(reason.Message);
                    }
                    if (await ForwardAsync(frame, qemu, cancel) is { } gone) return gone;
                }
                else if (await TakeControlAsync(frame, cancel) is { } end) return end;
            }
        }
        catch (Exception reason) when (reason is IOException or InvalidDataException or ObjectDisposedException)
        {
            return new LinkEnd.Closed(reason.Message);
        }
        finally
        {
            if (qemu is not null) await qemu.DisposeAsync();
        }
    }

    public Task<LinkEnd> PumpAsync(Stream toQemu, CancellationToken cancel) =>
        PumpAsync(_ => Task.FromResult(toQemu), cancel);

    /// <summary>One data frame. Null, or why QEMU takes no more.</summary>
    private async ValueTask<LinkEnd?> ForwardAsync(LinkFrame frame, Stream qemu, CancellationToken cancel)
    {
        bool packed = (frame.Flags & LinkFrame.Packed) != 0;
        var gone = packed ? await ForwardPackedAsync(frame, qemu, cancel) : await ForwardPlainAsync(frame, qemu, cancel);
        if (gone is not null) return gone;
        bool idle = (frame.Flags & LinkFrame.Push) != 0 && _reader.IsEmpty;
        if (idle && _acceptedWire > _acked) await AckAsync(cancel);
        return null;
    }

    private async ValueTask<LinkEnd?> ForwardPackedAsync(LinkFrame frame, Stream qemu, CancellationToken cancel)
    {
        var payload = await _reader.ReadWholeAsync(frame, cancel);
        return await ToQemuAsync(qemu, _unpacker.Unpack(payload.Span), payload.Length, frame, cancel);
    }

    /// <summary>Piece by piece, as it arrives.</summary>
    private async ValueTask<LinkEnd?> ForwardPlainAsync(LinkFrame frame, Stream qemu, CancellationToken cancel)
    {
        for (int left = frame.Length; left > 0;)
        {
            if (_reader.IsEmpty && !await _reader.FillAsync(cancel))
                throw new EndOfStreamException("the source closed the link inside a frame");
            var piece = _reader.Buffered[..Math.Min(left, _reader.Buffered.Length)];
            if (await ToQemuAsync(qemu, piece, piece.Length, frame, cancel) is { } gone) return gone;
            left -= piece.Length;
            _reader.Advance(piece.Length);
        }
        return null;
    }

    private async ValueTask<LinkEnd?> ToQemuAsync(
        Stream qemu, ReadOnlyMemory<byte> piece, int wireBytes, LinkFrame frame, CancellationToken cancel)
    {
        try
        {
            await qemu.WriteAsync(piece, cancel);
        }
        catch (Exception reason) when (reason is IOException or ObjectDisposedException)
        {
            return new LinkEnd.QemuGone(reason.Message);
        }
        _digest.Append(piece.Span);
        Interlocked.Add(ref _accepted, piece.Length);
        _acceptedWire += wireBytes;
        if (_acceptedWire - _acked >= frame.Hint * (long)LinkFrame.HintUnit) await AckAsync(cancel);
        return null;
    }

    private async ValueTask<LinkEnd?> TakeControlAsync(LinkFrame frame, CancellationToken cancel)
    {
        var payload = await _reader.ReadPayloadAsync(frame, cancel);
        if (_acceptedWire > _acked) await AckAsync(cancel); // The source asks or ends: nothing may seem to be on the way.
        switch (frame.Type)
        {
            case FrameType.Ping when ControlPayload.TryReadNumber(payload.Span, out long sentAt):
                await AnswerPingAsync(sentAt, cancel);
                return null;
            case FrameType.Token when ControlPayload.TryReadToken(payload.Span, out var token):
                return new LinkEnd.TokenReceived(token, new(_accepted, _digest.GetCurrentHashAsUInt128()));
            case FrameType.Rehearsed when ControlPayload.TryReadRehearsed(payload.Span, out var sent):
                return new LinkEnd.Rehearsed(sent, new(_accepted, _digest.GetCurrentHashAsUInt128()));
            case FrameType.Abort when ControlPayload.TryReadReason(payload.Span, out var reason):
                return new LinkEnd.Aborted(reason);
            default:
                return new LinkEnd.Closed($"the source sent a {frame.Type} that does not belong here");
        }
    }

    /// <summary>Running, Aborted or Loaded. Throws <see cref="LinkException"/> where the link is gone: the journal knows.</summary>
    public async Task SendAnswerAsync(LinkAnswer answer, CancellationToken cancel)
    {
        try
        {
            await _writer.ControlAsync(frame => answer switch
            {
                LinkAnswer.Running running => ControlPayload.WriteRunning(frame, running, _version),
                LinkAnswer.Loaded(var end, var loaded) => ControlPayload.WriteNumbers(frame, FrameType.Loaded, end, loaded),
                LinkAnswer.Aborted(var epoch, var reason) => ControlPayload.WriteAborted(frame, epoch, reason),
                _ => throw new ArgumentException($"{answer} is not sent, it happens"),
            }, cancel);
        }
        catch (Exception reason) when (reason is IOException or ObjectDisposedException)
        {
            throw new LinkException($"the answer did not reach {Peer}: {reason.Message}", reason);
        }
    }

    public ValueTask DisposeAsync() => _connection.Stream.DisposeAsync();

    private Task<T> OnPumpThreadAsync<T>(string name, Func<Task<T>> pump) =>
        _connection.Stream is IPumpThread thread ? thread.RunAsync(name, pump) : pump();

    private async Task<LinkReceiver> WelcomeAsync(LinkTickets tickets, CancellationToken cancel)
    {
        var frame = await _reader.ReadHeaderAsync(cancel) ?? throw new EndOfStreamException("it closed at once");
        var payload = await _reader.ReadPayloadAsync(frame, cancel);
        if (frame.Type != FrameType.Hello || !ControlPayload.TryReadHello(payload.Span, out var hello))
            throw new InvalidDataException("it did not say hello");

        var refused = hello.Min > ControlPayload.VersionMax || hello.Max < ControlPayload.VersionMin
            ? $"it speaks link versions {hello.Min} to {hello.Max}, this agent"
                + $" {ControlPayload.VersionMin} to {ControlPayload.VersionMax}: upgrade the older one"
            : tickets.TryTake(hello.Move, hello.Ticket, Peer);
        if (refused is not null)
        {
            if (MemoryLink.IsOne(hello.Move) && tickets.KnowsMemory && !tickets.IsExpected(hello.Move))
                await SendEmptyAsync(FrameType.AllHere, cancel);
            await _writer.ControlAsync(target => ControlPayload.WriteReason(target, FrameType.Refused, refused), cancel);
            throw new InvalidDataException(refused);
        }
        Move = hello.Move;
        _version = Math.Min(hello.Max, ControlPayload.VersionMax);
        await _writer.ControlAsync(target => ControlPayload.WriteWelcome(target, _version), cancel);
        await AnswerPingsAsync(cancel);
        return this;
    }

    private async Task AnswerPingsAsync(CancellationToken cancel)
    {
        for (int ping = 0; ping < OpeningPingsMax; ping++)
        {
            var frame = await _reader.ReadHeaderAsync(cancel) ?? throw new EndOfStreamException("it closed while opening");
            var payload = await _reader.ReadPayloadAsync(frame, cancel);
            if (frame.Type == FrameType.Opened && frame.Length == 0) return;
            if (frame.Type != FrameType.Ping || !ControlPayload.TryReadNumber(payload.Span, out long sentAt)) break;
            await AnswerPingAsync(sentAt, cancel);
        }
        throw new InvalidDataException("it did not finish opening");
    }

    private ValueTask AnswerPingAsync(long sentAt, CancellationToken cancel) => _writer.ControlAsync(
        frame => ControlPayload.WriteNumbers(frame, FrameType.Pong, sentAt, WallClock.Micros(_time)), cancel);

    private ValueTask AckAsync(CancellationToken cancel)
    {
        _acked = _acceptedWire;
        return _writer.FrameAsync(_ack.AsMemory(0, ControlPayload.WriteNumbers(_ack, FrameType.Ack, _acked)), cancel);
    }
}
