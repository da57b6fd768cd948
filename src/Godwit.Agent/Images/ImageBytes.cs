using System.Buffers.Binary;

namespace Godwit.Agent.Images;

/// <summary>
/// A part of a file that is read only inside its bounds: a header that points outside gets a "no", never an exception
/// and never a byte of something else. Reads are small and of a file just written, so they wait in place.
/// </summary>
public sealed class ImageBytes
{
    private const int BlockBytes = 64 << 10;
    private readonly Stream _file;
    private readonly long _start;

    /// <param name="file">Seekable; all of it is the image.</param>
    public ImageBytes(Stream file) : this(file, 0, file.Length) { }

    private ImageBytes(Stream file, long start, long length) => (_file, _start, Length) = (file, start, length);

    public delegate bool BlockReader(ReadOnlySpan<byte> block);

    public long Length { get; }

    public ImageBytes Part(long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)offset, (ulong)Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)length, (ulong)(Length - offset));
        return new ImageBytes(_file, _start + offset, length);
    }

    public bool Holds(ulong offset, ulong length) => offset <= (ulong)Length && length <= (ulong)Length - offset;

    /// <summary>All of <paramref name="into"/>, or false where the file ends before.</summary>
    public bool TryRead(ulong offset, Span<byte> into)
    {
        if (!Holds(offset, (ulong)into.Length)) return false;
        _file.Position = _start + (long)offset;
        return _file.ReadAtLeast(into, into.Length, throwOnEndOfStream: false) == into.Length;
    }

    /// <summary>At most <paramref name="max"/> bytes, fewer where the file ends before.</summary>
    public byte[] UpTo(ulong offset, int max)
    {
        var bytes = new byte[offset >= (ulong)Length ? 0 : (int)Math.Min((ulong)max, (ulong)Length - offset)];
        return TryRead(offset, bytes) ? bytes : [];
    }

    /// <summary>
    /// Hands out a table in blocks of whole entries (64 KiB is a multiple of all their sizes) until
    /// <paramref name="read"/> has seen enough. False where the table lies outside of the file.
    /// </summary>
    public bool Walk(ulong offset, ulong length, BlockReader read)
    {
        if (!Holds(offset, length)) return false;
        var buffer = new byte[(int)Math.Min(BlockBytes, length)];
        for (ulong done = 0; done < length;)
        {
            var block = buffer.AsSpan(0, (int)Math.Min((ulong)buffer.Length, length - done));
            if (!TryRead(offset + done, block)) return false;
            if (!read(block)) return true;
            done += (ulong)block.Length;
        }
        return true;
    }
}

/// <summary>Numbers in headers. Formats born on PCs are little-endian, the others big-endian.</summary>
internal static class HeaderNumbers
{
    public static ushort Big16(this ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt16BigEndian(head[at..]);
    public static uint Big32(this ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt32BigEndian(head[at..]);
    public static ulong Big64(this ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt64BigEndian(head[at..]);
    public static ushort Little16(this ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt16LittleEndian(head[at..]);
    public static uint Little32(this ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt32LittleEndian(head[at..]);
    public static ulong Little64(this ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt64LittleEndian(head[at..]);
}
