using System.Security.Cryptography;
using System.Text;
using Godwit.Core.Ports;

namespace Godwit.Core.Identity;

/// <summary>
/// Lets one host in, once: <c>gwj1.&lt;SHA-256 of the CA&gt;.&lt;id&gt;.&lt;secret&gt;</c>. The hash is for the host, which tells nobody
/// anything before that CA has vouched for the server; the rest is for the server, which keeps only a hash of the secret.
/// </summary>
/// <param name="CaSha256">64 lower-case hex digits.</param>
/// <param name="Id">12 lower-case hex digits: what logs and the audit name it by.</param>
/// <param name="Secret">64 lower-case hex digits, 256 random bits.</param>
public sealed record JoinToken(string CaSha256, string Id, string Secret)
{
    public const string Version = "gwj1";
    private const int HashHexChars = 64, IdBytes = 6, SecretBytes = 32;

    public static JoinToken New(string caFingerprint, IRandomness randomness) => new(
        caFingerprint[ApiCertificate.FingerprintPrefix.Length..], randomness.NextHex(IdBytes), randomness.NextHex(SecretBytes));

    public string Text => $"{Version}.{CaSha256}.{Id}.{Secret}";
    public string CaFingerprint => ApiCertificate.FingerprintPrefix + CaSha256;
    /// <summary>Of so much randomness a plain SHA-256 gives nothing away.</summary>
    public string SecretHash => HashOf(Secret);

    public static string HashOf(string secret) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));

    /// <exception cref="RefusedException">Says which part is wrong, and repeats none of it.</exception>
    public static JoinToken Parse(string text)
    {
        var parts = text.Trim().Split('.');
        if (parts[0] != Version)
            throw Malformed(parts[0].StartsWith("gwj", StringComparison.Ordinal)
                ? $"it is of another version than {Version}" : $"it does not begin with {Version}.");
        if (parts.Length != 4) throw Malformed($"it has {parts.Length} parts between dots, not 4");
        if (!IsHex(parts[1], HashHexChars)) throw Malformed("its second part is not the SHA-256 of a CA");
        if (!IsHex(parts[2], 2 * IdBytes)) throw Malformed("its third part is not a token's id");
        if (!IsHex(parts[3], 2 * SecretBytes)) throw Malformed("its last part is cut off or was changed");
        return new(parts[1], parts[2], parts[3]);
    }

    /// <summary>Never the secret: records are printed by accident.</summary>
    public override string ToString() => $"join token {Id}";

    private static bool IsHex(string text, int chars) => text.Length == chars && text.All(char.IsAsciiHexDigitLower);

    private static RefusedException Malformed(string why) => new("join-token-malformed",
        $"this is no join token: {why}", "copy all of what 'godwit host token' showed, or make a new one");
}
