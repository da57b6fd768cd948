using System.Security.Cryptography;
using System.Text;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Ports;
using Godwit.Server.Api;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Protocols;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Microsoft.IdentityModel.Tokens;

namespace Godwit.Server.Access;

/// <summary>
/// Log-in through an OpenID Connect issuer. The command line does the dance with the issuer (authorization code, PKCE,
/// state) and brings its ID token here; here it is proved, and exchanged for a token as a password is.
/// </summary>
/// <param name="issuer">The issuer's description and keys, fetched when needed and kept.</param>
public sealed class OidcLogIn(
    OidcSettings settings, IConfigurationManager<OpenIdConnectConfiguration> issuer, AccessVerbs access, IRandomness randomness,
    TimeProvider time)
{
    public const int TokenCharsMax = 16 * 1024;
    private const int NameCharsMax = 120;
    private static readonly TimeSpan clockSkewMax = TimeSpan.FromMinutes(1);
    /// <summary>Signatures with the issuer's private key only: "none" and shared secrets prove nothing here.</summary>
    private static readonly string[] algorithms =
    [
        SecurityAlgorithms.RsaSha256, SecurityAlgorithms.RsaSha384, SecurityAlgorithms.RsaSha512,
        SecurityAlgorithms.RsaSsaPssSha256, SecurityAlgorithms.RsaSsaPssSha384, SecurityAlgorithms.RsaSsaPssSha512,
        SecurityAlgorithms.EcdsaSha256, SecurityAlgorithms.EcdsaSha384, SecurityAlgorithms.EcdsaSha512,
    ];

    private readonly OidcNonces _nonces = new(randomness, time);
    private readonly JsonWebTokenHandler _tokens = new() { MaximumTokenSizeInBytes = TokenCharsMax, MapInboundClaims = false };

    /// <summary>All a client needs to send somebody to the issuer.</summary>
    public async Task<OidcBeginView> BeginAsync(CancellationToken cancel)
    {
        var known = await IssuerAsync(cancel);
        if (!OidcSettings.IsSafe(known.AuthorizationEndpoint) || !OidcSettings.IsSafe(known.TokenEndpoint))
            throw new RefusedException("oidc-issuer-unusable", $"{settings.Issuer} names addresses that are not https",
                "tell whoever runs the issuer");
        return new OidcBeginView(settings.Issuer, settings.ClientId, known.AuthorizationEndpoint, known.TokenEndpoint,
            "openid profile email", _nonces.New());
    }

    /// <param name="proved">Called once it is known who this is, before anything is made.</param>
    public async Task<NewTokenView> LogInAsync(string idToken, Func<string, Role, Task> proved, CancellationToken cancel)
    {
        var token = await ProveAsync(idToken, cancel);
        var name = NameOf(token);
        var groups = token.Claims.Where(claim => claim.Type == settings.GroupsClaim).Select(claim => claim.Value)
            .ToHashSet(StringComparer.Ordinal);
        var roles = settings.Roles.Where(mapped => groups.Contains(mapped.Group)).Select(mapped => mapped.Role).ToList();
        if (roles.Count == 0)
            throw new RefusedException("oidc-no-role",
                $"{name} is in no group that has a role here (claim {settings.GroupsClaim}: {groups.Count} groups)",
                "ask an admin for a group, or for another: godwit server --oidc-role GROUP=ROLE");
        if (_nonces.Use(token.TryGetPayloadValue<string>("nonce", out var nonce) ? nonce : null) is { } why) throw NotTaken(why);
        await proved(name, roles[0]);
        return await access.LogInSubjectAsync(name, roles[0]);
    }

    private async Task<JsonWebToken> ProveAsync(string idToken, CancellationToken cancel)
    {
        if (idToken.Length > TokenCharsMax) throw NotTaken($"it has more than {TokenCharsMax} characters");
        var result = await _tokens.ValidateTokenAsync(idToken, Rules(await IssuerAsync(cancel)));
        if (result.Exception is SecurityTokenSignatureKeyNotFoundException)
        {
            issuer.RequestRefresh(); // It may have a new key. The library asks at most every few minutes, however often we do.
            result = await _tokens.ValidateTokenAsync(idToken, Rules(await IssuerAsync(cancel)));
        }
        if (!result.IsValid) throw NotTaken(Reason(result.Exception));
        var token = (JsonWebToken)result.SecurityToken;
        // OpenID Connect Core 1.0, 3.1.3.7: who else it is for must not make it somebody else's.
        if (token.TryGetPayloadValue<string>("azp", out var azp) ? azp != settings.ClientId : token.Audiences.Count() > 1)
            throw NotTaken("it was made for another client (azp)");
        return token;
    }

    private TokenValidationParameters Rules(OpenIdConnectConfiguration known) => new()
    {
        ValidIssuer = settings.Issuer, ValidateIssuer = true,
        ValidAudience = settings.ClientId, ValidateAudience = true,
        IssuerSigningKeys = known.SigningKeys, RequireSignedTokens = true, ValidateIssuerSigningKey = true, TryAllIssuerSigningKeys = true,
        ValidAlgorithms = algorithms,
        RequireExpirationTime = true, ValidateLifetime = true, LifetimeValidator = IsOfNow,
    };

    private bool IsOfNow(DateTime? notBefore, DateTime? expires, SecurityToken token, TokenValidationParameters rules)
    {
        var now = time.GetUtcNow().UtcDateTime;
        if (expires is null) throw new SecurityTokenNoExpirationException("it does not say when it expires");
        if (expires < now - clockSkewMax)
            throw new SecurityTokenExpiredException($"it expired at {expires:u}; the server's clock says {now:u}");
        if (notBefore > now + clockSkewMax)
            throw new SecurityTokenNotYetValidException($"it is not valid before {notBefore:u}; the server's clock says {now:u}");
        return true;
    }

    /// <summary>The issuer's number for a person never changes and is nobody else's; the name beside it is for reading.</summary>
    private static string NameOf(JsonWebToken token)
    {
        if (token.Subject is not { Length: > 0 } subject) throw NotTaken("it does not say whom it is about (sub)");
        var shown = token.TryGetPayloadValue<string>("preferred_username", out var user) ? user
            : token.TryGetPayloadValue<string>("email", out var mail) ? mail : "";
        return $"oidc:{Plain(subject)}{(shown.Length > 0 ? $" ({Plain(shown)})" : "")}";
    }

    private static string Plain(string text)
    {
        var plain = string.Concat(text.Select(c => char.IsControl(c) || c is '(' or ')' ? '?' : c));
        return plain.Length <= NameCharsMax ? plain
            : plain[..(NameCharsMax - 9)] + "…" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..8];
    }

    private async Task<OpenIdConnectConfiguration> IssuerAsync(CancellationToken cancel)
    {
        try
        {
            var known = await issuer.GetConfigurationAsync(cancel);
            if (known.Issuer == settings.Issuer) return known;
            throw new RefusedException("oidc-issuer-unusable", $"{settings.Discovery} describes {known.Issuer}, not {settings.Issuer}",
                "give the issuer as it calls itself: godwit server --oidc-issuer");
        }
        catch (Exception reason) when (reason is InvalidOperationException or IOException or HttpRequestException)
        {
            throw new RefusedException("oidc-issuer-silent",
                $"{settings.Discovery} cannot be read: {(reason.InnerException ?? reason).Message}",
                "see that the server reaches the issuer; local users log in all the same");
        }
    }

    private static string Reason(Exception? exception) => exception switch
    {
        SecurityTokenInvalidIssuerException => "it is of another issuer",
        SecurityTokenInvalidAudienceException => "it was made for another client (aud)",
        SecurityTokenExpiredException or SecurityTokenNotYetValidException or SecurityTokenNoExpirationException => exception.Message,
        SecurityTokenInvalidAlgorithmException => "it is signed in a way that proves nothing here",
        SecurityTokenInvalidSignatureException => "its signature is not the issuer's",
        _ => "it is no ID token of that issuer",
    };

    private static RefusedException NotTaken(string why) =>
        new("login-failed", $"the issuer's token was not taken: {why}", "log in again: godwit login --oidc");
}
