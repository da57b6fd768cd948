using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Store;
using Godwit.Server.Vms;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Fencing;

/// <summary>
/// Renews the leases of hosts whose own watchdog is their fence, has it armed where it is not, and let go where it is a fence no
/// more. What it counts on is in the store before the agent may: the arming, the longest lease, the timeout.
/// </summary>
/// <param name="lease">How long one grant lets an agent pet; as short as the server may be away.</param>
internal sealed class LeaseKeeper(
    Stores stores, AgentDirectory agents, LeaseBook book, VmNumbers numbers, TimeSpan lease, TimeProvider time, ILogger<LeaseKeeper> log)
{
    /// <summary>Of a host that was never heard: a ticket; what it offers is written down; a grant; it is armed.</summary>
    private const int StepsMax = 3, AtOnceMax = 64;
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(4);

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
            catch (StoreFailedException error)
            {
                log.LogError(error, "Leases could not be renewed; tried again in {Every}", Every);
                await Task.Delay(Every, time, CancellationToken.None);
            }
        }
    }

    /// <summary>Hosts that answer first: what is silent makes nobody else wait who was heard of before.</summary>
    public async Task RoundAsync(CancellationToken stopping)
    {
        var closed = book.ClosedByProof(); // Before the store is read: what is open there now, was opened after that proof.
        var hosts = await stores.Hosts.ListAsync();
        foreach (var host in hosts.Where(h => h.State != HostState.Fenced && closed.ContainsKey(h.Id)))
            book.Reopen(host.Id, closed[host.Id]);
        var concerned = hosts.Where(IsConcerned).OrderByDescending(host => host.Answers);
        foreach (var batch in concerned.Chunk(AtOnceMax))
            await Task.WhenAll(batch.Select(host => SeeToAsync(host, stopping)).ToArray());
    }

    private static bool IsConcerned(Host host) => host.State != HostState.Fenced
        && (host.Fence == WatchdogRules.FenceName || host.Facts?.Watchdog?.Arming is not null);

    private async Task SeeToAsync(Host host, CancellationToken stopping)
    {
        try
        {
            if (host.Fence == WatchdogRules.FenceName) await RenewAsync(host, stopping);
            // The store counts on it no more since its fence was changed: see HostStore.SetFenceAsync.
            else await agents.Of(host.Id).ReleaseWatchdogAsync(host.Facts!.Watchdog!.Arming!, stopping);
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException)
        {
            log.LogDebug("{Host} got no lease: {Why}", host.Id, silent.Message);
        }
    }

    private async Task RenewAsync(Host host, CancellationToken stopping)
    {
        var note = host.Watchdog;
        for (var step = 0; step < StepsMax; step++)
        {
            var grant = note is not null && note.LeaseSeconds >= lease.TotalSeconds ? book.Grant(host.Id, note, lease) : null;
            var answer = await agents.Of(host.Id).RenewLeaseAsync(grant, stopping);
            book.Asked(host.Id, answer.Ticket);
            var next = WatchdogRules.Next(note, answer.Watchdog, lease, numbers.ArmingId());
            if (next != note && !await stores.Fences.SaveWatchdogAsync(host.Id, note, next)) return; // Its fence was changed meanwhile.
            note = next;
            if (grant is not null || note is null) return;
        }
    }
}
