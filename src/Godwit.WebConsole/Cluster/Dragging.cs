using Godwit.Client;
using Godwit.Core;
using Godwit.Core.Placement;
using Godwit.Server.Api;

namespace Godwit.WebConsole.Cluster;

/// <summary>What is being dragged, and where it may not go, in the API's own words.</summary>
public sealed class Dragging(IReadOnlyList<string> names, IReadOnlyList<VmView> vms)
{
    /// <summary>Beyond it the first ones speak for all: the check panel asks for every one.</summary>
    private const int AskedMax = 12;

    private readonly Dictionary<HostId, string> refused = vms.Where(vm => names.Contains(vm.Spec.Name)).Select(vm => vm.Owner).Distinct()
        .Where(owner => vms.Where(vm => names.Contains(vm.Spec.Name)).All(vm => vm.Owner == owner))
        .ToDictionary(owner => owner, _ => names.Count == 1 ? "It is here now" : "They are here now");

    public IReadOnlyList<string> Names => names;

    /// <summary>Null: nothing is known that speaks against it.</summary>
    public string? RefusedAt(HostId host) => refused.GetValueOrDefault(host);

    public async Task AskAsync(GodwitApi api, CancellationToken cancel)
    {
        foreach (var name in names.Take(AskedMax))
            foreach (var rating in await api.RateHostsAsync(name, cancel))
                if (!rating.Verdict.IsAllowed) refused.TryAdd(rating.Host, Why(rating, name));
    }

    private string Why(HostRating rating, string name)
    {
        var why = rating.Verdict.Reasons.First(reason => reason.IsHard).Why.Cause;
        return names.Count == 1 ? why : $"{name}: {why}";
    }
}
