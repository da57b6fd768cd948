using System.Security.Claims;
using System.Security.Cryptography;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.Http;

namespace Godwit.WebConsole.Serving;

/// <summary>
/// A person's token in their browser: encrypted, for this host only, over TLS only, out of reach of scripts, and not sent with
/// what another site begins. Taken on pages alone: the API knows no cookies, so no site can make a browser call it.
/// </summary>
public sealed class SessionCookie(IDataProtectionProvider protection)
{
    public const string Name = "__Host-godwit", TokenClaim = "godwit/token", SourceClaim = "godwit/source";
    private readonly IDataProtector _protector = protection.CreateProtector("session");

    public void Write(HttpContext http, string token, DateTimeOffset? expires) =>
        http.Response.Cookies.Append(Name, _protector.Protect(token), Options(expires));

    public static void Forget(HttpContext http) => http.Response.Cookies.Delete(Name, Options(null));

    /// <summary>Null where there is none, or none that this server made. Whoever it is, is then known to the page's circuit.</summary>
    public string? Read(HttpContext http)
    {
        if (http.Request.Cookies[Name] is not { Length: > 0 and < 2_000 } sealed_) return null;
        try
        {
            var token = _protector.Unprotect(sealed_);
            http.User = new ClaimsPrincipal(new ClaimsIdentity(
                [new Claim(TokenClaim, token), new Claim(SourceClaim, SourceOf(http))], "cookie"));
            return token;
        }
        catch (CryptographicException)
        {
            return null; // Of a server whose keys are gone: the person logs in again.
        }
    }

    /// <summary>Where the browser is.</summary>
    public static string SourceOf(HttpContext http) => http.Connection.RemoteIpAddress is { } address
        ? (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString() : "unknown";

    private static CookieOptions Options(DateTimeOffset? expires) => new()
    {
        Secure = true, HttpOnly = true, SameSite = SameSiteMode.Strict, Path = "/", Expires = expires, IsEssential = true,
    };
}
