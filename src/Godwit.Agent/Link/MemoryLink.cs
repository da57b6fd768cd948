using System.Buffers.Binary;
using System.IO.Hashing;
using Godwit.Core;

namespace Godwit.Agent.Link;

/// <summary>
/// The second link of a lazy move: the target asks by it for the memory that its guest left behind. The source opens it, as it opens the
/// first, so that one port and one direction are enough; and opens it again for as long as the target misses something.
/// </summary>
internal static class MemoryLink
{
    /// <summary>Asked for and answered as one: small enough that a page that is waited for does not wait long behind others.</summary>
    public const int BlockBytes = 32 << 10;
    private const string Prefix = "lm-";

    public static MoveId Of(MoveId move) => new(Prefix + move.Value);

    public static bool IsOne(MoveId link) => link.Value.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>The move whose memory this link is for.</summary>
    public static MoveId MoveOf(MoveId link) => new(link.Value[Prefix.Length..]);

    /// <summary>
    /// Place (i64) and XxHash64 (u64) of what follows; big-endian. TLS authenticates the bytes, the hash guards our own code.
    /// </summary>
    public const int PrefixBytes = sizeof(long) + sizeof(ulong);

    /// <param name="bytes">How many follow the prefix; 0 for zeros.</param>
    public static int WriteMemory(Span<byte> frame, long offset, int bytes)
    {
        var payload = frame[LinkFrame.HeaderBytes..];
        BinaryPrimitives.WriteInt64BigEndian(payload, offset);
        BinaryPrimitives.WriteUInt64BigEndian(payload[sizeof(long)..], HashOf(offset, payload.Slice(PrefixBytes, bytes)));
        new LinkFrame(FrameType.Memory, 0, 0, PrefixBytes + bytes).Write(frame);
        return LinkFrame.HeaderBytes + PrefixBytes + bytes;
    }

    /// <summary>False for what no source of ours sends.</summary>
    public static bool TryReadMemory(ReadOnlyMemory<byte> payload, out long offset, out ReadOnlyMemory<byte> content)
    {
        (offset, content) = (0, default);
        if (payload.Length is < PrefixBytes or > PrefixBytes + BlockBytes) return false;
        offset = BinaryPrimitives.ReadInt64BigEndian(payload.Span);
        content = payload[PrefixBytes..];
        return offset >= 0 && BinaryPrimitives.ReadUInt64BigEndian(payload.Span[sizeof(long)..]) == HashOf(offset, content.Span);
    }

    private static ulong HashOf(long offset, ReadOnlySpan<byte> content) => XxHash64.HashToUInt64(content, offset);
}
