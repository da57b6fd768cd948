using Godwit.Core.Access;

namespace Godwit.Server.Api;

/// <summary>POST /api/v1/login.</summary>
public sealed record LogInRequest(string Name, string Password);

/// <summary>GET /api/v1/login/oidc: what a client needs to send somebody to the issuer.</summary>
/// <param name="Nonce">For the issuer to write into its token; good once, for ten minutes.</param>
public sealed record OidcBeginView(
    string Issuer, string ClientId, string AuthorizationEndpoint, string TokenEndpoint, string Scope, string Nonce);

/// <summary>POST /api/v1/login/oidc.</summary>
public sealed record OidcLogInRequest(string IdToken);

/// <summary>POST /api/v1/password: one's own.</summary>
public sealed record ChangePasswordRequest(string Current, string Password);

/// <summary>POST /api/v1/tokens.</summary>
/// <param name="Days">How long it lives, 1 to 3650; default 90.</param>
public sealed record CreateTokenRequest(string Name, Role Role, int? Days = null, bool Never = false);

/// <summary>POST /api/v1/users.</summary>
public sealed record AddUserRequest(string Name, Role Role, string Password);

/// <summary>POST /api/v1/users/{user}/password.</summary>
public sealed record SetPasswordRequest(string Password);

/// <param name="Name">Null where logging in made it.</param>
/// <param name="User">Who logged in, here or at an issuer; null where it was created.</param>
/// <param name="LastUsedAt">To the minute; null: never.</param>
public sealed record TokenView(
    string Id, string? Name, string? User, Role Role, DateTimeOffset CreatedAt, string CreatedBy,
    DateTimeOffset? ExpiresAt, DateTimeOffset? LastUsedAt);

/// <param name="Text">The secret: shown this once, kept nowhere.</param>
public sealed record NewTokenView(TokenView Token, string Text);

public sealed record UserView(string Name, Role Role, DateTimeOffset CreatedAt, string CreatedBy);

/// <summary>Whom the server takes the caller for.</summary>
/// <param name="Token">Its id; null on the local socket.</param>
public sealed record ActorView(string Name, Role Role, string Source, string? Token, DateTimeOffset? ExpiresAt);
