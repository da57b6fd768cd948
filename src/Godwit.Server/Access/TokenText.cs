using System.Security.Cryptography;
using System.Text;
using Godwit.Core.Ports;

namespace Godwit.Server.Access;

/// <summary>
/// The secret itself: <c>gwt_</c> and 256 random bits in hex. The prefix lets people and scanners know one that lies
/// where it should not. Of so much randomness a plain SHA-256 gives nothing away, so no slow hash is needed.
/// </summary>
public static class TokenText
{
    public const string Prefix = "gwt_";
    private const int RandomBytes = 32;

    public static string New(IRandomness randomness) => Prefix + randomness.NextHex(RandomBytes);

    /// <summary>Null where it has not the form of a token.</summary>
    public static string? HashOf(string text)
    {
        if (text.Length != Prefix.Length + 2 * RandomBytes || !text.StartsWith(Prefix, StringComparison.Ordinal)) return null;
        return text.Skip(Prefix.Length).All(char.IsAsciiHexDigitLower)
            ? Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(text))) : null;
    }
}
