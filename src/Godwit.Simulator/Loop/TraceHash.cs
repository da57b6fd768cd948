namespace Godwit.Simulator.Loop;

/// <summary>FNV-1a over all that happened in a run: two runs of one seed must agree in it, or something escaped.</summary>
public sealed class TraceHash
{
    private const ulong Prime = 0x100000001B3;

    public ulong Value { get; private set; } = 0xCBF29CE484222325;

    public void Add(ulong word)
    {
        for (var shift = 0; shift < 64; shift += 8)
            Value = (Value ^ ((word >> shift) & 0xFF)) * Prime;
    }

    public void Add(long word) => Add((ulong)word);

    public void Add(string text)
    {
        foreach (var letter in text) Value = (Value ^ letter) * Prime;
        Add((ulong)text.Length);
    }
}
