using System.IO.Pipelines;

namespace Godwit.Tests.Link;

/// <summary>Two ends of one connection in memory: bounded, full duplex, reading 0 bytes once the peer is disposed.</summary>
internal sealed class DuplexPipe : Stream
{
    private readonly Stream _in;
    private readonly Stream _out;

    private DuplexPipe(Pipe incoming, Pipe outgoing) =>
        (_in, _out) = (incoming.Reader.AsStream(), outgoing.Writer.AsStream());

    public static (Stream Left, Stream Right) Create(int bufferBytes = 1 << 20)
    {
        var options = new PipeOptions(pauseWriterThreshold: bufferBytes, resumeWriterThreshold: bufferBytes / 2);
        var (there, back) = (new Pipe(options), new Pipe(options));
        return (new DuplexPipe(back, there), new DuplexPipe(there, back));
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        _in.ReadAsync(buffer, cancellationToken);

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        await _out.WriteAsync(buffer, cancellationToken);
        await _out.FlushAsync(cancellationToken);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _out.Dispose();
            _in.Dispose();
        }
        base.Dispose(disposing);
    }

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override void Flush() { }
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
}
