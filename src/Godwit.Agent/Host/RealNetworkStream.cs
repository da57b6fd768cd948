using System.Net;
using System.Net.Sockets;
using Godwit.Agent.Link;

namespace Godwit.Agent.Host;

/// <summary>
/// A connected socket. On a pump's own thread (<see cref="RealNetworkThread"/>) reads and writes block; everywhere else
/// they are asynchronous. Owns the socket.
/// </summary>
/// <param name="forPump">
/// True for a connection that carries a pump: it never enters the runtime's epoll set. Once in it, every event of the
/// socket would wake two more threads for nothing (measured: a third of the sender's CPU time). The few calls from other
/// threads that would block then borrow a thread of the pool.
/// </param>
internal class RealNetworkStream(Socket socket, bool forPump = false) : Stream, IBlockingSource
{
    /// <summary>How long a blocked call may overlook that it was cancelled. (Closing wakes it at once.)</summary>
    private static readonly TimeSpan CancelLookUp = TimeSpan.FromMilliseconds(50);

    private readonly NetworkStream _async = new(socket, ownsSocket: true); // Made first: it insists on a blocking socket.
    private readonly Socket _socket = NonBlocking(socket);

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (RealNetworkThread.IsCurrent) return new(ReadBlocking(buffer.Span, cancellationToken));
        return forPump ? ReadElsewhereAsync(buffer, cancellationToken) : _async.ReadAsync(buffer, cancellationToken);
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (!RealNetworkThread.IsCurrent && !forPump) return _async.WriteAsync(buffer, cancellationToken);
        if (!RealNetworkThread.IsCurrent) return WriteElsewhereAsync(buffer, cancellationToken);
        WriteBlocking(buffer.Span, cancellationToken);
        return ValueTask.CompletedTask;
    }

    private ValueTask<int> ReadElsewhereAsync(Memory<byte> buffer, CancellationToken cancel) =>
        new(Task.Run(() => ReadBlocking(buffer.Span, cancel), cancel));

    /// <summary>A token or an answer goes out at once: no thread switch inside the pause.</summary>
    private ValueTask WriteElsewhereAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancel)
    {
        int sent = TrySend(buffer.Span, out _);
        return sent == buffer.Length
            ? ValueTask.CompletedTask
            : new(Task.Run(() => WriteBlocking(buffer.Span[sent..], cancel), cancel));
    }

    public bool WaitReadable(TimeSpan max)
    {
        try
        {
            // Off a pump's thread the read itself is asynchronous and shows whether it waits.
            return !RealNetworkThread.IsCurrent || _socket.Poll(max, SelectMode.SelectRead);
        }
        catch (Exception reason) when (reason is SocketException or ObjectDisposedException)
        {
            return true; // The read will say what is wrong.
        }
    }

    public void EndReading()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Receive);
        }
        catch (Exception reason) when (reason is SocketException or ObjectDisposedException)
        {
            // Closed already: the reader has seen it.
        }
    }

    /// <summary>Connects on this thread, by polling, so that the socket stays out of the runtime's epoll set.</summary>
    public static void ConnectBlocking(Socket socket, EndPoint endpoint, CancellationToken cancel)
    {
        socket.Blocking = false;
        try
        {
            socket.Connect(endpoint);
        }
        catch (SocketException begun) when (begun.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
        {
            while (!socket.Poll(CancelLookUp, SelectMode.SelectWrite)) cancel.ThrowIfCancellationRequested();
            int error = (int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)!;
            if (error != 0) throw new SocketException(error);
        }
        socket.Blocking = true; // As the constructor wants it.
    }

    private static Socket NonBlocking(Socket socket)
    {
        socket.Blocking = false;
        return socket;
    }

    private int ReadBlocking(Span<byte> buffer, CancellationToken cancel)
    {
        while (true)
        {
            int count = TryReceive(buffer, out var error);
            if (error == SocketError.Success) return count;
            Wait(error, SelectMode.SelectRead, cancel);
        }
    }

    private void WriteBlocking(ReadOnlySpan<byte> buffer, CancellationToken cancel)
    {
        while (!buffer.IsEmpty)
        {
            buffer = buffer[TrySend(buffer, out var error)..];
            if (error != SocketError.Success) Wait(error, SelectMode.SelectWrite, cancel);
        }
    }

    private int TryReceive(Span<byte> buffer, out SocketError error)
    {
        try
        {
            return _socket.Receive(buffer, SocketFlags.None, out error);
        }
        catch (ObjectDisposedException closed)
        {
            throw new IOException("closed here", closed);
        }
    }

    private int TrySend(ReadOnlySpan<byte> buffer, out SocketError error)
    {
        try
        {
            return Math.Max(0, _socket.Send(buffer, SocketFlags.None, out error)); // It answers -1 with an error.
        }
        catch (ObjectDisposedException closed)
        {
            throw new IOException("closed here", closed);
        }
    }

    private void Wait(SocketError error, SelectMode mode, CancellationToken cancel)
    {
        if (error is not (SocketError.WouldBlock or SocketError.IOPending or SocketError.Interrupted))
            throw new IOException(new SocketException((int)error).Message, new SocketException((int)error));
        cancel.ThrowIfCancellationRequested();
        try
        {
            _socket.Poll(CancelLookUp, mode);
        }
        catch (ObjectDisposedException closed)
        {
            throw new IOException("closed here", closed);
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            try
            {
                _socket.Shutdown(SocketShutdown.Both); // Wakes whoever is blocked in it.
            }
            catch (Exception reason) when (reason is SocketException or ObjectDisposedException)
            {
                // Not connected any more: nobody can be blocked.
            }
            _async.Dispose();
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
    public override int Read(byte[] buffer, int offset, int count) => ReadBlocking(buffer.AsSpan(offset, count), default);
    public override void Write(byte[] buffer, int offset, int count) => WriteBlocking(buffer.AsSpan(offset, count), default);
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
}
