namespace Godwit.Agent.Link;

/// <summary>
/// How many bytes may be between the two QEMUs. Bytes that wait there are pause (QEMU believes them sent), so the
/// window is what the path holds plus <see cref="QueueMicros"/> of its rate: enough to keep it busy, no more.
/// Pure: times come in, in microseconds since any fixed moment; not thread-safe.
/// <para>
/// After BBR (Cardwell et al., 2016): one frame a round trip is watched; when it is acknowledged, the bytes delivered
/// meanwhile give the rate, its own journey gives the round trip. The rate kept is the highest of the last samples, the
/// round trip the lowest; now and then the queue is drained for a moment to see the bare path again. Rounds in which
/// the source had nothing to send may raise the rate but never lower it.
/// </para>
/// </summary>
public sealed class PacingWindow(PacingLimits limits)
{
    public const long QueueMicros = 1500;
    /// <summary>Keeps a path alive whose rate is not known or was measured badly: 0.26 ms of 1 Gbit/s.</summary>
    public const long FloorBytes = 32 * 1024;
    public const long InitialBytes = 128 * 1024;
    /// <summary>50 ms of 10 Gbit/s. More would not be a bandwidth-delay product but a mistake.</summary>
    public const long WindowBytesMax = 64L * 1024 * 1024;

    private const int TlsRecordBytes = 16 * 1024;
    /// <summary>A frame is at most this long on the path: it is what the round trip is measured with.</summary>
    private const double FrameMicros = 250;
    /// <summary>On shorter paths the window alone keeps bursts short; on longer ones sending is spread by a timer.</summary>
    private const long LongPathMicros = 3000;
    private const int SamplesKept = 10;
    /// <summary>Once the start is over a sample is this long: a shaper that saved up 4 ms must not look twice as fast.</summary>
    private const long SampleMicros = 16_000;
    private const double StartRateDecay = 0.7;
    private const int SlowRoundsMax = 10;
    private const long SlowMicros = 100;
    private const long BarePathAgeMaxMicros = 5_000_000;
    private const long DrainSpacingMicros = 500_000;
    private const int DrainRounds = 3;
    /// <summary>One sample in so many is taken with more of a queue: where rounds are long without one, that makes it faster.</summary>
    private const int ProbeEvery = 5;
    private const long ProbeMicros = QueueMicros / 4;

    private readonly double[] _rates = new double[SamplesKept];
    private readonly TokenBucket _bucket = new() { Rate = Unlimited(limits.BandwidthBytesPerSecond) };
    private double _ceiling = Unlimited(limits.BandwidthBytesPerSecond);
    private long _samples;
    private Sample _sample;

    private Probe? _probe;
    private long _lastProbeSentAt;
    private long _lastAckAt;
    private long _idleUpTo = -1;

    private bool _starting = true;
    /// <summary>Samples since the start: before, they are short, and a shaper's savings may have doubled them.</summary>
    private int _longSamples;
    private double _startRateMax;
    private int _startFlatRounds;
    private bool _queueIsShort;
    private int _slowRounds;

    private long _barePathAt;
    private int _drainRoundsLeft;
    private long _drainMin;
    private long _drainEndedAt;
    private int _refillRoundsLeft;

    public long SentBytes { get; private set; }
    public long AckedBytes { get; private set; }
    public long InFlightBytes => SentBytes - AckedBytes;
    /// <summary>Bytes per second; 0 until the first round is over.</summary>
    public double DeliveryRate { get; private set; }
    public long RoundTripMicros { get; private set; }
    public long RoundTripMinMicros { get; private set; }
    public long WindowBytes { get; private set; } = InitialBytes;
    /// <summary>The largest data payload worth sending at this rate; with its header a multiple of a TLS record.</summary>
    public int FrameBytesMax { get; private set; } = TlsRecordBytes - LinkFrame.HeaderBytes;
    /// <summary>
    /// How many accepted bytes the target may leave unacknowledged: small steps keep the sender smooth, on fast paths
    /// larger ones save CPU time.
    /// </summary>
    public long AckDistanceBytes =>
        Math.Clamp(Math.Max(WindowBytes / 8, WindowBytes / 4 - 128 * 1024), 16 * 1024, 1024 * 1024);

    /// <summary>Bytes that may be sent now; 0 means wait, for an acknowledgement or for <see cref="TokenWaitMicros"/>.</summary>
    public int Room(long nowMicros)
    {
        double room = Math.Min(WindowBytes - InFlightBytes, _bucket.Tokens(nowMicros));
        return room < PieceBytesMin ? 0 : (int)Math.Min(room, FrameBytesMax);
    }

    /// <summary>How long sending is forbidden by rate; 0 where only the window forbids it.</summary>
    public long TokenWaitMicros(long nowMicros) =>
        WindowBytes - InFlightBytes < PieceBytesMin ? 0 : _bucket.WaitMicros(PieceBytesMin, nowMicros);

    /// <summary>No ceiling from here on: in the pause a bandwidth limit would only lengthen the pause.</summary>
    public void LiftCeiling() => _ceiling = _bucket.Rate = double.PositiveInfinity;

    /// <summary>The source has nothing to send although there is room: what is in flight says little about the path.</summary>
    public void OnSourceIdle() => _idleUpTo = SentBytes;

