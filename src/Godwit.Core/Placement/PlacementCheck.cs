using Godwit.Core.Hosts;

namespace Godwit.Core.Placement;

/// <param name="IsHard">False for a wish that is not kept, or a reserve that is used: a person may still choose the host.</param>
public sealed record PlacementReason(Refusal Why, bool IsHard);

/// <summary>May it be there: every reason at once.</summary>
public sealed record PlacementVerdict(HostId Host, IReadOnlyList<PlacementReason> Reasons)
{
    public bool IsAllowed => Reasons.All(reason => !reason.IsHard);
}

/// <summary>
/// The one place that says whether a VM may be on a host: for starting, moving, draining, balancing and restarting alike.
/// Where it already is, what is broken there is told too, so that it can be mended. Pure.
/// </summary>
public static class PlacementCheck
{
    public static PlacementVerdict Judge(PlacementView view, PlacementVm vm, PlacementHost host) =>
        new(host.Id, [.. State(vm, host), .. Machine(vm, host), .. Surroundings(vm, host), .. Room(view, vm, host),
            .. HostRules(view, vm, host), .. CompanyRules(view, vm, host)]);

    /// <summary>All hosts, the best first; of equals the first by name.</summary>
    public static IReadOnlyList<HostRating> Rate(PlacementView view, PlacementVm vm) =>
        [.. view.Hosts.Select(host => HostRating.Of(view, vm, host, Judge(view, vm, host)))
            .OrderByDescending(rating => rating.Stars).ThenBy(rating => rating.WorstShare)
            .ThenBy(rating => rating.Host.Value, StringComparer.Ordinal)];

    /// <summary>What speaks against the host whatever else is on it.</summary>
    internal static IEnumerable<PlacementReason> Lasting(PlacementView view, PlacementVm vm, PlacementHost host) =>
        [.. Machine(vm, host), .. Surroundings(vm, host), .. HostRules(view, vm, host)];

    private static IEnumerable<PlacementReason> State(PlacementVm vm, PlacementHost host)
    {
        if (host.State == HostState.Unreachable)
            yield return Hard("host-unreachable", $"{host.Id} does not answer", "wait for it, or choose another host");
        if (vm.Host == host.Id) yield break;
        if (host.State == HostState.Cordoned)
            yield return Hard("host-cordoned", $"{host.Id} is cordoned: it takes no new VMs",
                $"choose another host, or 'godwit host uncordon {host.Id}'");
        if (host.IsDraining)
            yield return Hard("host-draining", $"{host.Id} is being drained: VMs leave it", "choose another host, or cancel its drain");
        if (vm.IsPinned && vm.Host is { } pinned)
            yield return Hard("vm-pinned", $"{vm.Name} is pinned to {pinned}", "unpin it first, if it may move");
    }

    private static IEnumerable<PlacementReason> Machine(PlacementVm vm, PlacementHost host)
    {
        if (host.Qemus.Count == 0)
        {
            yield return Hard("qemu-missing", $"{host.Id} has no usable QEMU", "install qemu-system-x86 there and restart its agent");
            yield break;
        }
        if (host.Accelerator != vm.Accelerator)
            yield return Hard("accelerator-differs",
                $"the VM runs with {vm.Accelerator}, {host.Id} offers {host.Accelerator}: {host.AcceleratorReason}",
                "choose a host with the same accelerator");
        var knowing = host.Qemus.Where(qemu => vm.MachineType is null || qemu.MachineTypes.Contains(vm.MachineType)).ToList();
        if (knowing.Count == 0)
            yield return Hard("machine-type-missing", $"no QEMU of {host.Id} knows machine {vm.MachineType}",
                "install the QEMU version the VM was started with, or a newer one");
        else if (vm.CpuModel is not null && !knowing.Any(qemu => qemu.UsableCpuModels.Contains(vm.CpuModel)))
            yield return Hard("cpu-features-missing", $"{host.Id} does not offer CPU model {vm.CpuModel} in full",
                "choose another host, or restart the VM with the cluster's baseline CPU model");
    }

    private static IEnumerable<PlacementReason> Surroundings(PlacementVm vm, PlacementHost host)
    {
        foreach (var (pool, directory) in vm.Pools)
            if (!host.Pools.TryGetValue(pool, out var there))
                yield return Hard("pool-missing", $"{host.Id} has no pool {pool}",
                    $"give its agent --pool {pool}=DIRECTORY, or choose another host");
            else if (directory is not null && directory != there)
                yield return Hard("pool-not-shared", $"pool {pool} of {host.Id} is not the directory the disks of {vm.Name} lie in",
                    "mount the same directory on both hosts; local disks cannot be moved yet");
        foreach (var bridge in vm.Bridges.Where(bridge => !host.Bridges.Contains(bridge)))
            yield return Hard("bridge-missing", $"{host.Id} has no bridge {bridge}",
                $"create it: ip link add {bridge} type bridge, with its uplink");
    }

