using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Network;

/// <summary>
/// One end of a connection, as the kernel keeps it: it outlives the process that owned it only to say goodbye.
/// What was written and not yet read by the other side is bounded; a writer that comes to the bound waits.
/// </summary>
internal sealed class SimSocket(SimHost host, SimLink.Flow outgoing, int capacityBytes, string name)
{
    private const int SegmentBytes = 32 << 10, FlippedMin = 2000;

    private readonly Queue<ReadOnlyMemory<byte>> _received = new();
    private readonly Waiter _reader = new("read"), _writer = new("write");
    private SimSocket _peer = null!;
    private int _unreadAtPeer;
    private bool _peerClosed, _closed, _vanished;
    private string? _broken;

    public string Name => name;
    public bool IsOpen => !_closed && !_vanished && _broken is null;
    /// <summary>Once: this byte of the next large segment is changed on its way out.</summary>
    public int? FlipAt { get; set; }
    private SimLoop Loop => host.Loop;

    public static void Join(SimSocket one, SimSocket other) => (one._peer, other._peer) = (other, one);

    public async Task<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        Loop.DemandLoopThread();
        cancel.ThrowIfCancellationRequested();
        while (_received.Count == 0)
        {
            if (_closed) throw new IOException($"{name}: closed here");
            if (_broken is not null) throw new IOException($"{name}: {_broken}");
            if (_peerClosed) return 0;
            await _reader.WaitAsync(cancel);
        }
        return buffer.Length == 0 ? 0 : Take(buffer);
    }

    public async Task WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        Loop.DemandLoopThread();
        cancel.ThrowIfCancellationRequested();
        while (true)
        {
            if (_closed) throw new IOException($"{name}: closed here");
            if (_broken is not null) throw new IOException($"{name}: Broken pipe ({_broken})");
            if (bytes.Length == 0) return;
            var room = Math.Min(capacityBytes - _unreadAtPeer, SegmentBytes);
            if (room <= 0)
            {
                await _writer.WaitAsync(cancel);
                continue;
            }
            var segment = bytes[..Math.Min(room, bytes.Length)].ToArray();
            bytes = bytes[segment.Length..];
            Flip(segment);
            _unreadAtPeer += segment.Length;
            Send(segment.Length, p => p.Receive(segment));
        }
    }

    private void Flip(byte[] segment)
    {
        if (FlipAt is not { } at || segment.Length < FlippedMin) return;
        segment[at % segment.Length] ^= 0x10;
        FlipAt = null;
        Loop.Trace("network", $"{name}: a byte came out wrong");
    }

    /// <summary>As the kernel closes: what was written still goes out; what was not read turns the goodbye into a reset.</summary>
    public void Close()
    {
        if (_closed || _vanished) return;
        _closed = true;
        if (_received.Count > 0) Send(0, p => p.BreakBy("Connection reset by peer"));
        else Send(0, p => p.PeerCloses());
        _reader.Wake();
        _writer.Wake();
    }

    /// <summary>Both ends lose the connection now, as by a firewall that answers with resets.</summary>
    public void Reset()
    {
        BreakBy("Connection reset by peer");
        _peer.BreakBy("Connection reset by peer");
    }

    /// <summary>The host lost power: nobody says goodbye.</summary>
    public void Vanish() => _vanished = true;

    private int Take(Memory<byte> buffer)
    {
        var taken = 0;
        var first = _received.Peek();
        if (first.Length <= buffer.Length)
        {
            _received.Dequeue();
            first.CopyTo(buffer);
            taken = first.Length;
        }
        else
        {
            taken = buffer.Length;
            first[..taken].CopyTo(buffer);
            TrimFirst(taken);
        }
        Send(0, p => p.Acknowledge(taken));
        return taken;
    }

    private void TrimFirst(int bytes)
    {
        var rest = _received.Dequeue()[bytes..];
        var others = _received.ToArray();
        _received.Clear();
        _received.Enqueue(rest);
        foreach (var other in others) _received.Enqueue(other);
    }

    private void Receive(byte[] segment)
    {
        if (_vanished || _closed)
        {
            // Nobody is there any more: a live kernel says so, a dead host says nothing.
            if (host.IsUp) Send(0, p => p.BreakBy("Connection reset by peer"));
            return;
        }
        _received.Enqueue(segment);
        _reader.Wake();
    }

    private void PeerCloses()
    {
        _peerClosed = true;
        _reader.Wake();
    }

    private void BreakBy(string why)
    {
        if (_vanished) return;
        _broken ??= why;
        _reader.Wake();
        _writer.Wake();
    }

    private void Acknowledge(int bytes)
    {
        _unreadAtPeer -= bytes;
        _writer.Wake();
    }

    private void Send(int bytes, Action<SimSocket> arrive)
    {
        var peer = _peer;
        outgoing.Send(bytes, () => arrive(peer));
    }
}
