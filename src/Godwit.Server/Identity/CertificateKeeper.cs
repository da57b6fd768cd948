using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Hosts;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Identity;

/// <summary>
/// Keeps hosts' certificates as they should be: signs a new one where two thirds of a life are over, hands the deny list to
/// agents that have another, dials those who are about to join. Servers dial agents, so all of it begins here; a host that
/// cannot be reached is asked again, and nothing of this holds up the watching of hosts.
/// </summary>
public sealed class CertificateKeeper(
    ControlPlaneIdentity identity, Stores stores, AgentDirectory agents, HostWatcher watcher, JoinVerbs joins,
    TimeProvider time, ILogger<CertificateKeeper> log)
{
    private const int AtOnceMax = 16;
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(5), AfterFailure = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<HostId, DateTimeOffset> _notBefore = new();
    private readonly SemaphoreSlim _loading = new(1, 1);

    /// <summary>What was denied before this server started is denied before its first connection.</summary>
    public async Task LoadAsync()
    {
        await _loading.WaitAsync(); // Two at once: the older list must not come last.
        try { identity.Deny(await stores.Identity.DeniedAsync()); }
        finally { _loading.Release(); }
    }

    public async Task RunAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await RoundAsync(stopping);
                await Task.Delay(Every, time, stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The loop ends above.
            catch (Exception error) // A loop that ends would let every certificate run out.
            {
                log.LogError(error, "What was to be done for hosts' certificates failed; tried again in {Every}", Every);
                await Task.Delay(Every, time, CancellationToken.None);
            }
        }
    }

    public async Task RoundAsync(CancellationToken stopping)
    {
        await LoadAsync(); // What has expired is forgotten.
        await joins.DialAllAsync(stopping);
        foreach (var batch in (await stores.Hosts.ListAsync()).Where(host => host.Answers).Chunk(AtOnceMax))
            await Task.WhenAll(batch.Select(host => KeepAsync(host.Id, stopping)).ToArray());
    }

    /// <summary>
    /// Refuses every certificate the host has had so far, here and, as they are reached, at all agents. Its VMs run on; the
    /// next connection tells that it is out, and a token made for its name lets it back in.
    /// </summary>
    public async Task RevokeAsync(HostId id)
    {
        var host = await stores.Hosts.FindAsync(id) ?? throw HostVerbs.NotFound(id);
        await stores.Identity.DenyAsync(identity.Ca.Deny(id), time.GetUtcNow() + ClusterCa.LeafLife);
        await LoadAsync();
        agents.Remove(id); // Its open connection was let in by the old certificate.
        agents.Put(id, host.Endpoint);
    }

    public async Task RemoveAsync(HostId id)
    {
        if (await stores.Hosts.RemoveAsync(id, identity.Ca.Deny(id), time.GetUtcNow() + ClusterCa.LeafLife) is { } refusal)
            throw new RefusedException([refusal]);
        await LoadAsync();
        agents.Remove(id);
    }

    private async Task KeepAsync(HostId host, CancellationToken stopping)
    {
        var now = time.GetUtcNow();
        if (watcher.Live(host)?.Certificate is not { } shown || now < _notBefore.GetValueOrDefault(host)) return;
        try
        {
            var denied = identity.Denied;
            if (shown.DenyList != denied.Digest) await agents.Of(host).SetDeniedAsync(denied, stopping);
            if (now >= shown.Life.RenewAt) await RenewAsync(host, shown, now, stopping);
        }
        catch (Exception not) when (not is not StoreFailedException && !stopping.IsCancellationRequested) // The others go on.
        {
            _notBefore[host] = now + AfterFailure;
            log.LogWarning("{Host} keeps its certificate until {NotAfter} and its list of denied hosts for now: {Why}",
                host, CertificateLife.Text(shown.Life.NotAfter), not.Message);
        }
    }

    private async Task RenewAsync(HostId host, CertificateFacts shown, DateTimeOffset now, CancellationToken stopping)
    {
        var request = await agents.Of(host).NewKeyAsync(stopping);
        var denied = identity.Denied.Hosts.FirstOrDefault(d => d.Host == host);
        var certificate = identity.Ca.SignHost(host, request, denied);
        await agents.Of(host).InstallCertificateAsync(certificate, now, stopping);
        await stores.Events.AppendAsync(new Happening("host-certificate-renewed",
            $"{host} has a new certificate and key; the old one would have expired at {CertificateLife.Text(shown.Life.NotAfter)}",
            Host: host.Value));
        // The watcher's last answer still shows the old certificate: its next one is waited for.
        _notBefore[host] = now + AfterFailure;
    }
}
