using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Identity;

namespace Godwit.Server.Store;

/// <summary>Tokens for joining, hosts that are about to join, and hosts that are not let in any more.</summary>
public sealed class IdentityStore(Database database, TimeProvider time)
{
    public const int TokensMax = 1_000;
    /// <summary>An expired token is told from an unknown one for so long.</summary>
    private static readonly TimeSpan keptAfterExpiry = TimeSpan.FromDays(1);

    /// <summary>Null, or why not.</summary>
    public Task<Refusal?> AddTokenAsync(JoinTokenRecord token) => database.RunAsync<Refusal?>(work =>
    {
        work.Execute("DELETE FROM join_tokens WHERE expires_at <= @old", ("@old", Fields.Time(time.GetUtcNow() - keptAfterExpiry)));
        if (work.Number("SELECT COUNT(*) FROM join_tokens") >= TokensMax)
            return new Refusal("too-many-tokens", $"{TokensMax} join tokens were made lately", "wait until some have expired");
        work.Execute(
            """
            INSERT INTO join_tokens (id, hash, host, created_at, created_by, expires_at)
            VALUES (@id, @hash, @host, @created, @by, @expires)
            """,
            ("@id", token.Id), ("@hash", token.Hash), ("@host", token.Host?.Value), ("@created", Fields.Time(token.CreatedAt)),
            ("@by", token.CreatedBy), ("@expires", Fields.Time(token.ExpiresAt)));
        return null;
    });

    public Task<JoinTokenRecord?> FindTokenAsync(string id) => database.RunAsync(work => FindToken(work, id));

    /// <summary>
    /// Spends the token on this host, in one transaction with every test: of two at once one wins. Null, or why not.
    /// </summary>
    /// <param name="check">Says why the token is not good for the host, or null. Asked inside the transaction.</param>
    public Task<Refusal?> JoinAsync(string token, JoiningHost host, Func<JoinTokenRecord?, Refusal?> check) =>
        database.RunAsync(work =>
        {
            var found = FindToken(work, token);
            if (check(found) is { } refusal) return refusal;
            if (found!.Host is null && IsKnown(work, host.Host))
                return new Refusal("name-taken", $"there is a host {host.Host} already, and this token is for a new one",
                    $"take another name, or let an admin make a token for it: 'godwit host token --name {host.Host}'");
            work.Execute("UPDATE join_tokens SET used_at = @now, used_by = @host WHERE id = @id",
                ("@now", Fields.Time(time.GetUtcNow())), ("@host", host.Host.Value), ("@id", token));
            work.Execute(
                """
                INSERT INTO joining_hosts (host, endpoint, until) VALUES (@host, @endpoint, @until)
                ON CONFLICT (host) DO UPDATE SET endpoint = excluded.endpoint, until = excluded.until
                """,
                ("@host", host.Host.Value), ("@endpoint", host.Endpoint), ("@until", Fields.Time(host.Until)));
            Say(work, new Happening("host-joining",
                $"{host.Host} has its certificate (token {token}); the server dials {host.Endpoint}", Host: host.Host.Value));
            return null;
        });

    public Task<List<JoiningHost>> JoiningAsync() => database.RunAsync(work => work.Query(
        $"SELECT host, endpoint, until FROM joining_hosts ORDER BY host LIMIT {HostStore.HostsMax}",
        row => new JoiningHost(new HostId(row.GetString(0)), row.GetString(1), row.Time(2))));

    /// <summary>It was reached.</summary>
    public Task JoinedAsync(JoiningHost host) => database.RunAsync(work => Forget(work, host));

    /// <summary>It was not reached in its time.</summary>
    public Task GiveUpAsync(JoiningHost host, string why) => database.RunAsync(work =>
    {
        Forget(work, host);
        Say(work, new Happening("host-not-joined",
            $"{host.Host} was not reached at {host.Endpoint}: {why}. Once it can be: godwit host add {host.Host} --address {host.Endpoint}",
            Host: host.Host.Value));
    });

