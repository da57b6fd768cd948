using System.Buffers;

namespace Godwit.Wire;

/// <summary>One chunk of a "dirty-bitmap" section's body; <see cref="PayloadBytes"/> bytes of bits follow it.</summary>
public readonly record struct BitmapChunk(BitmapFlags Flags, ulong FirstSector, uint Sectors, long PayloadBytes)
{
    private const ulong PayloadBytesMax = 1 << 30; // Passed over, not kept; more would be no bitmap of any disk.

    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out BitmapChunk chunk, out int consumed)
    {
        (chunk, consumed) = (default, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryByte(out var first)) return OperationStatus.NeedMoreData;
        var flags = (BitmapFlags)first;
        if (Has(BitmapFlags.Extra)) return OperationStatus.InvalidData; // More flag bytes, none of them known.
        if (Has(BitmapFlags.DeviceName) && !cursor.TryName(out _)) return OperationStatus.NeedMoreData;
        if (Has(BitmapFlags.BitmapName) && !cursor.TryName(out _)) return OperationStatus.NeedMoreData;

        if (Has(BitmapFlags.Start) && !(cursor.TryUInt32(out _) && cursor.TryByte(out _))) // Granularity, bitmap flags.
            return OperationStatus.NeedMoreData;

        var (sector, sectors, payload) = (0UL, 0U, 0UL);
        if (Has(BitmapFlags.Bits))
        {
            if (!cursor.TryUInt64(out sector) || !cursor.TryUInt32(out sectors)) return OperationStatus.NeedMoreData;
            if (!Has(BitmapFlags.Zeroes) && !cursor.TryUInt64(out payload)) return OperationStatus.NeedMoreData;
            if (payload > PayloadBytesMax) return OperationStatus.InvalidData;
        }

        (chunk, consumed) = (new BitmapChunk(flags, sector, sectors, (long)payload), cursor.At);
        return OperationStatus.Done;

        bool Has(BitmapFlags flag) => (flags & flag) != 0;
    }
}
