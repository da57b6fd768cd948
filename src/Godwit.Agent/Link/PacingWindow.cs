namespace Godwit.Agent.Link;

/// <summary>
/// How many bytes may be between the two QEMUs. Bytes that wait there are pause (QEMU believes them sent), so the
/// window is what the path holds plus <see cref="QueueMicros"/> of its rate: enough to keep it busy, no more.
/// Pure: times come in, in microseconds since any fixed moment; not thread-safe.
/// <para>
/// After BBR (Cardwell et al., 2016): one frame a round trip is watched; when it is acknowledged, the bytes delivered
/// meanwhile give the rate, its own journey gives the round trip. The rate kept is the highest of the last rounds, the
/// round trip the lowest; now and then the queue is drained for a moment to see the bare path again. Rounds in which
/// the source had nothing to send may raise the rate but never lower it.
/// </para>
/// </summary>
public sealed class PacingWindow(PacingLimits limits)
{
    public const long QueueMicros = 1500;
    /// <summary>Keeps a path alive whose rate is not known or was measured badly: 0.5 ms of 1 Gbit/s.</summary>
    public const long FloorBytes = 64 * 1024;
    public const long InitialBytes = 128 * 1024;
    /// <summary>50 ms of 10 Gbit/s. More would not be a bandwidth-delay product but a mistake.</summary>
    public const long WindowBytesMax = 64L * 1024 * 1024;
    private const int RoundsKept = 10;
    private const long BarePathAgeMaxMicros = 5_000_000;
    private const long DrainSpacingMicros = 500_000;
    private const int DrainRounds = 3;

    private readonly double[] _rates = new double[RoundsKept];
    private long _rounds;
    private Probe? _probe;
    private long _lastProbeSentAt;
    private long _lastAckAt;
    private long _idleUpTo = -1;

    private bool _starting = true;
    private double _startRateMax;
    private int _startFlatRounds;
    private bool _queueIsEmpty;
    private int _slowRounds;

    private long _barePathAt;
    private int _drainRoundsLeft;
    private long _drainMin;
    private long _drainEndedAt;

    private double _tokens = TokensMax(limits.BandwidthBytesPerSecond);
    private long _tokensAt;
    private long _ceiling = limits.BandwidthBytesPerSecond;

    public long SentBytes { get; private set; }
    public long AckedBytes { get; private set; }
    public long InFlightBytes => SentBytes - AckedBytes;
    /// <summary>Bytes per second; 0 until the first round is over.</summary>
    public double DeliveryRate { get; private set; }
    public long RoundTripMicros { get; private set; }
    public long RoundTripMinMicros { get; private set; }
    public long WindowBytes { get; private set; } = InitialBytes;

    /// <summary>Bytes that may be sent now; 0 means wait, for an acknowledgement or for <see cref="TokenWaitMicros"/>.</summary>
    public int Room(long nowMicros)
    {
        Refill(nowMicros);
        long room = WindowBytes - InFlightBytes;
        if (_ceiling > 0) room = Math.Min(room, (long)_tokens);
        return room < PieceMin ? 0 : (int)Math.Min(room, int.MaxValue);
    }

    /// <summary>How long the bandwidth ceiling alone forbids sending; 0 where only the window does.</summary>
    public long TokenWaitMicros(long nowMicros)
    {
        Refill(nowMicros);
        if (_ceiling <= 0 || _tokens >= PieceMin) return 0;
        return (long)Math.Ceiling((PieceMin - _tokens) / _ceiling * 1e6);
    }

    /// <summary>No ceiling from here on: in the pause a bandwidth limit would only lengthen the pause.</summary>
    public void LiftCeiling() => _ceiling = 0;

    /// <summary>How many accepted bytes the target may leave unacknowledged: small steps keep the sender smooth.</summary>
    public long AckDistanceBytes => Math.Clamp(WindowBytes / 8, 16 * 1024, 1024 * 1024);

    /// <summary>The source has nothing to send although there is room: what is in flight says little about the path.</summary>
    public void OnSourceIdle() => _idleUpTo = SentBytes;

    /// <summary>To be called before the bytes are written, so that time spent in full socket buffers counts as queue.</summary>
    public void OnSent(int bytes, long nowMicros)
    {
        if (InFlightBytes == 0) _lastAckAt = _lastProbeSentAt = nowMicros;
        SentBytes += bytes;
        if (_ceiling > 0) _tokens -= bytes;
        _probe ??= new(SentBytes, nowMicros, AckedBytes, _lastAckAt, _lastProbeSentAt, _idleUpTo >= AckedBytes);
    }

