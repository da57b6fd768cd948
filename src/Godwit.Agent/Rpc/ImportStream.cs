using Grpc.Core;

namespace Godwit.Agent.Rpc;

/// <summary>The chunks of one image upload as a stream. Chunks over 256 KiB are a broken peer.</summary>
public sealed class ImportStream(IAsyncStreamReader<Contracts.ImportImagePart> parts) : Stream
{
    public const int ChunkBytesMax = 256 * 1024;
    private ReadOnlyMemory<byte> _pending;

    public override bool CanRead => true;
    public override bool CanWrite => false;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>0 at the end the server declared; a broken upload throws, so half an image never looks whole.</summary>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty) return 0;
        while (_pending.IsEmpty)
        {
            if (!await parts.MoveNext(cancellationToken)) return 0;
            if (parts.Current.PartCase != Contracts.ImportImagePart.PartOneofCase.Chunk)
                throw new InvalidDataException("A second order arrived inside an image upload");
            _pending = parts.Current.Chunk.Memory;
            if (_pending.Length > ChunkBytesMax)
                throw new InvalidDataException($"A chunk of {_pending.Length} bytes arrived; {ChunkBytesMax} is the limit");
        }
        var count = Math.Min(buffer.Length, _pending.Length);
        _pending[..count].CopyTo(buffer);
        _pending = _pending[count..];
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Read it async.");
    public override void Flush() { }
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
}
