using System.Buffers;

namespace Godwit.Qmp;

/// <summary>
/// Cuts a byte stream into whole JSON objects by counting brackets outside of strings, so it needs no line ends and
/// no lengths. It proves only where a message ends; whether the message is JSON is for the parser that gets it.
/// Pure. Holds at most <see cref="MessageBytesMax"/> bytes.
/// </summary>
public sealed class QmpFramer
{
    /// <summary>The largest answer known, query-qmp-schema, is 0.2 MiB.</summary>
    public const int MessageBytesMax = 8 << 20;

    /// <summary>Also the limit of the parser behind it; QEMU's deepest answers (block graphs, PCI trees) stay under 20.</summary>
    public const int DepthMax = 64;

    private const int KeptBytesMax = 64 << 10;
    private static readonly SearchValues<byte> Structure = SearchValues.Create("\"{}[]"u8);
    private static readonly SearchValues<byte> StringEnds = SearchValues.Create("\"\\"u8);

    private byte[] held = [];
    private int heldBytes;
    private int depth;
    private bool inString;
    private bool escaped;
    private bool handedOut;

    /// <summary>Why the stream can no longer be understood; empty while it can.</summary>
    public string Fault { get; private set; } = "";

    /// <summary>True between the first and the last byte of a message.</summary>
    public bool InMessage => depth > 0;

    /// <summary>
    /// Reads up to the end of one message. Done: <paramref name="message"/> is one whole object, valid until the next
    /// call; call again with the rest. NeedMoreData: all of <paramref name="input"/> was taken. InvalidData: see
    /// <see cref="Fault"/>; it stays so.
    /// </summary>
    public OperationStatus Read(ReadOnlySpan<byte> input, out int consumed, out ReadOnlySpan<byte> message)
    {
        consumed = 0;
        message = default;
        if (Fault.Length > 0) return OperationStatus.InvalidData;

        ForgetHandedOut();
        if (!InMessage)
        {
            var start = input.IndexOfAnyExcept(" \t\r\n"u8);
            consumed = start < 0 ? input.Length : start;
            if (start < 0) return OperationStatus.NeedMoreData;
            if (input[start] != '{') return Fail($"a message begins with byte 0x{input[start]:x2} instead of '{{'");
        }

        var rest = input[consumed..];
        var taken = Scan(rest);
        if (depth > DepthMax) return Fail($"a message is nested deeper than {DepthMax} levels");
        if ((long)heldBytes + taken > MessageBytesMax) return Fail($"a message is longer than {MessageBytesMax} bytes");

        consumed += taken;
        if (InMessage)
        {
            Hold(rest[..taken]);
            return OperationStatus.NeedMoreData;
        }

        message = heldBytes == 0 ? rest[..taken] : HoldAndHandOut(rest[..taken]);
        return OperationStatus.Done;
    }

    /// <summary>Moves on to just behind the closing bracket, a bracket too deep, or the end. Returns the bytes passed.</summary>
    private int Scan(ReadOnlySpan<byte> bytes)
    {
        var at = 0;
        while (at < bytes.Length)
        {
            if (escaped)
            {
                escaped = false;
                at++;
                continue;
            }

            var next = bytes[at..].IndexOfAny(inString ? StringEnds : Structure);
            if (next < 0) return bytes.Length;

            at += next + 1;
            switch (bytes[at - 1])
            {
                case (byte)'"': inString = !inString; break;
                case (byte)'\\': escaped = true; break;
                case (byte)'{' or (byte)'[': depth++; break;
                default: depth--; break;
            }

            if (depth == 0 || depth > DepthMax) return at;
        }

        return at;
    }

    private ReadOnlySpan<byte> HoldAndHandOut(ReadOnlySpan<byte> tail)
    {
        Hold(tail);
        handedOut = true;
        return held.AsSpan(0, heldBytes);
    }

    private void Hold(ReadOnlySpan<byte> bytes)
    {
        if (heldBytes + bytes.Length > held.Length)
            Array.Resize(ref held, Math.Min(MessageBytesMax, Math.Max(heldBytes + bytes.Length, held.Length * 2)));
        bytes.CopyTo(held.AsSpan(heldBytes));
        heldBytes += bytes.Length;
    }

    private void ForgetHandedOut()
    {
        if (!handedOut) return;
        (handedOut, heldBytes) = (false, 0);
        if (held.Length > KeptBytesMax) held = []; // One large answer must not be paid for until the VM ends.
    }

    private OperationStatus Fail(string why)
    {
        (Fault, held, heldBytes) = (why, [], 0);
        return OperationStatus.InvalidData;
    }
}
