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
    public const string PinnedCode = "vm-pinned";

    /// <param name="overridden">What a person's word sets aside: it is told, and forbids nothing.</param>
    public static PlacementVerdict Judge(
        PlacementView view, PlacementVm vm, PlacementHost host, Overridden overridden = Overridden.None) =>
        new(host.Id, [.. new[]
        {
            State(vm, host), Machine(vm, host), Surroundings(vm, host), Room(view, vm, host), HostRules(view, vm, host),
            CompanyRules(view, vm, host),
        }.SelectMany(reasons => reasons)
            .Select(reason => IsSetAside(reason.Why.Code, overridden) ? reason with { IsHard = false } : reason)]);

    /// <summary>All hosts, the best first; of equals the first by name.</summary>
    public static IReadOnlyList<HostRating> Rate(PlacementView view, PlacementVm vm, Overridden overridden = Overridden.None) =>
        [.. view.Hosts.Select(host => HostRating.Of(view, vm, host, Judge(view, vm, host, overridden)))
            .OrderByDescending(rating => rating.Stars).ThenBy(rating => rating.WorstShare)
            .ThenBy(rating => rating.Host.Value, StringComparer.Ordinal)];

    /// <summary>What speaks against the host whatever else is on it.</summary>
    internal static IEnumerable<PlacementReason> Lasting(PlacementView view, PlacementVm vm, PlacementHost host) =>
        [.. Machine(vm, host), .. Surroundings(vm, host), .. HostRules(view, vm, host)];

    private static bool IsSetAside(string code, Overridden overridden) =>
        (code == PinnedCode && overridden.HasFlag(Overridden.Pin)) || (RuleCheck.IsCode(code) && overridden.HasFlag(Overridden.Rules));

    private static IEnumerable<PlacementReason> State(PlacementVm vm, PlacementHost host)
    {
        if (host.State == HostState.Unreachable)
            yield return Hard("host-unreachable", $"{host.Id} does not answer", "wait for it, or choose another host");
        if (host.State == HostState.Fenced)
            yield return Hard("host-fenced", $"{host.Id} is fenced: it is off, and not yet back", "choose another host");
        if (host.State == HostState.Standby)
            yield return Hard("host-standby", $"{host.Id} is on standby: it is off, to save power",
                $"choose another host, or wake it: 'godwit host wake {host.Id}'");
        if (vm.Host == host.Id) yield break;
        if (host.State == HostState.Cordoned)
            yield return Hard("host-cordoned", $"{host.Id} is cordoned: it takes no new VMs",
                $"choose another host, or 'godwit host uncordon {host.Id}'");
        if (host.IsDraining)
            yield return Hard("host-draining", $"{host.Id} is being drained: VMs leave it", "choose another host, or cancel its drain");
        if (host.JournalHangs)
            yield return Hard("journal-hangs", $"the journal of {host.Id} does not answer: its disk hangs",
                "choose another host, or look at the disk of its agent's state directory");
        if (vm.IsPinned && (vm.Host ?? vm.Home) is { } pinned && pinned != host.Id)
            yield return Hard(PinnedCode, $"{vm.Name} is pinned to {pinned}",
                $"unpin it, if it may move: 'godwit vm set {vm.Name} --unpin'; or name the host it is to go to");
    }

    private static IEnumerable<PlacementReason> Machine(PlacementVm vm, PlacementHost host)
    {
        if (host.Qemus.Count == 0)
        {
            yield return Hard("qemu-missing", $"{host.Id} has no usable QEMU", "install qemu-system-x86 there and restart its agent");
            yield break;
        }
        if (vm.Accelerator is { } accelerator && host.Accelerator != accelerator)
            yield return Hard("accelerator-differs",
                $"the VM runs with {accelerator}, {host.Id} offers {host.Accelerator}: {host.AcceleratorReason}",
                "choose a host with the same accelerator");
        var knowing = host.Qemus.Where(qemu => vm.MachineType is null || qemu.MachineTypes.Contains(vm.MachineType)).ToList();
        if (knowing.Count == 0)
            yield return Hard("machine-type-missing", $"no QEMU of {host.Id} knows machine {vm.MachineType}",
                "install the QEMU version the VM was started with, or a newer one");
        else if (vm.CpuModel is not null && !knowing.Any(qemu => qemu.UsableCpuModels.Contains(vm.CpuModel)))
            yield return Hard("cpu-features-missing", $"{host.Id} does not offer CPU model {vm.CpuModel} in full",
                "choose another host, or restart the VM with the cluster's baseline CPU model");
        else if (vm.NeedsDisplay && !knowing.Any(qemu => qemu.HasDisplay))
            yield return Hard("display-missing", $"{vm.Name} has a display, and no QEMU of {host.Id} can show one",
                "make its agent, or a QEMU built without VNC, newer, or choose another host");
    }

    private static IEnumerable<PlacementReason> Surroundings(PlacementVm vm, PlacementHost host)
    {
        foreach (var (pool, directory) in vm.Pools)
            if (!host.Pools.TryGetValue(pool, out var there))
                yield return Hard("pool-missing", $"{host.Id} has no pool {pool}",
                    $"give its agent --pool {pool}=DIRECTORY, or choose another host");
            else if (directory is not null && directory != there)
                yield return Hard("pool-not-shared",
                    $"pool {pool} of {host.Id} is not the directory the disks lie in ({vm.PoolsOn}'s): tested by a file, not found",
                    $"mount the same directory on both hosts and repeat 'godwit host add {host.Id} --address {host.Endpoint}'; "
                    + "local disks cannot be moved yet");
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
            $"{host.Id} has no room: {Mib(wanted)} MiB are needed (with overhead), {Mib(before)} of {Mib(ceiling)} MiB are promised "
            + "to other VMs and moves",
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

    private static IEnumerable<PlacementReason> CompanyRules(PlacementView view, PlacementVm vm, PlacementHost host) =>
        Against(view, vm, host, rule => rule is PlacementRule.Apart or PlacementRule.Together);

    private static IEnumerable<PlacementReason> HostRules(PlacementView view, PlacementVm vm, PlacementHost host) =>
        Against(view, vm, host, rule => rule is PlacementRule.OnHosts or PlacementRule.NotOnHosts);

    private static IEnumerable<PlacementReason> Against(
        PlacementView view, PlacementVm vm, PlacementHost host, Func<PlacementRule, bool> isMeant)
    {
        foreach (var rule in view.Policy.Rules)
            if (isMeant(rule) && RuleCheck.Against(rule, view, vm, host) is { } reason) yield return reason;
    }

    private static PlacementReason Hard(string code, string cause, string fix) => new(new(code, cause, fix), true);
    private static PlacementReason Soft(string code, string cause, string fix) => new(new(code, cause, fix), false);
    private static long Mib(double bytes) => (long)bytes >> 20;
}
