using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Inventory;

namespace Godwit.Server.Agents;

/// <summary>
/// What each host said last of the epochs it knows. In memory: it is asked anew every few seconds, and at each start
/// before anything else.
/// </summary>
public sealed class KnownEpochs
{
    private readonly ConcurrentDictionary<HostId, Dictionary<VmId, VmEpoch>> _hosts = new();

    /// <summary>Replaces what the host said before.</summary>
    public void Take(HostId host, IReadOnlyList<VmEpoch> epochs) =>
        _hosts[host] = epochs.GroupBy(e => e.Vm).ToDictionary(g => g.Key, g => g.MaxBy(e => (e.Epoch.Value, e.IsOwner)));

    public void Forget(HostId host) => _hosts.TryRemove(host, out _);

    public IEnumerable<(HostId Host, VmEpoch Known)> Of(VmId vm)
    {
        foreach (var (host, epochs) in _hosts)
            if (epochs.TryGetValue(vm, out var known)) yield return (host, known);
    }
}
