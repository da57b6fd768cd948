using System.Security.Cryptography;
using System.Text;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Godwit.Server.Hosts;
using Godwit.Server.Store;

namespace Godwit.Server.Identity;

/// <summary>
/// How a host comes in: an admin makes a token; the host, which has made sure whose server it is, shows it with a signing
/// request and gets its certificate; the server dials the host, which proves address and key, and only then it is one of the cluster.
/// </summary>
public sealed class JoinVerbs(
    ControlPlaneIdentity identity, IdentityStore store, HostVerbs hosts, IRandomness randomness, TimeProvider time)
{
    public const int MinutesDefault = 15, MinutesMax = 24 * 60;
    /// <summary>The agent may be started by hand, after a look at its settings.</summary>
    public static readonly TimeSpan DialFor = TimeSpan.FromHours(1);

    public async Task<NewJoinTokenView> CreateTokenAsync(CreateJoinTokenRequest wish, Actor by)
    {
        var minutes = wish.Minutes ?? MinutesDefault;
        if (minutes is < 1 or > MinutesMax)
            throw new RefusedException("bad-expiry", $"a join token cannot live {minutes} minutes",
                $"give 1 minute to {MinutesMax / 60} hours");
        if (wish.Host is not null && !Names.IsValid(wish.Host))
            throw new RefusedException("bad-name", $"'{wish.Host}' cannot be a host's name", $"a name is {Names.Rule}");
        var token = JoinToken.New(identity.Ca.Fingerprint, randomness);
        var now = time.GetUtcNow();
        var kept = new JoinTokenRecord(token.Id, token.SecretHash, wish.Host is null ? null : new HostId(wish.Host),
            now, by.Name, now + TimeSpan.FromMinutes(minutes));
        if (await store.AddTokenAsync(kept) is { } refusal) throw new RefusedException([refusal]);
        return new NewJoinTokenView(token.Id, wish.Host, kept.ExpiresAt, token.Text);
    }

    /// <param name="proved">Called once the secret was right, before anything is done.</param>
    public async Task<JoinedView> JoinAsync(JoinRequest wish, Func<Task> proved)
    {
        var hash = JoinToken.HashOf(wish.Secret);
        if (JoinRules.Unknown(await store.FindTokenAsync(wish.Token), hash) is { } unknown) throw new RefusedException([unknown]);
        await proved();
        var host = new HostId(wish.Name);
        HostVerbs.Check(host, wish.Endpoint);
        HostKey.KeyOf(wish.Request); // A request that cannot be signed spends no token.
        var now = time.GetUtcNow();
        var joining = new JoiningHost(host, wish.Endpoint, now + DialFor);
        if (await store.JoinAsync(wish.Token, joining, token => JoinRules.WhyNot(token, hash, host, now)) is { } refusal)
            throw new RefusedException([refusal]);
        var denied = identity.Denied.Hosts.FirstOrDefault(d => d.Host == host);
        return new JoinedView(host.Value, identity.Ca.Cluster, identity.Ca.SignHost(host, wish.Request, denied), now);
    }

    /// <summary>One try at everybody who has joined and was not reached yet.</summary>
    public async Task DialAllAsync(CancellationToken stopping)
    {
        foreach (var batch in (await store.JoiningAsync()).Chunk(16))
            await Task.WhenAll(batch.Select(host => DialAsync(host, stopping)).ToArray());
    }

    private async Task DialAsync(JoiningHost host, CancellationToken stopping)
    {
        try
        {
            await hosts.AddAsync(host.Host, host.Endpoint, stopping);
            await store.JoinedAsync(host);
        }
        catch (Exception not) when (not is not StoreFailedException && !stopping.IsCancellationRequested) // The others go on.
        {
            if (time.GetUtcNow() >= host.Until) await store.GiveUpAsync(host, (not as AgentUnreachableException)?.Why ?? not.Message);
        }
    }
}

/// <summary>What a join token is good for. Pure.</summary>
public static class JoinRules
{
    /// <summary>Null, or the one answer for tokens that never were and secrets that are not theirs.</summary>
    public static Refusal? Unknown(JoinTokenRecord? token, string secretHash)
    {
        var isRight = CryptographicOperations.FixedTimeEquals(
            Encoding.ASCII.GetBytes(token?.Hash ?? new string('0', secretHash.Length)), Encoding.ASCII.GetBytes(secretHash));
        return isRight ? null : new Refusal("join-token-unknown", "this server did not make that join token, or has forgotten it",
            "make one on this cluster: godwit host token");
    }

    public static Refusal? WhyNot(JoinTokenRecord? token, string secretHash, HostId host, DateTimeOffset now)
    {
        if (Unknown(token, secretHash) is { } unknown) return unknown;
        if (token!.UsedAt is { } usedAt)
            return new Refusal("join-token-used",
                $"join token {token.Id} was used by {token.UsedBy} at {CertificateLife.Text(usedAt)}; each lets one host in, once",
                "make another: godwit host token. If it was not you who used it: godwit host revoke " + token.UsedBy);
        if (now >= token.ExpiresAt)
            return new Refusal("join-token-expired",
                $"join token {token.Id} expired at {CertificateLife.Text(token.ExpiresAt)}; the server's clock says "
                + CertificateLife.Text(now),
                "make another: godwit host token (--expires for a longer life)");
        if (token.Host is { } bound && bound != host)
            return new Refusal("join-token-for-other-host", $"join token {token.Id} is for {bound}, and this host wants to be {host}",
                $"join with --name {bound}, or make a token for {host}");
        return null;
    }
}
