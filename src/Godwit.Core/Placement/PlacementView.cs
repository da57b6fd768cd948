namespace Godwit.Core.Placement;

/// <summary>The cluster at one moment, with what is looked up over and over. Read only.</summary>
public sealed class PlacementView
{
    private readonly Dictionary<HostId, Amounts> used;
    private readonly Dictionary<HostId, PlacementHost> hosts;
    private readonly Dictionary<string, List<PlacementVm>> byTag = new(StringComparer.Ordinal);

    public PlacementView(IReadOnlyList<PlacementHost> hosts, IReadOnlyList<PlacementVm> vms, PlacementPolicy policy)
    {
        (Hosts, Vms, Policy) = (hosts, vms, policy);
        used = hosts.ToDictionary(host => host.Id, host => host.Standing);
        this.hosts = hosts.ToDictionary(host => host.Id);
        foreach (var vm in vms)
        {
            if (vm.Host is { } at && used.TryGetValue(at, out var before)) used[at] = before + vm.Demand;
            foreach (var tag in vm.Tags)
            {
                if (!byTag.TryGetValue(tag, out var tagged)) byTag[tag] = tagged = [];
                tagged.Add(vm);
            }
        }
    }

    public IReadOnlyList<PlacementHost> Hosts { get; }
    public IReadOnlyList<PlacementVm> Vms { get; }
    public PlacementPolicy Policy { get; }

    /// <summary>Throws where the cluster has no such host.</summary>
    public PlacementHost Host(HostId id) => hosts.TryGetValue(id, out var host) ? host
        : throw new RefusedException("host-unknown", $"there is no host {id}", "see 'godwit host list'");

    /// <summary>Null where the cluster has no such host.</summary>
    public PlacementHost? Find(HostId id) => hosts.GetValueOrDefault(id);

    /// <summary>The same, with this VM on that host, whether it was there, elsewhere, or nowhere.</summary>
    public PlacementView With(PlacementVm vm, HostId at) =>
        new(Hosts, [.. Vms.Where(other => other.Id != vm.Id), vm with { Host = at, Heading = null }], Policy);

    /// <summary>What its VMs and itself take.</summary>
    public Amounts Used(HostId host) => used[host];

    public IReadOnlyList<PlacementVm> Tagged(string tag) => byTag.TryGetValue(tag, out var vms) ? vms : [];
}
