using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Godwit.Core;

namespace Godwit.Agent.Link;

/// <summary>
/// The small payloads, written as whole frames. Readers never throw and never trust a length: false is a peer that
/// does not speak our protocol. Integers are big-endian; text is u16 length + UTF-8.
/// </summary>
internal static class ControlPayload
{
    public const ulong Magic = 0x474F44574C494E4B; // "GODWLINK"
    public const ushort VersionMin = 1, VersionMax = 3;
    public const int MoveBytesMax = 64, TicketBytesMax = 256, ReasonBytesMax = 512;

    public static int WriteHello(Span<byte> frame, MoveId move, string ticket)
    {
        var payload = frame[LinkFrame.HeaderBytes..];
        BinaryPrimitives.WriteUInt64BigEndian(payload, Magic);
        BinaryPrimitives.WriteUInt16BigEndian(payload[8..], VersionMin);
        BinaryPrimitives.WriteUInt16BigEndian(payload[10..], VersionMax);
        int at = 12;
        at += WriteText(payload[at..], move.Value, MoveBytesMax);
        at += WriteText(payload[at..], ticket, TicketBytesMax);
        return Finish(frame, FrameType.Hello, at);
    }

    public static bool TryReadHello(ReadOnlySpan<byte> payload, out (ushort Min, ushort Max, MoveId Move, string Ticket) hello)
    {
        hello = default;
        if (payload.Length < 12 || BinaryPrimitives.ReadUInt64BigEndian(payload) != Magic) return false;
        ushort min = BinaryPrimitives.ReadUInt16BigEndian(payload[8..]);
        ushort max = BinaryPrimitives.ReadUInt16BigEndian(payload[10..]);
        payload = payload[12..];
        if (!TryTakeText(ref payload, MoveBytesMax, out var move)) return false;
        if (!TryTakeText(ref payload, TicketBytesMax, out var ticket) || !payload.IsEmpty) return false;
        hello = (min, max, new(move), ticket);
        return true;
    }

    public static int WriteWelcome(Span<byte> frame, ushort version)
    {
        BinaryPrimitives.WriteUInt16BigEndian(frame[LinkFrame.HeaderBytes..], version);
        return Finish(frame, FrameType.Welcome, 2);
    }

    public static bool TryReadWelcome(ReadOnlySpan<byte> payload, out ushort version) =>
        BinaryPrimitives.TryReadUInt16BigEndian(payload, out version) && payload.Length == 2;

    /// <summary>For frames that are nothing but text: refused, abort.</summary>
    public static int WriteReason(Span<byte> frame, FrameType type, string reason) =>
        Finish(frame, type, WriteText(frame[LinkFrame.HeaderBytes..], reason, ReasonBytesMax));

    public static bool TryReadReason(ReadOnlySpan<byte> payload, out string reason) =>
        TryTakeText(ref payload, ReasonBytesMax, out reason) && payload.IsEmpty;

    /// <summary>For frames of plain numbers: ping, pong, ack, running.</summary>
    public static int WriteNumbers(Span<byte> frame, FrameType type, long first, long? second = null)
    {
        BinaryPrimitives.WriteInt64BigEndian(frame[LinkFrame.HeaderBytes..], first);
        if (second is not { } value) return Finish(frame, type, 8);
        BinaryPrimitives.WriteInt64BigEndian(frame[(LinkFrame.HeaderBytes + 8)..], value);
        return Finish(frame, type, 16);
    }

    public static bool TryReadNumber(ReadOnlySpan<byte> payload, out long number) =>
        BinaryPrimitives.TryReadInt64BigEndian(payload, out number) && payload.Length == 8;

    public static bool TryReadNumbers(ReadOnlySpan<byte> payload, out long first, out long second)
    {
        (first, second) = (0, 0);
        if (payload.Length != 16) return false;
        first = BinaryPrimitives.ReadInt64BigEndian(payload);
        second = BinaryPrimitives.ReadInt64BigEndian(payload[8..]);
        return true;
    }

    /// <summary>Epoch and RESUME; from version 2 on also when the token was there and the guest loaded.</summary>
    public static int WriteRunning(Span<byte> frame, LinkAnswer.Running running, ushort version)
    {
        WriteNumbers(frame, FrameType.Running, running.Epoch.Value, running.ResumeTimestampMicros);
        if (version < 2) return Finish(frame, FrameType.Running, 16);
        BinaryPrimitives.WriteInt64BigEndian(frame[(LinkFrame.HeaderBytes + 16)..], running.TokenTimestampMicros);
        BinaryPrimitives.WriteInt64BigEndian(frame[(LinkFrame.HeaderBytes + 24)..], running.LoadedTimestampMicros);
        return Finish(frame, FrameType.Running, 32);
    }

