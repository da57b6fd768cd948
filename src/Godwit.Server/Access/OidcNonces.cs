using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Godwit.Core.Ports;

namespace Godwit.Server.Access;

/// <summary>
/// Numbers that tie an issuer's token to a log-in begun here, each good once, for ten minutes. Strangers may ask for as many as
/// they like: nothing is kept of one until a token with it was found right, since each bears its time and this server's seal. A restart
/// makes all of them void.
/// </summary>
public sealed class OidcNonces(IRandomness randomness, TimeProvider time)
{
    public static readonly TimeSpan Life = TimeSpan.FromMinutes(10);
    /// <summary>Only people who have proved themselves to the issuer get here; more in ten minutes is no honest day.</summary>
    private const int UsedMax = 10_000;

    private readonly byte[] _key = Convert.FromHexString(randomness.NextHex(32));
    private readonly Lock _one = new();
    private readonly Dictionary<string, DateTimeOffset> _used = [];

    public string New()
    {
        var made = $"{time.GetUtcNow().ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture)}.{randomness.NextHex(16)}";
        return $"{made}.{Seal(made)}";
    }

    /// <summary>Null, or why the token that bears it is not taken. Right once.</summary>
    public string? Use(string? nonce)
    {
        var now = time.GetUtcNow();
        var end = nonce?.LastIndexOf('.') ?? -1;
        if (end < 0 || !IsSeal(nonce![(end + 1)..], of: nonce[..end])) return "its nonce is of no log-in that was begun here";
        var began = DateTimeOffset.FromUnixTimeSeconds(long.Parse(nonce.Split('.')[0], CultureInfo.InvariantCulture));
        if (now - began > Life) return $"the log-in was begun more than {Life.TotalMinutes} min ago";
        lock (_one)
        {
            foreach (var old in _used.Where(used => now - used.Value > Life).Select(used => used.Key).ToList()) _used.Remove(old);
            if (_used.Count >= UsedMax) return "too many people log in";
            return _used.TryAdd(nonce, began) ? null : "it was used before: each log-in has its own";
        }
    }

    private bool IsSeal(string seal, string of) =>
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(Seal(of)), Encoding.UTF8.GetBytes(seal));

    private string Seal(string made) => Convert.ToHexStringLower(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(made)));
}
