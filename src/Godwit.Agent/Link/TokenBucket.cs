namespace Godwit.Agent.Link;

/// <summary>Lets through a rate with short bursts. Times in microseconds; not thread-safe.</summary>
internal sealed class TokenBucket
{
    /// <summary>Timers are good to 1 or 2 ms: less would lose throughput to every sleep, more would be a queue.</summary>
    private const double BurstSeconds = 0.003;
    private const double BurstBytesMin = 32 * 1024;

    private double _tokens = BurstBytesMin;
    private long _at;

    /// <summary>Bytes per second; infinite lets everything through.</summary>
    public double Rate { get; set; } = double.PositiveInfinity;

    public double Tokens(long now)
    {
        if (double.IsInfinity(Rate)) _tokens = BurstBytesMin;
        else _tokens = Math.Min(Math.Max(BurstBytesMin, Rate * BurstSeconds), _tokens + (now - _at) * Rate / 1e6);
        _at = now;
        return double.IsInfinity(Rate) ? double.PositiveInfinity : _tokens;
    }

    public void Take(int bytes) => _tokens -= bytes;

    /// <summary>Until this many are there; 0 where they are.</summary>
    public long WaitMicros(double tokens, long now) =>
        Tokens(now) is var have && have >= tokens ? 0 : (long)Math.Ceiling((tokens - have) / Rate * 1e6);
}
