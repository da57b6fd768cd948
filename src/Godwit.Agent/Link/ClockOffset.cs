namespace Godwit.Agent.Link;

/// <summary>
/// The target's clock minus the source's, in microseconds, from pings: the quickest of the last eight is the least
/// disturbed one (as NTP does). Good to half the difference of the two ways; a queue on one way shows as error.
/// </summary>
public sealed class ClockOffset
{
    private const int SamplesKept = 8;
    private readonly (long RoundTrip, long Offset)[] _samples = new (long, long)[SamplesKept];
    private int _count;

    /// <summary>Null until the first answer.</summary>
    public long? Micros => Best?.Offset;
    public long? RoundTripMicros => Best?.RoundTrip;

    /// <param name="sentAt">Source's clock at the ping.</param>
    /// <param name="targetAt">Target's clock in between.</param>
    /// <param name="receivedAt">Source's clock at the pong.</param>
    public void Add(long sentAt, long targetAt, long receivedAt)
    {
        if (receivedAt < sentAt) return; // The clock was set back meanwhile.
        _samples[_count++ % SamplesKept] = (receivedAt - sentAt, targetAt - (sentAt + (receivedAt - sentAt) / 2));
    }

    private (long RoundTrip, long Offset)? Best =>
        _count == 0 ? null : _samples.Take(Math.Min(_count, SamplesKept)).MinBy(s => s.RoundTrip);
}
