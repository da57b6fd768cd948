using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Store;

namespace Godwit.Server.Hosts;

/// <summary>
/// Which pools are one directory on several hosts: proved by a nonce that one host writes and the others look for,
/// never asked. Hosts that were not proved to share do not.
/// </summary>
public sealed class PoolSharing(HostStore hosts, AgentDirectory agents, IRandomness randomness)
{
    public const int PoolsMax = 64;
    private const int TriesMax = 3;

    /// <summary>Proves anew what <paramref name="host"/>'s pools are. Throws what the agent throws.</summary>
    /// <param name="again">These facts are not in the store yet: the next round proves once more, whatever happens before they are.</param>
    public async Task ProveAsync(HostId host, HostFacts facts, CancellationToken cancel, bool again = false)
    {
        for (var attempt = 1; attempt <= TriesMax; attempt++)
            if (await TryProveAsync(host, facts, again, cancel)) return; // Else another host's proof came in between.
        await hosts.DoubtSharesAsync(host); // Many at once: the next round proves it.
    }

    private async Task<bool> TryProveAsync(HostId host, HostFacts facts, bool again, CancellationToken cancel)
    {
        var incomplete = again;
        var asleep = (await hosts.ListAsync()).Where(h => h.State == HostState.Standby).Select(h => h.Id).ToHashSet();
        var all = await hosts.SharesAsync();
        var (mine, others) = (all.Where(s => s.Host == host).ToList(), all.Where(s => s.Host != host).ToList());
        var (proved, witnesses) = (new List<PoolShare>(), new List<PoolShare>());
        foreach (var pool in facts.Pools.Where(p => p.Writable).Take(PoolsMax))
        {
            var candidates = others.Where(s => s.Pool == pool.Name).ToList();
            var silent = false;
            // One that is off proves itself against the others when it is back.
            var witnessing = candidates.Where(s => !asleep.Contains(s.Host)).ToList();
            var seen = witnessing.Count == 0 ? null
                : await SeenByAsync(host, pool.Name, witnessing, () => silent = true, cancel);
            if (seen is not null) witnesses.Add(seen);
            incomplete |= silent && seen is null; // One that sees it is enough.
            proved.Add(new PoolShare(host, pool.Name, seen?.Share ?? OwnShare(pool.Name, mine, candidates)));
        }
        return await hosts.SaveSharesAsync(host, proved, others, witnesses, incomplete);
    }

    private async Task<PoolShare?> SeenByAsync(
        HostId host, string pool, IReadOnlyList<PoolShare> candidates, Action unanswered, CancellationToken cancel)
    {
        var nonce = randomness.NextHex(16);
        await agents.Of(host).WritePoolNonceAsync(pool, nonce, cancel);
        foreach (var candidate in candidates)
        {
            try
            {
                if (await agents.Of(candidate.Host).SeesPoolNonceAsync(pool, nonce, cancel)) return candidate;
            }
            catch (Exception silent) when (silent is AgentUnreachableException or RefusedException)
            {
                unanswered(); // What cannot be proved now is not shared now; the watcher has it proved again.
            }
        }
        return null;
    }

    /// <summary>Its old name if no other host bears it, so that templates there are still found; else a new one.</summary>
    private string OwnShare(string pool, IReadOnlyList<PoolShare> mine, IReadOnlyList<PoolShare> others)
    {
        var old = mine.FirstOrDefault(s => s.Pool == pool)?.Share;
        return old is not null && others.All(s => s.Share != old) ? old : $"share-{randomness.NextHex(6)}";
    }
}
