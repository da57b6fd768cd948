namespace Godwit.Agent.Link;

/// <summary>Microseconds since 1970, as QEMU stamps its events.</summary>
internal static class WallClock
{
    public static long Micros(TimeProvider time) =>
        (time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
}
