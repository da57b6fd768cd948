using Google.Protobuf;
using Grpc.Core;
using Call = Grpc.Core.AsyncDuplexStreamingCall<Godwit.Contracts.ConsoleInput, Godwit.Contracts.ConsoleOutput>;

namespace Godwit.Server.Agents;

/// <summary>
/// A guest's serial console, or its display, over one gRPC call. One reader and one writer at a time; disposing closes it.
/// </summary>
public sealed class ConsoleStream(Call call) : Stream
{
    private const int MessageBytesMax = 64 * 1024;
    private ReadOnlyMemory<byte> _pending;

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty) return 0;
        while (_pending.IsEmpty)
        {
            if (!await MoveNextAsync(cancellationToken)) return 0;
            _pending = call.ResponseStream.Current.Data.Memory;
        }
        var count = Math.Min(buffer.Length, _pending.Length);
        _pending[..count].CopyTo(buffer);
        _pending = _pending[count..];
        return count;
    }

    public override async ValueTask WriteAsync(
        ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        for (var rest = buffer; !rest.IsEmpty;)
        {
            var count = Math.Min(rest.Length, MessageBytesMax);
            var data = ByteString.CopyFrom(rest.Span[..count]);
            try
            {
                await call.RequestStream.WriteAsync(new Contracts.ConsoleInput { Data = data }, cancellationToken);
            }
            catch (Exception error) when (error is RpcException or InvalidOperationException)
            {
                throw new IOException("The console was closed by the agent.", error);
            }
            rest = rest[count..];
        }
    }

    /// <summary>Any end of the call, clean or not, is the end of the stream, as with a terminal line.</summary>
    private async Task<bool> MoveNextAsync(CancellationToken cancel)
    {
        try
        {
            return await call.ResponseStream.MoveNext(cancel);
        }
        catch (RpcException) when (!cancel.IsCancellationRequested)
        {
            return false;
        }
        catch (RpcException error)
        {
            throw new OperationCanceledException(error.Message, error, cancel);
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) call.Dispose();
        base.Dispose(disposing);
    }

    public override void Flush() { }
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Read it async.");
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("Write it async.");
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
}
