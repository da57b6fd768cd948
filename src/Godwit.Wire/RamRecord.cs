using System.Buffers;

namespace Godwit.Wire;

/// <summary>
/// One record of a "ram" section's body: the word, the block it means, and what stands before its payload. A page's
/// bytes (<see cref="PayloadBytes"/>) follow the record.
/// </summary>
public readonly ref struct RamRecord
{
    private const int FlagBits = 12;
    private const ulong FlagMask = (1UL << FlagBits) - 1;

    private RamRecord(RamFlags kind, bool continues, ulong offset, ReadOnlySpan<byte> blockId, int payloadBytes)
    {
        (Kind, Continues, Offset, PayloadBytes) = (kind, continues, offset, payloadBytes);
        BlockId = blockId;
    }

    /// <summary>Exactly one flag, never <see cref="RamFlags.Continue"/>.</summary>
    public RamFlags Kind { get; }

    /// <summary>The block of the record before; <see cref="BlockId"/> is empty then.</summary>
    public bool Continues { get; }

    /// <summary>Of the page in its block; with MEM_SIZE the sum of all blocks' used bytes.</summary>
    public ulong Offset { get; }

    public ReadOnlySpan<byte> BlockId { get; }

    public int PayloadBytes { get; }

    public bool IsPage => Kind is RamFlags.Page or RamFlags.Zero or RamFlags.Xbzrle or RamFlags.CompressPage;

    public static OperationStatus TryRead(ReadOnlySpan<byte> source, int pageBytes, out RamRecord record, out int consumed)
    {
        record = default;
        consumed = 0;
        var cursor = new WireCursor(source);
        if (!cursor.TryUInt64(out var word)) return OperationStatus.NeedMoreData;
        var flags = (RamFlags)(word & FlagMask);
        var offset = word & ~FlagMask;
        var kind = flags & ~RamFlags.Continue;
        var continues = (flags & RamFlags.Continue) != 0;

        var isPage = kind is RamFlags.Page or RamFlags.Zero or RamFlags.Xbzrle or RamFlags.CompressPage;
        if (!isPage)
        {
            if (continues || kind is not (RamFlags.MemSize or RamFlags.Eos or RamFlags.MultifdFlush))
                return OperationStatus.InvalidData;
            if (kind != RamFlags.MemSize && offset != 0) return OperationStatus.InvalidData;
            record = new RamRecord(kind, false, offset, default, 0);
            consumed = cursor.At;
            return OperationStatus.Done;
        }

        if ((offset & ((ulong)pageBytes - 1)) != 0) return OperationStatus.InvalidData;
        ReadOnlySpan<byte> block = default;
        if (!continues)
        {
            if (!cursor.TryName(out block)) return OperationStatus.NeedMoreData;
            if (block.IsEmpty) return OperationStatus.InvalidData;
        }

        var status = ReadBeforePayload(ref cursor, kind, pageBytes, out var payload);
        if (status != OperationStatus.Done) return status;
        record = new RamRecord(kind, continues, offset, block, payload);
        consumed = cursor.At;
        return OperationStatus.Done;
    }

    private static OperationStatus ReadBeforePayload(ref WireCursor cursor, RamFlags kind, int pageBytes, out int payload)
    {
        payload = 0;
        switch (kind)
        {
            case RamFlags.Page:
                payload = pageBytes;
                return OperationStatus.Done;

            case RamFlags.Zero: // The byte the page is filled with; QEMU refuses any but 0.
                if (!cursor.TryByte(out var fill)) return OperationStatus.NeedMoreData;
                return fill == 0 ? OperationStatus.Done : OperationStatus.InvalidData;

            case RamFlags.Xbzrle:
                if (!cursor.TryByte(out var encoding) || !cursor.TryUInt16(out var delta)) return OperationStatus.NeedMoreData;
                payload = delta;
                return encoding == 1 && delta <= pageBytes ? OperationStatus.Done : OperationStatus.InvalidData;

            default: // CompressPage: zlib may grow a page a little.
                if (!cursor.TryUInt32(out var compressed)) return OperationStatus.NeedMoreData;
                if (compressed > 2 * (uint)pageBytes) return OperationStatus.InvalidData;
                payload = (int)compressed;
                return OperationStatus.Done;
        }
    }
}
