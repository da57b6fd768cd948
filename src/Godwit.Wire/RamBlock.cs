using System.Buffers;

namespace Godwit.Wire;

/// <summary>One entry of the block list in a "ram" section's START.</summary>
/// <param name="UsedBytes">As the stream says; a hostile one may say anything, so nothing is allocated from it.</param>
/// <param name="PageSizeBytes">Only where it differs from the target's page (hugetlb with postcopy).</param>
/// <param name="GuestAddress">Only with x-ignore-shared.</param>
public sealed record RamBlock(string Name, ulong UsedBytes, ulong? PageSizeBytes = null, ulong? GuestAddress = null)
{
    /// <summary>Name and used length; the optional page size is decided by what follows, not by the entry.</summary>
    public static OperationStatus TryRead(
        ReadOnlySpan<byte> source, bool withGuestAddress, out RamBlock? block, out int consumed)
    {
        (block, consumed) = (null, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryName(out var name)) return OperationStatus.NeedMoreData;
        if (name.IsEmpty) return OperationStatus.InvalidData;
        if (!cursor.TryUInt64(out var used)) return OperationStatus.NeedMoreData;
        ulong address = 0;
        if (withGuestAddress && !cursor.TryUInt64(out address)) return OperationStatus.NeedMoreData;

        block = new RamBlock(WireText.Name(name), used, null, withGuestAddress ? address : null);
        consumed = cursor.At;
        return OperationStatus.Done;
    }

    public void Write(IBufferWriter<byte> output)
    {
        output.WriteName(Name);
        output.WriteUInt64(UsedBytes);
        if (PageSizeBytes is { } size) output.WriteUInt64(size);
        if (GuestAddress is { } address) output.WriteUInt64(address);
    }
}
