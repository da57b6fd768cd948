using Godwit.Core.Ports;

namespace Godwit.Tests.Identity;

internal sealed class SeededRandomness(int seed) : IRandomness
{
    private readonly Random _random = new(seed);

    public string NextHex(int bytes)
    {
        var value = new byte[bytes];
        _random.NextBytes(value);
        return Convert.ToHexStringLower(value);
    }
}
