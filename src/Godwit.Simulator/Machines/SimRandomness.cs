using Godwit.Core.Ports;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Machines;

/// <summary>Secrets and ids from the seed.</summary>
public sealed class SimRandomness(SimRandom random) : IRandomness
{
    public string NextHex(int bytes)
    {
        var value = new byte[bytes];
        for (var i = 0; i < bytes; i++) value[i] = (byte)random.NextUInt64();
        return Convert.ToHexStringLower(value);
    }
}
