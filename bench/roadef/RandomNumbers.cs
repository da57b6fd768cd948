namespace Godwit.Roadef;

/// <summary>Numbers that look random and are the same for the same seed (xorshift64*).</summary>
internal sealed class RandomNumbers(ulong seed)
{
    private ulong state = seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D;

    /// <summary>0 to <paramref name="below"/> − 1.</summary>
    public int Below(int below) => (int)((Next() >> 32) * (ulong)below >> 32);

    /// <summary>Above 0, at most 1.</summary>
    public double Share() => ((Next() >> 11) + 1) * (1.0 / (1UL << 53));

    private ulong Next()
    {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return state * 0x2545F4914F6CDD1D;
    }
}
