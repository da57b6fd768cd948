namespace Godwit.Server.Api;

/// <summary>POST /api/v1/join-tokens.</summary>
/// <param name="Host">The only name it lets in, also one that is known already; null: any that is free.</param>
/// <param name="Minutes">1 to 1440; default 15.</param>
public sealed record CreateJoinTokenRequest(string? Host = null, int? Minutes = null);

/// <param name="Text">The whole token: shown this once, kept nowhere.</param>
public sealed record NewJoinTokenView(string Id, string? Host, DateTimeOffset ExpiresAt, string Text);

/// <summary>POST /api/v1/join, without any other proof of who asks than the token's.</summary>
/// <param name="Token">Its id.</param>
/// <param name="Secret">Its last part.</param>
/// <param name="Request">PKCS #10, PEM, for a P-256 key that never leaves the host.</param>
/// <param name="Endpoint">Where its agent will listen: <c>address:port</c>, or <c>:port</c> at the address it asks from.</param>
public sealed record JoinRequest(string Token, string Secret, string Name, string Request, string Endpoint);

/// <param name="Certificate">PEM. Whose CA signed it, the host knows from its token.</param>
/// <param name="Clock">The server's.</param>
public sealed record JoinedView(string Host, string Cluster, string Certificate, DateTimeOffset Clock);
