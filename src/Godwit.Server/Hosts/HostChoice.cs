using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Vms;
using Godwit.Server.Store;

namespace Godwit.Server.Hosts;

/// <summary>Which host takes a VM, and why not the others. Pure.</summary>
public static class HostChoice
{
    /// <summary>The host with most room left that can take it; or each host's first reason why not.</summary>
    public static (HostId? Host, IReadOnlyList<Refusal> Reasons) Best(IReadOnlyList<HostRoom> hosts, VmNeeds needs)
    {
        if (hosts.Count == 0)
            return (null, [new("no-hosts", "the cluster has no host to put it on", "let one join: 'godwit host token'")]);
        var judged = hosts.Select(room => (room, reason: WhyNot(room, needs).FirstOrDefault())).ToList();
        var best = judged.Where(j => j.reason is null).Select(j => j.room)
            .OrderByDescending(room => room.FreeBytes).ThenBy(room => room.Host.Id.Value, StringComparer.Ordinal).FirstOrDefault();
        return best is not null ? (best.Host.Id, []) : (null, [.. judged.Select(j => j.reason!)]);
    }

    /// <summary>Every reason why this host cannot take it; empty if it can.</summary>
    public static IEnumerable<Refusal> WhyNot(HostRoom room, VmNeeds needs)
    {
        var (host, facts) = (room.Host, room.Host.Facts!);
        if (host.State == HostState.Unreachable)
            yield return new("host-unreachable", $"{host.Id} does not answer", "wait for it, or choose another host");
        if (host.State == HostState.Fenced)
            yield return new("host-fenced", $"{host.Id} is fenced: it is off, and not yet back", "choose another host");
        if (host.State == HostState.Cordoned)
            yield return new("host-cordoned", $"{host.Id} is cordoned: it takes no new VMs",
                $"choose another host, or 'godwit host uncordon {host.Id}'");
        if (facts.Qemus.Count == 0)
            yield return new("qemu-missing", $"{host.Id} has no usable QEMU",
                "install qemu-system-x86 there and restart its agent");
        if (needs.Accelerator is { } accelerator && facts.Accelerator != accelerator)
            yield return new("accelerator-differs",
                $"the VM runs with {accelerator}, {host.Id} offers {facts.Accelerator}: {facts.AcceleratorReason}",
                "choose a host with the same accelerator");
        foreach (var pool in needs.Pools)
            if (PoolMissing(room, pool) is { } missing) yield return missing;
        foreach (var bridge in needs.Bridges.Where(bridge => !facts.Bridges.Contains(bridge)))
            yield return new("bridge-missing", $"{host.Id} has no bridge {bridge}",
                $"create it: ip link add {bridge} type bridge, with its uplink");
        var wanted = needs.MemoryBytes + Host.QemuOverheadBytes;
        if (Admission.Check(host.Id, facts.MemoryBytes, room.PromisedBytes, wanted) is { } full) yield return full;
    }

    public static Refusal? PoolMissing(HostRoom room, NeededPool pool)
    {
        if (room.Host.Facts!.Pools.All(p => p.Name != pool.Name))
            return new("pool-missing", $"{room.Host.Id} has no pool {pool.Name}",
                $"give its agent --pool {pool.Name}=DIRECTORY, or choose another host");
        if (pool.Share is not null && room.Shares.GetValueOrDefault(pool.Name) != pool.Share)
            return new("pool-not-shared",
                $"pool {pool.Name} of {room.Host.Id} is not the directory the disks lie in ({pool.On}'s): tested by a file, not found",
                $"mount the same directory on both hosts and repeat 'godwit host add {room.Host.Id} --address {room.Host.Endpoint}'; "
                + "local disks cannot be moved yet");
        return null;
    }
}

/// <param name="Shares">Share of each pool of this host by the pool's name.</param>
public sealed record HostRoom(Host Host, long PromisedBytes, int Vms, IReadOnlyDictionary<string, string> Shares)
{
    public long FreeBytes => Admission.OfferedBytes(Host.Facts!.MemoryBytes) - PromisedBytes;
}

/// <param name="Share">The directory it must be; null where any of this name will do.</param>
/// <param name="On">A host that has that directory, for the sentence.</param>
public sealed record NeededPool(string Name, string? Share, string On);

public sealed record VmNeeds(
    long MemoryBytes, IReadOnlyList<NeededPool> Pools, IReadOnlyList<string> Bridges, Accelerator? Accelerator);