    /// <summary>To be called before the bytes are written, so that time spent in full socket buffers counts as queue.</summary>
    public void OnSent(int bytes, long nowMicros)
    {
        if (InFlightBytes == 0) _lastAckAt = _lastProbeSentAt = nowMicros;
        SentBytes += bytes;
        _bucket.Take(bytes);
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
        _sample = _sample.With(AckedBytes - probe.Delivered, interval, probe.SourceWasIdle);
        if (_starting || _sample.Micros >= SampleMicros) KeepRate();
        // After draining, the first two rounds still look at the drained queue.
        _refillRoundsLeft = _drainRoundsLeft > 0 ? 2 : Math.Max(0, _refillRoundsLeft - 1);
        KeepRoundTrip(probe.SourceWasIdle, now);
        LeaveStart(probe.SourceWasIdle);
        _queueIsShort = !probe.SourceWasIdle && _refillRoundsLeft == 0 && RoundTripMicros < RoundTripMinMicros + QueueMicros / 2;
        Apply();
    }

    private void KeepRate()
    {
        double rate = _sample.Bytes * 1e6 / _sample.Micros;
        bool keep = !_sample.SourceWasIdle || rate > DeliveryRate;
        _sample = default;
        if (!_starting && keep) _longSamples++;
        if (keep) _rates[_samples++ % SamplesKept] = rate;
        // A source that pauses now and then would leave a mistake of the start standing for the whole move.
        else if (!_starting && _longSamples < SamplesKept)
            for (int i = 0; i < SamplesKept; i++) _rates[i] = Math.Max(rate, _rates[i] * StartRateDecay);
        DeliveryRate = _rates.Max();
    }

    private void KeepRoundTrip(bool sourceWasIdle, long now)
    {
        if (_drainRoundsLeft > 0)
        {
            Drain(now);
            return;
        }
        if (RoundTripMinMicros == 0 || RoundTripMicros <= RoundTripMinMicros)
            (RoundTripMinMicros, _barePathAt) = (RoundTripMicros, now);

        // The window allows a queue of 1.5 ms. Rounds that are all longer mean that the path itself changed, or that threads wake late by
        // now: such a window would hold the rate down, or let it sink, though the path may take four times as much.
        bool slow = !sourceWasIdle && !_starting && RoundTripMicros > RoundTripMinMicros + QueueMicros + SlowMicros;
        _slowRounds = slow ? _slowRounds + 1 : 0;
        bool wrong = _slowRounds >= SlowRoundsMax && now - _drainEndedAt > DrainSpacingMicros;
        bool old = !sourceWasIdle && now - _barePathAt > BarePathAgeMaxMicros;
        if (old || wrong) (_drainRoundsLeft, _drainMin) = (DrainRounds, long.MaxValue);
    }

    private void Drain(long now)
    {
        // The first drained round still met the old queue.
        if (_drainRoundsLeft < DrainRounds) _drainMin = Math.Min(_drainMin, RoundTripMicros);
        if (--_drainRoundsLeft > 0) return;
        // A path that is much longer than we thought is another path, and its rate was measured with too small a window.
        if (_drainMin > 2 * RoundTripMinMicros) (_starting, _longSamples, _startRateMax, _startFlatRounds) = (true, 0, 0, 0);
        (RoundTripMinMicros, _barePathAt, _drainEndedAt, _slowRounds) = (_drainMin, now, now, 0);
    }

    private void LeaveStart(bool sourceWasIdle)
    {
        if (!_starting || sourceWasIdle) return;
        if (DeliveryRate > _startRateMax * 1.25) (_startRateMax, _startFlatRounds) = (DeliveryRate, 0);
        else _startFlatRounds++;
        if (_startFlatRounds >= 3 || RoundTripMicros > RoundTripMinMicros + 3 * QueueMicros) _starting = false;
    }

    private void Apply()
    {
        bool draining = _drainRoundsLeft > 0;
        // A short queue at a full window means that the path takes more than we think: push a little.
        double gain = draining ? 0.75 : _starting ? 2 : _queueIsShort ? 1.25 : 1;
        long queue = draining ? 0 : !_starting && _samples % ProbeEvery == 0 ? QueueMicros + ProbeMicros : QueueMicros;
        double window = DeliveryRate / 1e6 * (gain * RoundTripMinMicros + queue);
        WindowBytes = Math.Clamp((long)window, _starting ? InitialBytes : FloorBytes, WindowBytesMax);

        bool spread = RoundTripMinMicros > LongPathMicros && !draining;
        _bucket.Rate = Math.Min(_ceiling, spread ? DeliveryRate * (gain + 0.05) : double.PositiveInfinity);

        int records = (int)Math.Clamp(DeliveryRate / 1e6 * FrameMicros / TlsRecordBytes, 1, LinkFrame.RecordsMax);
        FrameBytesMax = records * TlsRecordBytes - LinkFrame.HeaderBytes;
    }

    /// <summary>Smaller pieces than this cost more than they carry.</summary>
    private long PieceBytesMin => Math.Min(8 * 1024, WindowBytes / 4);

    private static double Unlimited(long bytesPerSecond) => bytesPerSecond > 0 ? bytesPerSecond : double.PositiveInfinity;

    /// <summary>Rounds added up: they follow each other without a gap.</summary>
    private readonly record struct Sample(long Bytes, long Micros, bool SourceWasIdle)
    {
        public Sample With(long bytes, long micros, bool idle) => new(Bytes + bytes, Micros + micros, SourceWasIdle || idle);
    }

    /// <summary>The frame being watched, with the state of delivery when it was sent.</summary>
    private readonly record struct Probe(
        long EndOffset, long SentAt, long Delivered, long DeliveredAt, long LastProbeSentAt, bool SourceWasIdle);
}
