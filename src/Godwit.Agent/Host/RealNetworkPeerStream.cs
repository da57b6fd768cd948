using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;
using Godwit.Agent.Link;

namespace Godwit.Agent.Host;

/// <summary>
/// TLS between two agents, with fewer system calls than <see cref="SslStream"/> alone: that one reads and writes the
/// socket once per record of 16 KiB. Here a write of several records is one send, and a receive takes all that is there;
/// a read then hands out every whole record at hand.
/// </summary>
internal sealed class RealNetworkPeerStream : Stream, IPumpThread
{
    private readonly Records _records;

    public RealNetworkPeerStream(Socket socket)
    {
        _records = new(socket);
        Tls = new(_records);
    }

    /// <summary>For the handshake; data goes through this stream.</summary>
    public SslStream Tls { get; }

    public Task<T> RunAsync<T>(string name, Func<Task<T>> pump) => RealNetworkThread.RunAsync(name, pump);

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int count = await Tls.ReadAsync(buffer, cancellationToken);
        while (count > 0 && buffer.Length - count >= Records.PlainBytesMax && _records.HasWholeRecord)
        {
            int more = await Tls.ReadAsync(buffer[count..], cancellationToken);
            if (more == 0) break;
            count += more;
        }
        return count;
    }

    /// <summary>One writer at a time, as with any stream.</summary>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        _records.Gather();
        await Tls.WriteAsync(buffer, cancellationToken);
        await _records.SendAsync(cancellationToken);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Tls.Dispose();
            _records.Dispose();
        }
        base.Dispose(disposing);
    }

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override void Flush() { }
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <summary>TLS records between <see cref="SslStream"/> and the socket.</summary>
    private sealed class Records(Socket socket) : RealNetworkStream(socket, forPump: true)
    {
        public const int PlainBytesMax = 16 * 1024;
        private const int HeaderBytes = 5;
        private const int BufferBytes = 256 * 1024;

        private readonly byte[] _received = GC.AllocateUninitializedArray<byte>(BufferBytes);
        private int _start;
        private int _end;
        private int _recordLeft;

        private readonly byte[] _gathered = GC.AllocateUninitializedArray<byte>(BufferBytes);
        private int _gatheredBytes;
        private bool _gathering;

        /// <summary>True where <see cref="SslStream"/> can decrypt one more record without waiting.</summary>
        public bool HasWholeRecord => _recordLeft == 0 && _end - _start >= HeaderBytes && _end - _start >= RecordBytes;

        private int RecordBytes => HeaderBytes + BinaryPrimitives.ReadUInt16BigEndian(_received.AsSpan(_start + 3));

        public void Gather() => _gathering = true;

        public async ValueTask SendAsync(CancellationToken cancel)
        {
            _gathering = false;
            int bytes = _gatheredBytes;
            _gatheredBytes = 0;
            if (bytes > 0) await base.WriteAsync(_gathered.AsMemory(0, bytes), cancel);
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (!_gathering) return base.WriteAsync(buffer, cancellationToken);
            if (buffer.Length > BufferBytes - _gatheredBytes) return SendFirstAsync(buffer, cancellationToken);
            buffer.Span.CopyTo(_gathered.AsSpan(_gatheredBytes));
            _gatheredBytes += buffer.Length;
            return ValueTask.CompletedTask;
        }

        private async ValueTask SendFirstAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancel)
        {
            await SendAsync(cancel);
            await base.WriteAsync(buffer, cancel);
            _gathering = true;
        }

        /// <summary>Never more than the rest of one record, so that what waits is here and can be counted.</summary>
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_recordLeft == 0)
            {
                while (_end - _start < HeaderBytes && await ReceiveAsync(cancellationToken)) { }
                _recordLeft = _end - _start < HeaderBytes ? _end - _start : RecordBytes; // Less is a peer that closed.
            }
            if (_start == _end && _recordLeft > 0) await ReceiveAsync(cancellationToken);
            int count = Math.Min(Math.Min(_recordLeft, _end - _start), buffer.Length);
            _received.AsMemory(_start, count).CopyTo(buffer);
            _start += count;
            _recordLeft -= count;
            return count;
        }

        private async ValueTask<bool> ReceiveAsync(CancellationToken cancel)
        {
            _received.AsSpan(_start, _end - _start).CopyTo(_received); // At most a header begun.
            (_start, _end) = (0, _end - _start);
            int count = await base.ReadAsync(_received.AsMemory(_end), cancel);
            _end += count;
            return count > 0;
        }
    }
}
