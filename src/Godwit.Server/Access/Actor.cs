using Godwit.Core.Access;

namespace Godwit.Server.Access;

/// <summary>Who is calling, as proved.</summary>
/// <param name="Name">A user's or token's name, or <c>uid 0</c> on the local socket.</param>
/// <param name="Source">An IP address, or <c>local, pid 4711</c>.</param>
/// <param name="Token">Id of the token that proved it; null on the local socket.</param>
/// <param name="User">Null where it is no user: a token that belongs to a program, or the local socket.</param>
public sealed record Actor(string Name, Role Role, string Source, string? Token = null, string? User = null)
{
    public DateTimeOffset? ExpiresAt { get; init; }
    /// <summary>It came by logging in, here or at an issuer, and can log out.</summary>
    public bool IsLogIn { get; init; }
}

/// <summary>
/// A connection over the server's own socket. Set where that socket is accepted, so that nothing a remote client sends
/// can look like it.
/// </summary>
/// <param name="Uid">Of the process at the other end, as the kernel says it.</param>
public sealed record LocalPeer(int Uid, int Pid)
{
    /// <summary>This very process: its console.</summary>
    public bool IsOurselves => Pid == Environment.ProcessId;
}

/// <summary>A token as it is kept: never its text.</summary>
/// <param name="Id"><c>tk-</c> and 12 lower-case hex digits: what lists, logs and the audit name it by.</param>
/// <param name="Name">Null where logging in made it.</param>
/// <param name="Role">As of now: a user's token has the user's.</param>
public sealed record ApiToken(string Id, string? Name, string? User, Role Role, DateTimeOffset CreatedAt, string CreatedBy)
{
    public DateTimeOffset? ExpiresAt { get; init; }
    /// <summary>Who logged in through an issuer: <c>oidc:</c>, the issuer's number for them, and their name there in brackets.</summary>
    public string? Subject { get; init; }
    /// <summary>To the minute.</summary>
    public DateTimeOffset? LastUsedAt { get; init; }
}

/// <param name="PasswordHash">As ASP.NET Core Identity writes it: algorithm, rounds, salt, hash.</param>
public sealed record User(string Name, Role Role, string PasswordHash, DateTimeOffset CreatedAt, string CreatedBy);
