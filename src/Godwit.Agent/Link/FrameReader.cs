using System.Buffers;

namespace Godwit.Agent.Link;

/// <summary>
/// Frames out of a byte stream, through one fixed buffer. Data payloads may be taken as they arrive, so that nothing
/// waits for a frame to be whole; control payloads come whole. One reader at a time.
/// </summary>
internal sealed class FrameReader(Stream stream, int bufferBytes)
{
    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(Math.Max(bufferBytes, 4096));
    private int _start;
    private int _end;

    public bool IsEmpty => _start == _end;
    public ReadOnlyMemory<byte> Buffered => _buffer.AsMemory(_start, _end - _start);

    public void Advance(int count) => _start += count;

    /// <summary>The next header, taken; null when the peer closed between frames. Throws <see cref="InvalidDataException"/>.</summary>
    public async ValueTask<LinkFrame?> ReadHeaderAsync(CancellationToken cancel)
    {
        while (true)
        {
            var status = LinkFrame.TryRead(_buffer.AsSpan(_start, _end - _start), out var frame);
            if (status == OperationStatus.Done)
            {
                Advance(LinkFrame.HeaderBytes);
                return frame;
            }
            if (status == OperationStatus.InvalidData) throw new InvalidDataException("the peer sent a frame we do not know");
            if (await FillAsync(cancel)) continue;
            return IsEmpty ? null : throw new EndOfStreamException("the peer closed inside a frame");
        }
    }

    /// <summary>A control payload, taken; valid until the next read.</summary>
    public async ValueTask<ReadOnlyMemory<byte>> ReadPayloadAsync(LinkFrame frame, CancellationToken cancel)
    {
        if (frame.Type is FrameType.Data or FrameType.Memory or FrameType.Unlike)
            throw new InvalidDataException("the peer sent data where none belongs");
        return await ReadWholeAsync(frame, cancel);
    }

    /// <summary>A payload of any kind, whole. The buffer must hold the longest of its kind, with a header.</summary>
    public async ValueTask<ReadOnlyMemory<byte>> ReadWholeAsync(LinkFrame frame, CancellationToken cancel)
    {
        while (_end - _start < frame.Length)
        {
            if (!await FillAsync(cancel)) throw new EndOfStreamException("the peer closed inside a frame");
        }
        var payload = _buffer.AsMemory(_start, frame.Length);
        Advance(frame.Length);
        return payload;
    }

    /// <summary>Waits for more bytes; false when the peer closed.</summary>
    public async ValueTask<bool> FillAsync(CancellationToken cancel)
    {
        if (_start == _end) (_start, _end) = (0, 0);
        else if (_end == _buffer.Length || _buffer.Length - _start < LinkFrame.HeaderBytes + LinkFrame.ControlBytesMax)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }
        int count = await stream.ReadAsync(_buffer.AsMemory(_end), cancel);
        _end += count;
        return count > 0;
    }
}