    public static bool TryReadRunning(ReadOnlySpan<byte> payload, out LinkAnswer.Running running)
    {
        running = new(default, 0);
        if (payload.Length is not (16 or 32)) return false;
        running = new(new(BinaryPrimitives.ReadInt64BigEndian(payload)), BinaryPrimitives.ReadInt64BigEndian(payload[8..]));
        if (payload.Length == 32) running = running with
        {
            TokenTimestampMicros = BinaryPrimitives.ReadInt64BigEndian(payload[16..]),
            LoadedTimestampMicros = BinaryPrimitives.ReadInt64BigEndian(payload[24..]),
        };
        return true;
    }

    public static int WriteToken(Span<byte> frame, Token token)
    {
        var payload = frame[LinkFrame.HeaderBytes..];
        BinaryPrimitives.WriteInt64BigEndian(payload, token.Epoch.Value);
        BinaryPrimitives.WriteInt64BigEndian(payload[8..], token.Length);
        BinaryPrimitives.WriteUInt128BigEndian(payload[16..], token.Digest);
        BinaryPrimitives.WriteInt64BigEndian(payload[32..], token.StopTimestampMicros);
        return Finish(frame, FrameType.Token, 40);
    }

    public static bool TryReadToken(ReadOnlySpan<byte> payload, out Token token)
    {
        token = new(default, 0, 0, 0);
        if (payload.Length != 40) return false;
        token = new(
            new(BinaryPrimitives.ReadInt64BigEndian(payload)),
            BinaryPrimitives.ReadInt64BigEndian(payload[8..]),
            BinaryPrimitives.ReadUInt128BigEndian(payload[16..]),
            BinaryPrimitives.ReadInt64BigEndian(payload[32..]));
        return true;
    }

    public static int WriteRehearsed(Span<byte> frame, StreamSummary sent)
    {
        var payload = frame[LinkFrame.HeaderBytes..];
        BinaryPrimitives.WriteInt64BigEndian(payload, sent.Length);
        BinaryPrimitives.WriteUInt128BigEndian(payload[8..], sent.Digest);
        return Finish(frame, FrameType.Rehearsed, 24);
    }

    public static bool TryReadRehearsed(ReadOnlySpan<byte> payload, out StreamSummary sent)
    {
        sent = default;
        if (payload.Length != 24) return false;
        sent = new(BinaryPrimitives.ReadInt64BigEndian(payload), BinaryPrimitives.ReadUInt128BigEndian(payload[8..]));
        return true;
    }

    public static int WriteAborted(Span<byte> frame, Epoch epoch, string reason)
    {
        BinaryPrimitives.WriteInt64BigEndian(frame[LinkFrame.HeaderBytes..], epoch.Value);
        return Finish(frame, FrameType.Aborted, 8 + WriteText(frame[(LinkFrame.HeaderBytes + 8)..], reason, ReasonBytesMax));
    }

    public static bool TryReadAborted(ReadOnlySpan<byte> payload, out Epoch epoch, out string reason)
    {
        (epoch, reason) = (default, "");
        if (!BinaryPrimitives.TryReadInt64BigEndian(payload, out long number)) return false;
        epoch = new(number);
        return TryReadReason(payload[8..], out reason);
    }

    private static int Finish(Span<byte> frame, FrameType type, int length)
    {
        new LinkFrame(type, 0, 0, length).Write(frame);
        return LinkFrame.HeaderBytes + length;
    }

    /// <summary>Cuts text that is too long at a whole character: a reason cut short is better than no answer.</summary>
    private static int WriteText(Span<byte> target, string text, int bytesMax)
    {
        Encoding.UTF8.GetEncoder().Convert(text, target.Slice(2, bytesMax), flush: true, out _, out int bytes, out _);
        BinaryPrimitives.WriteUInt16BigEndian(target, (ushort)bytes);
        return 2 + bytes;
    }

    private static bool TryTakeText(ref ReadOnlySpan<byte> payload, int bytesMax, out string text)
    {
        text = "";
        if (!BinaryPrimitives.TryReadUInt16BigEndian(payload, out ushort length)) return false;
        if (length > bytesMax || length > payload.Length - 2) return false;
        text = Encoding.UTF8.GetString(payload.Slice(2, length)); // Bad UTF-8 becomes U+FFFD: it is text for people.
        payload = payload[(2 + length)..];
        return true;
    }
}
