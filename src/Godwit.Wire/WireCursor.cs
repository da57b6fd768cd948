using System.Buffers.Binary;
using System.Text;

namespace Godwit.Wire;

/// <summary>
/// Reads big-endian fields one after the other; false means the bytes end too early and nothing was taken.
/// </summary>
internal ref struct WireCursor(ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> bytes = bytes;

    public int At { get; private set; }

    public readonly int Left => bytes.Length - At;

    public bool TryByte(out byte value)
    {
        var ok = TryBytes(1, out var field);
        value = ok ? field[0] : (byte)0;
        return ok;
    }

    public bool TryUInt16(out ushort value)
    {
        var ok = TryBytes(sizeof(ushort), out var field);
        value = ok ? BinaryPrimitives.ReadUInt16BigEndian(field) : (ushort)0;
        return ok;
    }

    public bool TryUInt32(out uint value)
    {
        var ok = TryBytes(sizeof(uint), out var field);
        value = ok ? BinaryPrimitives.ReadUInt32BigEndian(field) : 0;
        return ok;
    }

    public bool TryUInt64(out ulong value)
    {
        var ok = TryBytes(sizeof(ulong), out var field);
        value = ok ? BinaryPrimitives.ReadUInt64BigEndian(field) : 0;
        return ok;
    }

    /// <summary>One length byte and that many bytes.</summary>
    public bool TryName(out ReadOnlySpan<byte> name)
    {
        name = default;
        if (Left < 1 || Left < 1 + bytes[At]) return false;
        name = bytes.Slice(At + 1, bytes[At]);
        At += 1 + name.Length;
        return true;
    }

    public bool TryBytes(int count, out ReadOnlySpan<byte> field)
    {
        field = default;
        if (Left < count) return false;
        field = bytes.Slice(At, count);
        At += count;
        return true;
    }
}

internal static class WireText
{
    /// <summary>Names are ASCII in every QEMU; Latin-1 keeps hostile ones apart instead of folding them into '?'.</summary>
    public static string Name(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);
}
