using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Godwit.Wire;

/// <summary>Big-endian fields appended to a buffer.</summary>
internal static class WireOutput
{
    public static void WriteElement(this IBufferWriter<byte> output, StreamElement element) => output.WriteByte((byte)element);

    public static void WriteByte(this IBufferWriter<byte> output, byte value)
    {
        output.GetSpan(1)[0] = value;
        output.Advance(1);
    }

    public static void WriteUInt16(this IBufferWriter<byte> output, ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(output.GetSpan(sizeof(ushort)), value);
        output.Advance(sizeof(ushort));
    }

    public static void WriteUInt32(this IBufferWriter<byte> output, uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(output.GetSpan(sizeof(uint)), value);
        output.Advance(sizeof(uint));
    }

    public static void WriteUInt64(this IBufferWriter<byte> output, ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(output.GetSpan(sizeof(ulong)), value);
        output.Advance(sizeof(ulong));
    }

    public static void WriteText(this IBufferWriter<byte> output, string text) =>
        output.Write(Encoding.Latin1.GetBytes(text));

    /// <summary>One length byte and the text: 1 to 255 bytes.</summary>
    public static void WriteName(this IBufferWriter<byte> output, string name)
    {
        ArgumentOutOfRangeException.ThrowIfZero(name.Length, nameof(name));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, byte.MaxValue, nameof(name));
        output.WriteByte((byte)name.Length);
        output.WriteText(name);
    }
}
