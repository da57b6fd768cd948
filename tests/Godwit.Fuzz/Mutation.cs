using System.Buffers.Binary;

namespace Godwit.Fuzz;

/// <summary>Damages bytes as a fuzzer does: a few changes of a few kinds, all from the seed.</summary>
internal sealed class Mutation(int seed)
{
    private static readonly ulong[] Edges =
        [0, 1, 7, 0x7f, 0x80, 0xff, 0x1ff, 0x200, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1ul << 32, 1ul << 40, long.MaxValue,
            1ul << 63, ulong.MaxValue];
    private readonly Random _random = new(seed);

    /// <param name="hot">Offsets of headers: most changes go there.</param>
    public byte[] Of(byte[] good, params int[] hot)
    {
        var bytes = (byte[])good.Clone();
        for (var changes = 1 + _random.Next(4); changes > 0; changes--) Change(bytes, Place(bytes, hot));
        return _random.Next(8) == 0 ? bytes[.._random.Next(bytes.Length + 1)] : bytes;
    }

    private int Place(byte[] bytes, int[] hot) => hot.Length == 0 || _random.Next(4) == 0
        ? _random.Next(bytes.Length) : Math.Min(bytes.Length - 1, hot[_random.Next(hot.Length)] + _random.Next(160));

    private void Change(byte[] bytes, int at)
    {
        var rest = bytes.AsSpan(at);
        var edge = Edges[_random.Next(Edges.Length)];
        switch (_random.Next(7))
        {
            case 0: rest[0] ^= (byte)(1 << _random.Next(8)); break;
            case 1: rest[0] = (byte)_random.Next(256); break;
            case 2 when rest.Length >= 4: BinaryPrimitives.WriteUInt32BigEndian(rest, (uint)edge); break;
            case 3 when rest.Length >= 4: BinaryPrimitives.WriteUInt32LittleEndian(rest, (uint)edge); break;
            case 4 when rest.Length >= 8: BinaryPrimitives.WriteUInt64BigEndian(rest, edge); break;
            case 5 when rest.Length >= 8: BinaryPrimitives.WriteUInt64LittleEndian(rest, edge); break;
            default:
                var length = Math.Min(rest.Length, 1 + _random.Next(64));
                bytes.AsSpan(_random.Next(bytes.Length - length + 1), length).CopyTo(rest); // A piece of it elsewhere.
                break;
        }
    }
}

/// <summary>A file that counts what is read of it, and stops a reader that never ends.</summary>
internal sealed class CountedFile(byte[] bytes, long bytesMax) : MemoryStream(bytes, writable: false)
{
    private long _read;

    public override int Read(Span<byte> buffer)
    {
        _read += buffer.Length;
        if (_read > bytesMax) throw new InvalidOperationException($"more than {bytesMax} bytes were read of {Length}");
        return base.Read(buffer);
    }
}