    public Task<DenyList> DeniedAsync() => database.RunAsync(work => Denied(work, time.GetUtcNow()));

    /// <summary>Refuses the certificates of a host that stays in the cluster.</summary>
    public Task DenyAsync(DeniedHost denied, DateTimeOffset forgetAt) => database.RunAsync(work =>
    {
        Deny(work, denied, forgetAt, time.GetUtcNow());
        Say(work, new Happening("host-revoked",
            $"every certificate of {denied.Host} was revoked; its VMs go on, and it comes back by joining again", Host: denied.Host.Value));
    });

    /// <summary>Throws <see cref="RefusedException"/> where the list is full.</summary>
    internal static void Deny(Work work, DeniedHost denied, DateTimeOffset forgetAt, DateTimeOffset now)
    {
        work.Execute("DELETE FROM denied_hosts WHERE forget_at <= @now", ("@now", Fields.Time(now)));
        if (work.Number("SELECT COUNT(*) FROM denied_hosts WHERE host <> @host", ("@host", denied.Host.Value)) >= DenyList.HostsMax)
            throw new RefusedException("deny-list-full", $"{DenyList.HostsMax} hosts were removed or revoked in the last month",
                "the oldest are forgotten as their certificates expire; until then turn this host off instead");
        work.Execute(
            """
            INSERT INTO denied_hosts (host, began_until, forget_at) VALUES (@host, @until, @forget)
            ON CONFLICT (host) DO UPDATE SET began_until = excluded.began_until, forget_at = excluded.forget_at
            """,
            ("@host", denied.Host.Value), ("@until", denied.BeganUntil.ToUnixTimeSeconds()), ("@forget", Fields.Time(forgetAt)));
    }

    /// <summary>At least as much of this host is denied already.</summary>
    internal static bool Denies(Work work, DeniedHost denied) => work.Number(
        "SELECT COUNT(*) FROM denied_hosts WHERE host = @host AND began_until >= @until",
        ("@host", denied.Host.Value), ("@until", denied.BeganUntil.ToUnixTimeSeconds())) > 0;

    private static DenyList Denied(Work work, DateTimeOffset now) => new(work.Query(
        "SELECT host, began_until FROM denied_hosts WHERE forget_at > @now",
        row => new DeniedHost(new HostId(row.GetString(0)), DateTimeOffset.FromUnixTimeSeconds(row.GetInt64(1))),
        ("@now", Fields.Time(now))));

    private static bool IsKnown(Work work, HostId host) => work.Number(
        """
        SELECT (SELECT COUNT(*) FROM hosts WHERE id = @host) + (SELECT COUNT(*) FROM joining_hosts WHERE host = @host)
        """, ("@host", host.Value)) > 0;

    private static void Forget(Work work, JoiningHost host) => work.Execute(
        "DELETE FROM joining_hosts WHERE host = @host AND endpoint = @endpoint", ("@host", host.Host.Value), ("@endpoint", host.Endpoint));

    private static JoinTokenRecord? FindToken(Work work, string id) => work.Query(
        "SELECT id, hash, host, created_at, created_by, expires_at, used_at, used_by FROM join_tokens WHERE id = @id", Read,
        ("@id", id)).FirstOrDefault();

    private static JoinTokenRecord Read(DbDataReader row) => new(
        row.GetString(0), row.GetString(1), Host(row, 2), row.Time(3), row.GetString(4), row.Time(5))
    {
        UsedAt = row.IsDBNull(6) ? null : row.Time(6),
        UsedBy = Host(row, 7),
    };

    private static HostId? Host(DbDataReader row, int column) => row.TextOrNull(column) is { } name ? new HostId(name) : null;

    private void Say(Work work, Happening happening) => EventStore.Append(work, happening, time.GetUtcNow());
}
