using System.Buffers.Binary;
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

    public static int WriteMemory(Span<byte> frame, long offset, int bytes)
    {
        BinaryPrimitives.WriteInt64BigEndian(frame[LinkFrame.HeaderBytes..], offset);
        new LinkFrame(FrameType.Memory, 0, 0, sizeof(long) + bytes).Write(frame);
        return LinkFrame.HeaderBytes + sizeof(long) + bytes;
    }
}
