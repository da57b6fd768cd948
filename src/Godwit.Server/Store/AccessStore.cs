using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Access;

namespace Godwit.Server.Store;

/// <summary>Users and tokens. What has expired is as if it were not there.</summary>
public sealed class AccessStore(Database database, TimeProvider time)
{
    public const int UsersMax = 1_000, TokensMax = 1_000, LoginsPerUserMax = 20;
    private static readonly TimeSpan lastUsedEvery = TimeSpan.FromMinutes(1);

    /// <summary>The token with this hash, and that it is used now: written at most once a minute, so that reading stays reading.</summary>
    public Task<ApiToken?> UseTokenAsync(string hash) => database.RunAsync(work =>
    {
        var now = time.GetUtcNow();
        var token = Find(work, "t.hash = @value", hash, now);
        if (token is not null && now - (token.LastUsedAt ?? default) >= lastUsedEvery)
            work.Execute("UPDATE tokens SET last_used_at = @now WHERE id = @id", ("@now", Fields.Time(now)), ("@id", token.Id));
        return token;
    });

    public Task<ApiToken?> FindTokenAsync(string id) => database.RunAsync(work => Find(work, "t.id = @value", id, time.GetUtcNow()));

    /// <summary>Also expired ones, until they are revoked or forgotten.</summary>
    public Task<List<ApiToken>> TokensAsync() => database.RunAsync(work =>
        work.Query($"{Select} ORDER BY t.created_at, t.id LIMIT {TokensMax}", Read));

    /// <summary>Null, or why not. Of a user's log-ins the oldest give way.</summary>
    public Task<Refusal?> AddTokenAsync(ApiToken token, string hash) => database.RunAsync<Refusal?>(work =>
    {
        work.Execute("DELETE FROM tokens WHERE name IS NULL AND expires_at <= @now", ("@now", Fields.Time(time.GetUtcNow())));
        if (token.Name is null)
            work.Execute(
                $"""
                DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE user_name = @user OR subject = @subject
                ORDER BY created_at DESC, id LIMIT {TokensMax} OFFSET {LoginsPerUserMax - 1})
                """, ("@user", token.User), ("@subject", token.Subject));
        if (work.Number("SELECT COUNT(*) FROM tokens") >= TokensMax)
            return new Refusal("too-many-tokens", $"there are {TokensMax} tokens", "revoke some: 'godwit token list'");
        if (token.Name is not null && work.Number("SELECT COUNT(*) FROM tokens WHERE name = @name", ("@name", token.Name)) > 0)
            return new Refusal("name-taken", $"there is a token {token.Name} already",
                $"'godwit token revoke {token.Name}', or take another name");
        work.Execute(
            """
            INSERT INTO tokens (id, hash, name, user_name, subject, role, created_at, created_by, expires_at)
            VALUES (@id, @hash, @name, @user, @subject, @role, @created, @by, @expires)
            """,
            ("@id", token.Id), ("@hash", hash), ("@name", token.Name), ("@user", token.User), ("@subject", token.Subject),
            ("@role", token.User is null ? Fields.Word(token.Role) : null), ("@created", Fields.Time(token.CreatedAt)),
            ("@by", token.CreatedBy), ("@expires", token.ExpiresAt is { } at ? Fields.Time(at) : null));
        return null;
    });

    /// <summary>By name or id; false where there is none.</summary>
    public Task<bool> RemoveTokenAsync(string name) => database.RunAsync(work =>
        work.Execute("DELETE FROM tokens WHERE id = @name OR name = @name", ("@name", name)) > 0);

    public Task<User?> FindUserAsync(string name) => database.RunAsync(work =>
        work.Query("SELECT name, role, password, created_at, created_by FROM users WHERE name = @name", ReadUser, ("@name", name))
            .FirstOrDefault());

    public Task<List<User>> UsersAsync() => database.RunAsync(work =>
        work.Query($"SELECT name, role, password, created_at, created_by FROM users ORDER BY name LIMIT {UsersMax}", ReadUser));

    public Task<Refusal?> AddUserAsync(User user) => database.RunAsync<Refusal?>(work =>
    {
        if (work.Number("SELECT COUNT(*) FROM users WHERE name = @name", ("@name", user.Name)) > 0)
            return new Refusal("name-taken", $"there is a user {user.Name} already", "see 'godwit user list'");
        if (work.Number("SELECT COUNT(*) FROM users") >= UsersMax)
            return new Refusal("too-many-users", $"there are {UsersMax} users", "remove some: 'godwit user list'");
        work.Execute(
            "INSERT INTO users (name, role, password, created_at, created_by) VALUES (@name, @role, @password, @created, @by)",
            ("@name", user.Name), ("@role", Fields.Word(user.Role)), ("@password", user.PasswordHash),
            ("@created", Fields.Time(user.CreatedAt)), ("@by", user.CreatedBy));
        return null;
    });

    public Task<bool> RemoveUserAsync(string name) => database.RunAsync(work =>
    {
        work.Execute("DELETE FROM tokens WHERE user_name = @name", ("@name", name));
        return work.Execute("DELETE FROM users WHERE name = @name", ("@name", name)) > 0;
    });

    public Task<bool> SetPasswordAsync(string name, string hash) => database.RunAsync(work =>
    {
        work.Execute("DELETE FROM tokens WHERE user_name = @name", ("@name", name));
        return work.Execute("UPDATE users SET password = @hash WHERE name = @name", ("@hash", hash), ("@name", name)) > 0;
    });

    private const string Select =
        """
        SELECT t.id, t.name, t.user_name, COALESCE(u.role, t.role), t.created_at, t.created_by, t.expires_at, t.last_used_at, t.subject
        FROM tokens t LEFT JOIN users u ON u.name = t.user_name
        """;

    private static ApiToken? Find(Work work, string which, string value, DateTimeOffset now) => work.Query(
        $"{Select} WHERE {which} AND (t.expires_at IS NULL OR t.expires_at > @now)", Read,
        ("@value", value), ("@now", Fields.Time(now))).FirstOrDefault();

    private static ApiToken Read(DbDataReader row) => new(
        row.GetString(0), row.TextOrNull(1), row.TextOrNull(2), row.Word<Role>(3), row.Time(4), row.GetString(5))
    {
        ExpiresAt = row.IsDBNull(6) ? null : row.Time(6),
        LastUsedAt = row.IsDBNull(7) ? null : row.Time(7),
        Subject = row.TextOrNull(8),
    };

    private static User ReadUser(DbDataReader row) =>
        new(row.GetString(0), row.Word<Role>(1), row.GetString(2), row.Time(3), row.GetString(4));
}
