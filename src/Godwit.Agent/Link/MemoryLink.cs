using System.Buffers.Binary;
using System.IO.Hashing;
using System.Numerics;
using System.Security.Cryptography;
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
    public const int PageBytes = 4096;
    /// <summary>The link's version from which on a source tells what is unlike.</summary>
    public const ushort UnlikeSince = 3;
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

    /// <summary>
    /// Of a page's SHA-256: a guest that could make two pages of its own with one hash would find the wrong one. Place (i64), length
    /// (i64) and a hash for each page.
    /// </summary>
    public const int PageHashBytes = 16;
    private const int AskBytes = 2 * sizeof(long);

    /// <param name="there">Whole pages, a block at most.</param>
    public static int WriteAskUnlike(Span<byte> frame, long offset, ReadOnlySpan<byte> there)
    {
        ControlPayload.WriteNumbers(frame, FrameType.AskUnlike, offset, there.Length);
        WriteHashes(there, frame[(LinkFrame.HeaderBytes + AskBytes)..]);
        var pages = there.Length / PageBytes;
        new LinkFrame(FrameType.AskUnlike, 0, 0, AskBytes + pages * PageHashBytes).Write(frame);
        return LinkFrame.HeaderBytes + AskBytes + pages * PageHashBytes;
    }

    public static void WriteHashes(ReadOnlySpan<byte> pages, Span<byte> hashes)
    {
        for (var page = 0; page < pages.Length / PageBytes; page++)
            HashOfPage(pages.Slice(page * PageBytes, PageBytes), hashes.Slice(page * PageHashBytes, PageHashBytes));
    }

    /// <summary>False for what no target of ours asks.</summary>
    public static bool TryReadAskUnlike(
        ReadOnlySpan<byte> payload, out long offset, out int bytes, out ReadOnlySpan<byte> hashes)
    {
        (offset, bytes) = (0, 0);
        hashes = default;
        if (payload.Length <= AskBytes || !ControlPayload.TryReadNumbers(payload[..AskBytes], out offset, out var length)) return false;
        if (length is < PageBytes or > BlockBytes || length % PageBytes != 0) return false;
        bytes = (int)length;
        hashes = payload[AskBytes..];
        return hashes.Length == bytes / PageBytes * PageHashBytes;
    }

    /// <summary>
    /// Place (i64), XxHash64 (u64) of what follows, a bit for each page that is unlike (u8, the first is the lowest), these pages.
    /// </summary>
    public const int UnlikePrefixBytes = PrefixBytes + 1;

    /// <summary>
    /// The frame has the whole block behind its prefix, as it is here; what is alike is left out. Returns how many bytes of pages are
    /// in it.
    /// </summary>
    public static int WriteUnlike(Span<byte> frame, long offset, int bytes, ReadOnlySpan<byte> hashes)
    {
        var payload = frame[LinkFrame.HeaderBytes..];
        var content = payload[UnlikePrefixBytes..];
        Span<byte> mine = stackalloc byte[PageHashBytes];
        var (mask, kept) = ((byte)0, 0);
        for (var page = 0; page < bytes / PageBytes; page++)
        {
            var here = content.Slice(page * PageBytes, PageBytes);
            HashOfPage(here, mine);
            if (mine.SequenceEqual(hashes.Slice(page * PageHashBytes, PageHashBytes))) continue;
            mask |= (byte)(1 << page);
            here.CopyTo(content[(kept++ * PageBytes)..]);
        }
        payload[PrefixBytes] = mask;
        var length = UnlikePrefixBytes + kept * PageBytes;
        BinaryPrimitives.WriteInt64BigEndian(payload, offset);
        BinaryPrimitives.WriteUInt64BigEndian(payload[sizeof(long)..], HashOf(offset, payload[PrefixBytes..length]));
        new LinkFrame(FrameType.Unlike, 0, 0, length).Write(frame);
        return kept * PageBytes;
    }

    /// <summary>False for what no source of ours sends.</summary>
    public static bool TryReadUnlike(ReadOnlyMemory<byte> payload, out long offset, out byte mask, out ReadOnlyMemory<byte> pages)
    {
        (offset, mask, pages) = (0, 0, default);
        if (payload.Length < UnlikePrefixBytes) return false;
        offset = BinaryPrimitives.ReadInt64BigEndian(payload.Span);
        mask = payload.Span[PrefixBytes];
        pages = payload[UnlikePrefixBytes..];
        return offset >= 0 && pages.Length == BitOperations.PopCount(mask) * PageBytes
            && BinaryPrimitives.ReadUInt64BigEndian(payload.Span[sizeof(long)..]) == HashOf(offset, payload.Span[PrefixBytes..]);
    }

    /// <summary>
    /// A question and its answer, to nobody: what the first ones of a process cost (code to be made ready, some ms) is no part of a pause.
    /// </summary>
    public static void WarmUp()
    {
        var (ask, answer) = (new byte[LinkFrame.HeaderBytes + LinkFrame.ControlBytesMax], new byte[DataFrameBytes]);
        var asked = WriteAskUnlike(ask, 0, new byte[PageBytes]);
        var payload = ask.AsSpan(LinkFrame.HeaderBytes, asked - LinkFrame.HeaderBytes);
        if (!TryReadAskUnlike(payload, out _, out var bytes, out var hashes)) return;
        answer[^1] = 1;
        var unlike = WriteUnlike(answer, 0, bytes, hashes);
        _ = TryReadUnlike(answer.AsMemory(LinkFrame.HeaderBytes, UnlikePrefixBytes + unlike), out _, out _, out _);
    }

    private const int DataFrameBytes = LinkFrame.HeaderBytes + UnlikePrefixBytes + PageBytes;

    private static readonly byte[] zeroHash = SHA256.HashData(new byte[PageBytes])[..PageHashBytes];

    private static void HashOfPage(ReadOnlySpan<byte> page, Span<byte> into)
    {
        if (!page.ContainsAnyExcept((byte)0)) // Most are, and it is seen in a tenth of the time.
        {
            zeroHash.CopyTo(into);
            return;
        }
        Span<byte> whole = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(page, whole);
        whole[..PageHashBytes].CopyTo(into);
    }

    private static ulong HashOf(long offset, ReadOnlySpan<byte> content) => XxHash64.HashToUInt64(content, offset);
}
