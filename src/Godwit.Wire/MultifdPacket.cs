using System.Buffers;
using System.Buffers.Binary;

namespace Godwit.Wire;

/// <summary>First 64 bytes of a multifd channel.</summary>
/// <param name="Uuid">The source VM's, 32 hex digits; must be the target's too.</param>
public sealed record MultifdInit(string Uuid, byte Channel)
{
    public const uint Magic = 0x11223344;
    public const uint Version = 1;
    public const int Bytes = 64;

    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out MultifdInit? init, out int consumed)
    {
        (init, consumed) = (null, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryUInt32(out var magic)) return OperationStatus.NeedMoreData;
        if (magic != Magic) return OperationStatus.InvalidData;
        if (!cursor.TryUInt32(out var version)) return OperationStatus.NeedMoreData;
        if (version != Version) return OperationStatus.InvalidData;
        if (source.Length < Bytes) return OperationStatus.NeedMoreData;

        (init, consumed) = (new MultifdInit(Convert.ToHexStringLower(source.Slice(8, 16)), source[24]), Bytes);
        return OperationStatus.Done;
    }
}

/// <summary>
/// The fixed-size header of a RAM packet on a multifd channel. <see cref="PayloadBytes"/> bytes follow it. Points into
/// the bytes it was read from.
/// </summary>
public readonly ref struct MultifdPacket
{
    private const int PagesBytes = 512 << 10;
    private const int OffsetsAt = 320;
    private const int BlockAt = 64;
    private const int BlockBytes = 256;
    private const MultifdFlags Compressions =
        MultifdFlags.Zlib | MultifdFlags.Zstd | MultifdFlags.Qpl | MultifdFlags.Uadk | MultifdFlags.Qatzip;

    private readonly ReadOnlySpan<byte> offsets;

    private MultifdPacket(ReadOnlySpan<byte> header, int pageBytes, ReadOnlySpan<byte> block)
    {
        Flags = (MultifdFlags)BinaryPrimitives.ReadUInt32BigEndian(header[8..]);
        NormalPages = BinaryPrimitives.ReadUInt32BigEndian(header[16..]);
        PacketNumber = BinaryPrimitives.ReadUInt64BigEndian(header[24..]);
        ZeroPages = BinaryPrimitives.ReadUInt32BigEndian(header[32..]);
        BlockId = block;
        offsets = header[OffsetsAt..];
        // QEMU 7.2 leaves an old size in packets without pages; without compression the size follows from the pages.
        PayloadBytes = NormalPages == 0 ? 0
            : (Flags & Compressions) == 0 ? NormalPages * pageBytes
            : BinaryPrimitives.ReadUInt32BigEndian(header[20..]);
    }

    public MultifdFlags Flags { get; }
    public uint NormalPages { get; }
    /// <summary>Pages named as zero (QEMU 9.0 and newer).</summary>
    public uint ZeroPages { get; }
    public ulong PacketNumber { get; }
    public ReadOnlySpan<byte> BlockId { get; }
    public long PayloadBytes { get; }

    /// <summary>Offset in the block of page <paramref name="index"/>: the normal ones first, then the zero ones.</summary>
    public ulong Offset(int index) => BinaryPrimitives.ReadUInt64BigEndian(offsets[(index * sizeof(ulong))..]);

    public static int HeaderBytes(int pageBytes) => OffsetsAt + (PagesBytes / pageBytes * sizeof(ulong));

    public static OperationStatus TryRead(
        ReadOnlySpan<byte> source, int pageBytes, out MultifdPacket packet, out int consumed)
    {
        packet = default;
        consumed = 0;
        var cursor = new WireCursor(source);
        if (!cursor.TryUInt32(out var magic)) return OperationStatus.NeedMoreData;
        if (magic != MultifdInit.Magic) return OperationStatus.InvalidData;
        if (!cursor.TryUInt32(out var version) || !cursor.TryUInt32(out var flags)) return OperationStatus.NeedMoreData;
        const MultifdFlags known = MultifdFlags.Sync | Compressions; // Device state packets have another layout.
        if (version != MultifdInit.Version || ((MultifdFlags)flags & ~known) != 0) return OperationStatus.InvalidData;

        if (source.Length < HeaderBytes(pageBytes)) return OperationStatus.NeedMoreData;
        var header = source[..HeaderBytes(pageBytes)];
        var name = header.Slice(BlockAt, BlockBytes);
        var end = name.IndexOf((byte)0);
        if (end < 0) return OperationStatus.InvalidData;

        packet = new MultifdPacket(header, pageBytes, name[..end]);
        var pages = (long)packet.NormalPages + packet.ZeroPages;
        if (pages > PagesBytes / pageBytes || (pages > 0 && end == 0)) return OperationStatus.InvalidData;
        if (packet.PayloadBytes > 2 * PagesBytes) return OperationStatus.InvalidData;
        for (var i = 0; i < pages; i++)
            if (packet.Offset(i) % (ulong)pageBytes != 0) return OperationStatus.InvalidData;
        consumed = header.Length;
        return OperationStatus.Done;
    }
}
