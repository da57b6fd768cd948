using Godwit.Core;
using Godwit.Core.Access;

namespace Godwit.Server.Access;

/// <summary>Whom the server lets log people in for it, and what they then are.</summary>
/// <param name="Issuer">Exactly as the issuer writes itself in its tokens; https, or http on loopback.</param>
/// <param name="ClientId">Godwit's, a public client with the redirect address http://127.0.0.1.</param>
/// <param name="Roles">Of groups. Who is in several gets the first of them here; who is in none is not let in.</param>
public sealed record OidcSettings(string Issuer, string ClientId, IReadOnlyList<(string Group, Role Role)> Roles)
{
    /// <summary>The claim that lists a person's groups: one text, or an array of them.</summary>
    public string GroupsClaim { get; init; } = "groups";

    /// <summary>Where the issuer describes itself (OpenID Connect Discovery 1.0, 4).</summary>
    public string Discovery => $"{Issuer.TrimEnd('/')}/.well-known/openid-configuration";

    /// <summary>Nothing of a log-in goes over a network in plain text; on this machine alone it may (tests, a proxy).</summary>
    public static bool IsSafe(string? address) => Uri.TryCreate(address, UriKind.Absolute, out var url) && url.UserInfo.Length == 0
        && (url.Scheme == Uri.UriSchemeHttps || (url.Scheme == Uri.UriSchemeHttp && url.IsLoopback));

    public void Check()
    {
        if (!IsSafe(Issuer))
            throw new RefusedException("bad-oidc-issuer", $"'{Issuer}' cannot be an issuer",
                "give its https address, as it stands in its tokens");
        if (ClientId.Length is < 1 or > 200)
            throw new RefusedException("bad-oidc-client", "the issuer knows godwit by a client id, and none was given",
                "give it with --oidc-client");
        if (Roles.Count is < 1 or > 100)
            throw new RefusedException("bad-oidc-roles", $"{Roles.Count} groups have a role: nobody, or too many, could log in",
                "give 1 to 100 with --oidc-role GROUP=ROLE");
    }
}
