using System.Security.Cryptography;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>The kernel's random source.</summary>
public sealed class RealRandomness : IRandomness
{
    public string NextHex(int bytes) => RandomNumberGenerator.GetHexString(bytes * 2, lowercase: true);
}
