using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;
using Godwit.Server.Api;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Quoting;

/// <summary>
/// Tests links between hosts: when a person asks, when a host has joined, and each once a day. A test fills its link for two seconds
/// (for six where it becomes faster all the while), so it waits where a move is under way.
/// Of many hosts each is tested with its next few by name: a ring with chords, not every pair.
/// </summary>
public sealed class LinkTests(Func<HostId, IHostAgent> agents, Stores stores, TimeProvider time, ILogger<LinkTests> log)
{
    private const int NeighboursMax = 4, FailedMax = 10_000;
    private static readonly TimeSpan Again = TimeSpan.FromHours(24), FailedAgain = TimeSpan.FromHours(1);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMinutes(5), FirstLookAfter = TimeSpan.FromMinutes(3);

    private readonly Dictionary<(HostId From, HostId To), long> failed = []; // The loop's own.

    public async Task<IReadOnlyList<LinkView>> ListAsync() =>
        [.. (await stores.Links.ListAsync()).Select(l => new LinkView(l.Source, l.Target, l.Figures))];

    public async Task<LinkView> TestAsync(string? source, string? target, CancellationToken cancel)
    {
        var (from, to) = (await FindAsync(source), await FindAsync(target));
        if (from == to) throw new RefusedException("same-host", $"a link has two ends, and {from} is one", "name two hosts");
        try { return await TestAsync(from, to, cancel); }
        catch (AgentUnreachableException silent)
        {
            throw new RefusedException("host-unreachable", silent.Message, $"wait until {silent.Host} answers: 'godwit host list'");
        }
    }

    public async Task RunAsync(CancellationToken stopping)
    {
        try
        {
            await Task.Delay(FirstLookAfter, time, stopping);
            while (true)
            {
                if (await TestNextAsync(stopping)) continue; // One after the other: two at once would measure each other.
                await Task.Delay(LookEvery, time, stopping);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The server stops.
    }

    /// <summary>False where nothing is due, or it must wait.</summary>
    private async Task<bool> TestNextAsync(CancellationToken stopping)
    {
        try
        {
            if ((await stores.Moves.UnfinishedAsync()).Count > 0) return false;
            var ready = (await stores.Hosts.ListAsync()).Where(h => h.State is HostState.Ready or HostState.Cordoned)
                .Select(h => h.Id).ToList();
            var known = (await stores.Links.ListAsync()).ToDictionary(l => (l.Source, l.Target), l => l.Figures.At);
            foreach (var (from, to) in Pairs(ready))
            {
                if (known.TryGetValue((from, to), out var at) && time.GetUtcNow() - at < Again) continue;
                if (failed.TryGetValue((from, to), out var tried) && time.GetElapsedTime(tried) < FailedAgain) continue;
                if (failed.Count >= FailedMax) failed.Clear();
                failed[(from, to)] = time.GetTimestamp(); // Until it has succeeded: one bad link must not stand before all others.
                await TestAsync(from, to, stopping);
                failed.Remove((from, to));
                return true;
            }
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException)
        {
            log.LogInformation("A link test failed: {Why}", silent.Message);
        }
        catch (StoreFailedException refused)
        {
            log.LogError(refused, "A link test could not be written down");
        }
        return false;
    }

    /// <summary>Each with the next few, in order of their names.</summary>
    internal static IEnumerable<(HostId From, HostId To)> Pairs(IReadOnlyList<HostId> hosts)
    {
        var ring = hosts.OrderBy(h => h.Value, StringComparer.Ordinal).ToList();
        return ring.SelectMany((from, at) => Enumerable.Range(1, Math.Min(NeighboursMax, ring.Count - 1))
            .Select(n => (from, ring[(at + n) % ring.Count])));
    }

    private async Task<LinkView> TestAsync(HostId from, HostId to, CancellationToken cancel)
    {
        var ready = await agents(to).PrepareLinkTestAsync(from, cancel);
        var figures = await agents(from).RunLinkTestAsync(ready, to, cancel);
        await stores.Links.SaveAsync(from, to, figures);
        return new LinkView(from, to, figures);
    }

    private async Task<HostId> FindAsync(string? name) => (await stores.Hosts.ListAsync()).FirstOrDefault(h => h.Id.Value == name)?.Id
        ?? throw new RefusedException("host-not-found", $"there is no host {name}", "see 'godwit host list'");
}