    private static IEnumerable<PlacementReason> Room(PlacementView view, PlacementVm vm, PlacementHost host)
    {
        var before = view.Used(host.Id) - (vm.Host == host.Id ? vm.Demand : default);
        foreach (var resource in Enum.GetValues<Resource>())
        {
            var (ceiling, after) = (view.Policy.Ceiling(resource, host.Capacity[resource]), before[resource] + vm.Demand[resource]);
            if (vm.Demand[resource] > 0 && after > ceiling)
                yield return Short(resource, host, before[resource], vm.Demand[resource], ceiling);
        }
        if (vm.Demand.Vcpus > host.Capacity.Vcpus)
            yield return Soft("vcpus-exceed-host", $"{vm.Name} has {vm.Demand.Vcpus:0} vCPUs, {host.Id} {host.Capacity.Vcpus:0} processors",
                "choose a larger host: its vCPUs will wait for each other here");
        var (memoryCeiling, memoryAfter) =
            (view.Policy.Ceiling(Resource.Memory, host.Capacity.MemoryBytes), before.MemoryBytes + vm.Demand.MemoryBytes);
        var kept = memoryCeiling * (1 - view.Policy.SpareMemory);
        if (memoryAfter > kept && memoryAfter <= memoryCeiling)
            yield return Soft("reserve-used",
                $"{Mib(memoryCeiling - memoryAfter)} MiB would be left on {host.Id}, {Mib(memoryCeiling - kept)} are kept for restarts",
                "choose another host, or move something away later");
    }

    private static PlacementReason Short(Resource resource, PlacementHost host, double before, double wanted, double ceiling) =>
        resource switch
    {
        Resource.Memory => Hard("memory-short",
            $"{host.Id} has no room: {Mib(wanted)} MiB are needed (with overhead), {Mib(before)} of {Mib(ceiling)} MiB are promised",
            $"move something away from {host.Id} first, or choose another host: 'godwit host list'"),
        Resource.Vcpus => Hard("vcpus-overcommitted",
            $"{host.Id} would have {before + wanted:0} vCPUs, its {host.Capacity.Vcpus:0} processors allow {ceiling:0}",
            "choose another host, or allow more in the policy"),
        // Load can be borne for a while, memory cannot: a person may decide so, a plan never does.
        _ => Soft(resource == Resource.Cpu ? "cpu-busy" : resource == Resource.Network ? "network-busy"
                : resource == Resource.Disk ? "disk-busy" : "memory-pressed",
            $"{host.Id} would bear {Text(resource, before + wanted)}, its ceiling is {Text(resource, ceiling)}",
            "choose a host with more room"),
    };

    private static string Text(Resource resource, double amount) =>
        resource == Resource.Cpu ? $"{amount:0.0} cores" : $"{Mib(amount)} MiB{(resource == Resource.MemoryActive ? "" : "/s")}";

    private static IEnumerable<PlacementReason> CompanyRules(PlacementView view, PlacementVm vm, PlacementHost host)
    {
        foreach (var rule in view.Policy.Rules.Where(rule => vm.Tags.Contains(rule.VmTag)))
        {
            var others = view.Tagged(rule.VmTag).Where(other => other.Id != vm.Id && other.Host is not null);
            if (rule is PlacementRule.Apart && others.FirstOrDefault(other => other.Host == host.Id) is { } near)
                yield return new(new("rule-apart", $"{near.Name} is on {host.Id}, and rule {rule.Name} keeps it apart from {vm.Name}",
                    $"choose a host without a VM tagged {rule.VmTag}"), rule.IsHard);
            if (rule is PlacementRule.Together && others.FirstOrDefault(other => other.Host != host.Id) is { } far)
                yield return new(new("rule-together", $"{far.Name} is on {far.Host}, and rule {rule.Name} keeps it together with {vm.Name}",
                    $"choose {far.Host}, or move all VMs tagged {rule.VmTag}"), rule.IsHard);
        }
    }

    private static IEnumerable<PlacementReason> HostRules(PlacementView view, PlacementVm vm, PlacementHost host)
    {
        foreach (var rule in view.Policy.Rules.Where(rule => vm.Tags.Contains(rule.VmTag)))
        {
            if (rule is PlacementRule.OnHosts on && !host.Tags.Contains(on.HostTag))
                yield return new(new("rule-host", $"rule {rule.Name} keeps {vm.Name} on hosts tagged {on.HostTag}; {host.Id} is not",
                    $"choose a host tagged {on.HostTag}"), rule.IsHard);
            if (rule is PlacementRule.NotOnHosts off && host.Tags.Contains(off.HostTag))
                yield return new(new("rule-host", $"rule {rule.Name} keeps {vm.Name} off hosts tagged {off.HostTag}; {host.Id} is",
                    $"choose a host without the tag {off.HostTag}"), rule.IsHard);
        }
    }

    private static PlacementReason Hard(string code, string cause, string fix) => new(new(code, cause, fix), true);
    private static PlacementReason Soft(string code, string cause, string fix) => new(new(code, cause, fix), false);
    private static long Mib(double bytes) => (long)bytes >> 20;
}
