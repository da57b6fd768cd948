using System.Threading.Channels;

namespace Godwit.Tests.Qmp;

/// <summary>Two streams joined in memory; what one end writes the other reads. Stays on the loop it is used on.</summary>
internal sealed class MemoryDuplex : Stream
{
    private readonly ChannelReader<byte[]> incoming;
    private readonly ChannelWriter<byte[]> outgoing;
    private ReadOnlyMemory<byte> rest;

    private MemoryDuplex(ChannelReader<byte[]> incoming, ChannelWriter<byte[]> outgoing) =>
        (this.incoming, this.outgoing) = (incoming, outgoing);

    public static (Stream Ours, Stream Theirs) Create()
    {
        var there = Channel.CreateUnbounded<byte[]>();
        var back = Channel.CreateUnbounded<byte[]>();
        return (new MemoryDuplex(back.Reader, there.Writer), new MemoryDuplex(there.Reader, back.Writer));
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        while (rest.IsEmpty)
        {
            if (incoming.TryRead(out var chunk)) rest = chunk;
            else if (!await incoming.WaitToReadAsync(cancel)) return 0;
        }
        var count = Math.Min(rest.Length, buffer.Length);
        rest[..count].CopyTo(buffer);
        rest = rest[count..];
        return count;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancel = default) =>
        outgoing.TryWrite(buffer.ToArray())
            ? ValueTask.CompletedTask
            : ValueTask.FromException(new IOException("the other end is closed"));

    protected override void Dispose(bool disposing)
    {
        outgoing.TryComplete();
        base.Dispose(disposing);
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override void Flush() { }
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
