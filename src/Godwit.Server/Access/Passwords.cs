using Godwit.Core;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;

namespace Godwit.Server.Access;

/// <summary>ASP.NET Core Identity's hasher: PBKDF2 with HMAC-SHA512, a salt of its own for each, about 0.1 s of a processor.</summary>
public sealed class Passwords
{
    /// <summary>Long rather than tangled (NIST SP 800-63B): no rules about digits and signs.</summary>
    public const int CharsMin = 12, CharsMax = 256;
    private const int Rounds = 210_000;
    /// <summary>Each takes a processor for its time; more at once would be felt by the moves.</summary>
    private const int AtOnceMax = 2;

    private readonly PasswordHasher<string> _hasher = new(Options.Create(new PasswordHasherOptions { IterationCount = Rounds }));
    private readonly Lazy<string> _nobodys;
    private int _working;

    public Passwords() => _nobodys = new Lazy<string>(() => _hasher.HashPassword("", "of nobody"));

    public string Hash(string user, string password)
    {
        if (password.Length is < CharsMin or > CharsMax)
            throw new RefusedException("bad-password", $"the password has {password.Length} characters",
                $"take {CharsMin} to {CharsMax}: four or five words are good");
        if (password.Contains(user, StringComparison.OrdinalIgnoreCase))
            throw new RefusedException("bad-password", "the user's name is in the password", "take another");
        return Alone(() => _hasher.HashPassword(user, password));
    }

    /// <param name="hash">Null where there is no such user: takes as long as if there were.</param>
    public bool Verify(string? hash, string password) => Alone(() =>
    {
        if (password.Length > CharsMax) return false;
        var result = _hasher.VerifyHashedPassword("", hash ?? _nobodys.Value, password);
        return hash is not null && result != PasswordVerificationResult.Failed;
    });

    private T Alone<T>(Func<T> work)
    {
        try
        {
            if (Interlocked.Increment(ref _working) > AtOnceMax)
                throw new RefusedException("too-many-logins", $"{AtOnceMax} passwords are being checked", "ask again in a second");
            return work();
        }
        finally
        {
            Interlocked.Decrement(ref _working);
        }
    }
}
