using System.Buffers.Binary;

namespace Godwit.Wire;

/// <summary>What a target says to its source in post-copy: u16 kind, u16 length, payload of at most 512 bytes.</summary>
public enum ReturnPathKind : ushort
{
    Shut = 1,
    Pong = 2,
    /// <summary>Pages of the block it names.</summary>
    RequestPagesOf = 3,
    /// <summary>Pages of the same block as before.</summary>
    RequestPages = 4,
    ReceivedBitmap = 5,
    ResumeAck = 6,
    SwitchoverAck = 7,
}

/// <param name="Value">SHUT: 0 is well; PONG, RESUME_ACK: its number.</param>
/// <param name="Block">Of a request.</param>
/// <param name="Offset">Of a request: its first byte in the block.</param>
/// <param name="Bytes">Of a request: how many.</param>
public readonly record struct ReturnPathWord(ReturnPathKind Kind, uint Value, string Block, ulong Offset, uint Bytes);

/// <summary>Reads the return path in slices of any size. Not thread-safe.</summary>
public sealed class ReturnPathReader
{
    private const int HeaderBytes = 4, PayloadBytesMax = 512, RequestBytes = 12;
    private readonly byte[] held = new byte[HeaderBytes + PayloadBytesMax];
    private int heldBytes;
    private string block = "";

    /// <summary>Why nothing more is read; empty while all is well.</summary>
    public string Fault { get; private set; } = "";

    public IReadOnlyList<ReturnPathWord> Feed(ReadOnlySpan<byte> bytes)
    {
        List<ReturnPathWord> words = [];
        while (bytes.Length > 0 && Fault.Length == 0)
        {
            var wanted = HeaderBytes;
            if (heldBytes >= HeaderBytes) wanted += BinaryPrimitives.ReadUInt16BigEndian(held.AsSpan(2));
            var taken = Math.Min(wanted - heldBytes, bytes.Length);
            bytes[..taken].CopyTo(held.AsSpan(heldBytes));
            heldBytes += taken;
            bytes = bytes[taken..];
            if (heldBytes < HeaderBytes) continue;
            var payload = BinaryPrimitives.ReadUInt16BigEndian(held.AsSpan(2));
            if (payload > PayloadBytesMax) Fault = $"a message of {payload} bytes";
            if (payload > PayloadBytesMax || heldBytes < HeaderBytes + payload) continue;
            if (Word(held.AsSpan(HeaderBytes, heldBytes - HeaderBytes)) is { } word) words.Add(word);
            heldBytes = 0;
        }
        return words;
    }

    private ReturnPathWord? Word(ReadOnlySpan<byte> payload)
    {
        var kind = (ReturnPathKind)BinaryPrimitives.ReadUInt16BigEndian(held);
        switch (kind)
        {
            case ReturnPathKind.Shut or ReturnPathKind.Pong or ReturnPathKind.ResumeAck when payload.Length == sizeof(uint):
                return new ReturnPathWord(kind, BinaryPrimitives.ReadUInt32BigEndian(payload), "", 0, 0);
            case ReturnPathKind.RequestPages when payload.Length == RequestBytes && block.Length > 0:
                return Request(payload);
            case ReturnPathKind.RequestPagesOf
                when payload.Length > RequestBytes && payload.Length == RequestBytes + 1 + payload[RequestBytes]:
                block = WireText.Name(payload[(RequestBytes + 1)..]);
                return Request(payload);
            case ReturnPathKind.SwitchoverAck when payload.IsEmpty: return null;
            default:
                Fault = $"a message of kind {(ushort)kind} with {payload.Length} bytes";
                return null;
        }

        ReturnPathWord Request(ReadOnlySpan<byte> p) => new(kind, 0, block, BinaryPrimitives.ReadUInt64BigEndian(p),
            BinaryPrimitives.ReadUInt32BigEndian(p[sizeof(ulong)..]));
    }
}