    /// <summary>False for an acknowledgement of bytes never sent, or one that goes backwards: the peer is broken.</summary>
    public bool OnAcked(long cumulative, long nowMicros)
    {
        if (cumulative > SentBytes || cumulative < AckedBytes) return false;

        AckedBytes = cumulative;
        _lastAckAt = nowMicros;
        if (_probe is { } probe && cumulative >= probe.EndOffset) EndRound(probe, nowMicros);
        return true;
    }

    private void EndRound(Probe probe, long now)
    {
        _probe = null;
        _lastProbeSentAt = probe.SentAt;
        RoundTripMicros = Math.Max(1, now - probe.SentAt);
        // Bursts of acknowledgements (a thread that slept) shorten one of the two intervals, never both.
        long interval = Math.Max(1, Math.Max(probe.SentAt - probe.LastProbeSentAt, now - probe.DeliveredAt));
        double rate = (AckedBytes - probe.Delivered) * 1e6 / interval;

        KeepRate(rate, probe.SourceWasIdle);
        KeepRoundTrip(probe, now);
        LeaveStart(probe.SourceWasIdle);
        _queueIsEmpty = !probe.SourceWasIdle && RoundTripMicros < RoundTripMinMicros + QueueMicros / 2;
        WindowBytes = ComputeWindow();
    }

    private void KeepRate(double rate, bool sourceWasIdle)
    {
        if (sourceWasIdle && rate <= DeliveryRate) return;
        _rates[_rounds++ % RoundsKept] = rate;
        DeliveryRate = _rates.Max();
    }

    private void KeepRoundTrip(Probe probe, long now)
    {
        if (_drainRoundsLeft > 0)
        {
            // The first drained round still met the old queue.
            if (_drainRoundsLeft < DrainRounds) _drainMin = Math.Min(_drainMin, RoundTripMicros);
            if (--_drainRoundsLeft > 0) return;
            (RoundTripMinMicros, _barePathAt, _drainEndedAt, _slowRounds) = (_drainMin, now, now, 0);
            return;
        }
        if (RoundTripMinMicros == 0 || RoundTripMicros <= RoundTripMinMicros)
            (RoundTripMinMicros, _barePathAt) = (RoundTripMicros, now);

        // The window allows a queue of 1.5 ms. Rounds that are all much longer mean that the path itself changed.
        bool slow = !probe.SourceWasIdle && RoundTripMicros > RoundTripMinMicros + 3 * QueueMicros;
        _slowRounds = slow ? _slowRounds + 1 : 0;
        bool old = now - _barePathAt > BarePathAgeMaxMicros && !probe.SourceWasIdle;
        bool wrong = _slowRounds >= RoundsKept && now - _drainEndedAt > DrainSpacingMicros;
        if (old || wrong) (_drainRoundsLeft, _drainMin) = (DrainRounds, long.MaxValue);
    }

    private void LeaveStart(bool sourceWasIdle)
    {
        if (!_starting || sourceWasIdle) return;
        if (DeliveryRate > _startRateMax * 1.25) (_startRateMax, _startFlatRounds) = (DeliveryRate, 0);
        else _startFlatRounds++;
        if (_startFlatRounds >= 3 || RoundTripMicros > RoundTripMinMicros + 3 * QueueMicros) _starting = false;
    }

    private long ComputeWindow()
    {
        double perMicro = DeliveryRate / 1e6;
        if (_drainRoundsLeft > 0)
            return Math.Clamp((long)(perMicro * RoundTripMinMicros * 0.75), FloorBytes, WindowBytesMax);

        // An empty queue at a full window means the path takes more than we think: push a little.
        double gain = _starting ? 2 : _queueIsEmpty ? 1.25 : 1;
        long window = (long)(perMicro * (gain * RoundTripMinMicros + QueueMicros));
        return Math.Clamp(window, _starting ? InitialBytes : FloorBytes, WindowBytesMax);
    }

    /// <summary>Smaller pieces than this cost more than they carry.</summary>
    private long PieceMin => Math.Min(16 * 1024, WindowBytes / 4);

    private void Refill(long now)
    {
        if (_ceiling > 0)
            _tokens = Math.Min(TokensMax(_ceiling), _tokens + (now - _tokensAt) * (double)_ceiling / 1e6);
        _tokensAt = now;
    }

    /// <summary>4 ms of the ceiling: timers are good to 1 ms, and a sleep must not cost throughput.</summary>
    private static double TokensMax(long ceiling) => Math.Max(32 * 1024, ceiling / 250.0);

    /// <summary>The frame being watched, with the state of delivery when it was sent.</summary>
    private readonly record struct Probe(
        long EndOffset, long SentAt, long Delivered, long DeliveredAt, long LastProbeSentAt, bool SourceWasIdle);
}
