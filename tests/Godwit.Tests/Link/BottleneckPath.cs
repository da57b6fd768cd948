using Godwit.Agent.Link;

namespace Godwit.Tests.Link;

/// <summary>
/// A path in virtual time: a queue without end in front of a bottleneck, a fixed delay each way, a target that
/// acknowledges as <see cref="LinkReceiver"/> does. Sends as much as the window lets it.
/// </summary>
internal sealed class BottleneckPath(PacingWindow window)
{
    private const int PieceBytes = 16 * 1024; // One TLS record: what arrives at once.
    private readonly PriorityQueue<(bool IsAck, long Value, long Distance, bool Push), (long At, long Order)> _events = new();
    private long _order;
    private double _bottleneckFreeAt;
    private double _shaperOwes;
    private long _accepted;
    private long _acked;

    public required double BytesPerSecond { get; set; }
    public required long OneWayMicros { get; set; }
    /// <summary>A shaper lets this much through at ten times the rate when it had a rest, as <c>tc tbf</c> does.</summary>
    public double BucketBytes { get; init; }
    /// <summary>Extra time before an acknowledgement is heard: a thread that was not scheduled. By time now.</summary>
    public Func<long, long> AckDelayMicros { get; init; } = _ => 0;
    /// <summary>Bytes per second the source produces; endless by default.</summary>
    public double SourceBytesPerSecond { get; set; } = double.PositiveInfinity;
    public long NowMicros { get; private set; }
    public long DeliveredBytes => _accepted;
    /// <summary>How long the bytes now before the bottleneck will take.</summary>
    public double BacklogMs => Math.Max(0, _bottleneckFreeAt - NowMicros - OneWayMicros) / 1000.0;

    /// <summary>Runs on, calling <paramref name="watch"/> after every event.</summary>
    public void RunUntil(long micros, Action? watch = null)
    {
        double credit = 0;
        long creditAt = NowMicros;
        while (true)
        {
            if (!double.IsInfinity(SourceBytesPerSecond))
                credit = Math.Min(65536, credit + (NowMicros - creditAt) * SourceBytesPerSecond / 1e6);
            else credit = double.PositiveInfinity;
            creditAt = NowMicros;
            Send(ref credit);
            watch?.Invoke();

            long wake = window.TokenWaitMicros(NowMicros) is > 0 and var wait ? NowMicros + wait : long.MaxValue;
            if (credit < PieceBytes) wake = Math.Min(wake, NowMicros + 100);
            long next = _events.TryPeek(out _, out var at) ? Math.Min(at.At, wake) : wake;
            if (next > micros)
            {
                NowMicros = micros;
                return;
            }
            NowMicros = next;
            if (at.At == next && _events.Count > 0) Take();
        }
    }

    private void Send(ref double credit)
    {
        while (window.Room(NowMicros) is > 0 and var room)
        {
            int bytes = (int)Math.Min(Math.Min(room, LinkFrame.DataBytesMax), credit);
            if (bytes < Math.Min(room, PieceBytes))
            {
                window.OnSourceIdle();
                return;
            }
            credit -= bytes;
            window.OnSent(bytes, NowMicros);
            bool push = window.Room(NowMicros) == 0 || credit < PieceBytes;
            for (int left = bytes; left > 0;)
            {
                int piece = Math.Min(left, PieceBytes);
                left -= piece;
                _bottleneckFreeAt = Leave(NowMicros + OneWayMicros, piece);
                Schedule((long)Math.Ceiling(_bottleneckFreeAt), (false, piece, window.AckDistanceBytes, push && left == 0));
            }
        }
    }

    private double Leave(double arrival, int piece)
    {
        _shaperOwes = Math.Max(_shaperOwes, arrival) + piece / BytesPerSecond * 1e6;
        double atLineSpeed = Math.Max(_bottleneckFreeAt, arrival) + piece / BytesPerSecond * 1e5;
        return BucketBytes == 0 ? _shaperOwes : Math.Max(atLineSpeed, _shaperOwes - BucketBytes / BytesPerSecond * 1e6);
    }

    private void Take()
    {
        var (isAck, value, distance, push) = _events.Dequeue();
        if (isAck)
        {
            if (!window.OnAcked(value, NowMicros)) throw new InvalidOperationException("the path acknowledged too much");
            return;
        }
        _accepted += value;
        if (_accepted - _acked < distance && !push) return;
        _acked = _accepted;
        Schedule(NowMicros + OneWayMicros + AckDelayMicros(NowMicros), (true, _acked, 0, false));
    }

    private long _lastAckAt;

    private void Schedule(long at, (bool IsAck, long, long, bool) what)
    {
        if (what.IsAck) at = _lastAckAt = Math.Max(at, _lastAckAt);
        _events.Enqueue(what, (at, _order++));
    }
}
