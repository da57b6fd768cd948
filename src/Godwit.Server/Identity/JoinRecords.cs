using Godwit.Core;

namespace Godwit.Server.Identity;

/// <summary>A join token as it is kept: never its secret.</summary>
/// <param name="Hash">SHA-256 of the secret, lower-case hex.</param>
/// <param name="Host">The only name it lets in; null: any that is free.</param>
public sealed record JoinTokenRecord(
    string Id, string Hash, HostId? Host, DateTimeOffset CreatedAt, string CreatedBy, DateTimeOffset ExpiresAt)
{
    public DateTimeOffset? UsedAt { get; init; }
    public HostId? UsedBy { get; init; }
}

/// <summary>Has its certificate; the server has not reached it yet.</summary>
/// <param name="Endpoint">Where it says that its agent listens: <c>address:port</c>.</param>
public sealed record JoiningHost(HostId Host, string Endpoint, DateTimeOffset Until);
