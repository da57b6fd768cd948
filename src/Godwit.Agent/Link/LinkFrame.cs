using System.Buffers;
using System.Buffers.Binary;

namespace Godwit.Agent.Link;

/// <summary>What a frame says, who may send it, and how long its payload may be.</summary>
public enum FrameType : byte
{
    /// <summary>Source: magic, version, move, ticket. First frame.</summary>
    Hello = 1,
    /// <summary>Target: version chosen. The link is open.</summary>
    Welcome = 2,
    /// <summary>Target: why not, as text. The link closes.</summary>
    Refused = 3,
    /// <summary>Source: its clock. Answered by <see cref="Pong"/> at once.</summary>
    Ping = 4,
    /// <summary>Target: the ping's own payload and the target's clock.</summary>
    Pong = 5,
    /// <summary>Source: clocks are measured, data follows.</summary>
    Opened = 6,
    /// <summary>Source: bytes of the migration stream.</summary>
    Data = 7,
    /// <summary>Target: how many payload bytes of data frames target QEMU has, as they crossed, since the beginning.</summary>
    Ack = 8,
    /// <summary>Source: the right to run. Nothing follows.</summary>
    Token = 9,
    /// <summary>Source: no token will come, as text. Nothing follows.</summary>
    Abort = 10,
    /// <summary>Target: the VM runs here.</summary>
    Running = 11,
    /// <summary>Target: it never ran here and never will.</summary>
    Aborted = 12,
    /// <summary>Source: a rehearsal's stream is whole, no token will come. Nothing follows.</summary>
    Rehearsed = 13,
    /// <summary>Target: a rehearsal's guest was loaded, and what held it is gone.</summary>
    Loaded = 14,
    /// <summary>Target of a lazy move, on a link of its own: these bytes of the memory left behind. Answered in order.</summary>
    Ask = 15,
    /// <summary>Source: where they lie, and what they hold; nothing behind the place where they are zeros.</summary>
    Memory = 16,
    /// <summary>Target: it has all of that memory, or never will want any. Nothing follows.</summary>
    AllHere = 17,
    /// <summary>Source: that memory is no more, as text. Nothing follows.</summary>
    MemoryLost = 18,
    /// <summary>Target, from version 3 on: as <see cref="Ask"/>, and what it has there by hashes: what is alike need not cross.</summary>
    AskUnlike = 19,
    /// <summary>Source: the answer to that, those pages that are not alike.</summary>
    Unlike = 20,
    /// <summary>Target, from version 3 on: blocks in a row that no guest waits for, <see cref="MemoryRow"/>.</summary>
    AskRow = 21,
    /// <summary>Source: which of those asked for are zeros, or alike. The last word about them; all others came before it.</summary>
    Same = 22,
}

/// <summary>
/// Eight bytes before every payload: type, flags, hint (u16), payload length (u32); big-endian.
/// Hint is the acknowledging distance in units of 4 KiB on data frames, 0 on all others.
/// </summary>
public readonly record struct LinkFrame(FrameType Type, byte Flags, ushort Hint, int Length)
{
    public const int HeaderBytes = 8;
    /// <summary>With its header a full data frame fills this many TLS records exactly.</summary>
    public const int RecordsMax = 4;
    public const int DataBytesMax = RecordsMax * 16 * 1024 - HeaderBytes;
    public const int ControlBytesMax = 1024;
    /// <summary>Flag on data: the source has nothing more just now, acknowledge without waiting for the distance.</summary>
    public const byte Push = 1;
    /// <summary>Flag on data: the payload is packed, <see cref="StreamPacker"/>.</summary>
    public const byte Packed = 2;
    public const int HintUnit = 4096;

    public void Write(Span<byte> target)
    {
        target[0] = (byte)Type;
        target[1] = Flags;
        BinaryPrimitives.WriteUInt16BigEndian(target[2..], Hint);
        BinaryPrimitives.WriteInt32BigEndian(target[4..], Length);
    }

    /// <summary>InvalidData on a type, flag or length that no peer of ours sends.</summary>
    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out LinkFrame frame)
    {
        frame = default;
        if (source.Length < HeaderBytes) return OperationStatus.NeedMoreData;

        var type = (FrameType)source[0];
        byte flags = source[1];
        ushort hint = BinaryPrimitives.ReadUInt16BigEndian(source[2..]);
        uint length = BinaryPrimitives.ReadUInt32BigEndian(source[4..]);
        bool data = type == FrameType.Data;
        if (type is < FrameType.Hello or > FrameType.Same) return OperationStatus.InvalidData;
        if ((flags & ~(data ? Push | Packed : 0)) != 0 || (!data && hint != 0)) return OperationStatus.InvalidData;
        var isLong = data || type is FrameType.Memory or FrameType.Unlike or FrameType.AskRow;
        if (length > (isLong ? DataBytesMax : ControlBytesMax)) return OperationStatus.InvalidData;

        frame = new(type, flags, hint, (int)length);
        return OperationStatus.Done;
    }
}
