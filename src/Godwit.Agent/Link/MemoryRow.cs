using System.Buffers.Binary;
using System.Numerics;

namespace Godwit.Agent.Link;

/// <summary>
/// Blocks of a <see cref="MemoryLink"/> asked for in one go, those that no guest waits for: most of a guest's memory is zeros, or is here
/// already, and a question and an answer for each block of it would take longer than what has to cross. Blocks with content are answered
/// one by one, all others together at the end. From version 3 of the link on.
/// </summary>
internal static class MemoryRow
{
    /// <summary>A bit for each.</summary>
    public const int BlocksMax = 64;
    public const int HashBytesOfBlock = MemoryLink.BlockBytes / MemoryLink.PageBytes * MemoryLink.PageHashBytes;
    private const int PrefixBytes = sizeof(long) + sizeof(ulong);
    public const int AskFrameBytesMax = LinkFrame.HeaderBytes + PrefixBytes + (BlocksMax * HashBytesOfBlock);

    /// <summary>
    /// Place of the first block (i64), a bit for each block that is wanted (u64), and hashes of all pages of these, or none.
    /// </summary>
    /// <param name="there">What is here of the wanted blocks, in their order; null where nothing is to be compared.</param>
    public static int WriteAsk(Span<byte> frame, long offset, ulong wanted, IReadOnlyList<byte[]>? there)
    {
        var payload = frame[LinkFrame.HeaderBytes..];
        BinaryPrimitives.WriteInt64BigEndian(payload, offset);
        BinaryPrimitives.WriteUInt64BigEndian(payload[sizeof(long)..], wanted);
        var length = PrefixBytes;
        foreach (var block in there ?? [])
        {
            MemoryLink.WriteHashes(block, payload[length..]);
            length += HashBytesOfBlock;
        }
        new LinkFrame(FrameType.AskRow, 0, 0, length).Write(frame);
        return LinkFrame.HeaderBytes + length;
    }

    /// <summary>From the first block to the end of the last that is wanted.</summary>
    public static long BytesOf(ulong wanted) => (BlocksMax - BitOperations.LeadingZeroCount(wanted)) * (long)MemoryLink.BlockBytes;

    /// <summary>False for what no target of ours asks.</summary>
    public static bool TryReadAsk(ReadOnlyMemory<byte> payload, out long offset, out ulong wanted, out ReadOnlyMemory<byte> hashes)
    {
        (offset, wanted, hashes) = (0, 0, default);
        if (payload.Length < PrefixBytes) return false;
        offset = BinaryPrimitives.ReadInt64BigEndian(payload.Span);
        wanted = BinaryPrimitives.ReadUInt64BigEndian(payload.Span[sizeof(long)..]);
        hashes = payload[PrefixBytes..];
        return offset >= 0 && wanted != 0 && (hashes.IsEmpty || hashes.Length == BitOperations.PopCount(wanted) * HashBytesOfBlock);
    }

    /// <summary>Of the wanted blocks those that are zeros, or, if hashes were told, alike.</summary>
    public static int WriteSame(Span<byte> frame, long offset, ulong same) =>
        ControlPayload.WriteNumbers(frame, FrameType.Same, offset, unchecked((long)same));

    public static bool TryReadSame(ReadOnlySpan<byte> payload, out long offset, out ulong same)
    {
        var isOne = ControlPayload.TryReadNumbers(payload, out offset, out var bits) && offset >= 0;
        same = unchecked((ulong)bits);
        return isOne;
    }
}
