namespace Godwit.Simulator.Loop;

/// <summary>
/// SplitMix64: small, and the same on every .NET version, so that a seed written into a scenario stays valid.
/// Each concern draws from its own <see cref="Fork"/>: a new message on the network must not reshuffle the faults.
/// </summary>
public sealed class SimRandom(ulong seed)
{
    private ulong _state = seed;

    public ulong NextUInt64()
    {
        _state += 0x9E3779B97F4A7C15;
        var z = _state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>0 to <paramref name="limit"/> - 1.</summary>
    public int Next(int limit) => (int)(NextUInt64() % (ulong)limit);

    public long NextInclusive(long min, long max) => min + (long)(NextUInt64() % (ulong)(max - min + 1));

    public bool Chance(double probability) => NextUInt64() / (double)ulong.MaxValue < probability;

    public TimeSpan NextTime(TimeSpan min, TimeSpan max) => TimeSpan.FromTicks(NextInclusive(min.Ticks, max.Ticks));

    /// <summary>A generator of its own for one concern; the same seed and name give the same one.</summary>
    public static SimRandom Fork(ulong seed, string concern)
    {
        var hash = new TraceHash();
        hash.Add(seed);
        hash.Add(concern);
        return new SimRandom(hash.Value);
    }
}
