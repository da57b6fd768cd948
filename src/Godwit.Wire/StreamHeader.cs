using System.Buffers;

namespace Godwit.Wire;

/// <summary>The first 8 bytes of a stream: "QEVM" and the version.</summary>
public readonly record struct StreamHeader(uint Version)
{
    public const uint Magic = 0x5145564d;
    public const uint VersionKnown = 3;
    public const int Bytes = 8;

    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out StreamHeader header, out int consumed)
    {
        (header, consumed) = (default, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryUInt32(out var magic)) return OperationStatus.NeedMoreData;
        if (magic != Magic) return OperationStatus.InvalidData;
        if (!cursor.TryUInt32(out var version)) return OperationStatus.NeedMoreData;

        (header, consumed) = (new StreamHeader(version), cursor.At);
        return version == VersionKnown ? OperationStatus.Done : OperationStatus.InvalidData;
    }
}
