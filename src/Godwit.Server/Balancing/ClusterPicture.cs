using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Hosts;
using Godwit.Server.Loads;
using Godwit.Server.Store;
using Godwit.Server.Vms;

namespace Godwit.Server.Balancing;

/// <summary>
/// The cluster as placement and balancing see it: records, and the last half hour's loads. Pure. What nobody may move now (busy,
/// frozen, not measured yet) is there and stays where it is.
/// </summary>
public static class ClusterPicture
{
    public static PlacementView Of(ClusterSnapshot now, PlacementPolicy policy)
    {
        var vms = now.Vms.Where(PlacementStore.HasMemory).ToList();
        var byHost = vms.ToLookup(vm => vm.Owner);
        return new PlacementView(
            [.. now.Rooms.Select(room => HostOf(room, byHost[room.Host.Id], now))], [.. vms.Select(vm => VmOf(vm, now))], policy);
    }

    /// <summary>A VM as it would be placed anew: for rating hosts for one that does not run, too.</summary>
    public static PlacementVm VmOf(Vm vm, ClusterSnapshot now)
    {
        var load = now.LoadOf(vm.Spec.Id);
        return new PlacementVm
        {
            Id = vm.Spec.Id, Name = vm.Spec.Name, Host = PlacementStore.HasMemory(vm) ? vm.Owner : null, Home = vm.Owner,
            Heading = now.Headings.TryGetValue(vm.Spec.Id, out var target) ? target : null,
            Demand = new Amounts(vm.Spec.MemoryBytes + Host.QemuOverheadBytes, vm.Spec.Cpus, load?.CpuToReckonWith ?? 0,
                load?.Now.MemoryBytes ?? 0, load?.HalfHour.NetworkMean ?? 0, load?.HalfHour.DiskMean ?? 0),
            Accelerator = vm.Spec.Accelerator, MachineType = vm.Spec.MachineType, CpuModel = vm.Spec.CpuModel,
            NeedsDisplay = vm.Spec.Display != Display.None,
            Bridges = VmNeeding.Bridges(vm), Pools = VmNeeding.Pools(vm, now.Rooms), PoolsOn = vm.Owner.Value, Tags = vm.Tags,
            Dearness = Math.Pow(2, Math.Min(10, now.Hurts.GetValueOrDefault(vm.Spec.Id))),
            IsPinned = vm.IsPinned
                || (now.PinsUnmeasured && (load is null || vm.State == VmState.Unknown || now.Held.Contains(vm.Spec.Id))),
            RecentMoves =
            [
                .. now.Moves.Where(m => m.Vm == vm.Spec.Id
                        && m is { End: MoveEnd.Done, Mode: MoveMode.Live or MoveMode.Quick or MoveMode.Lazy or MoveMode.Hybrid })
                    .Where(m => m.EndedAt > now.At - now.Lately).OrderBy(m => m.EndedAt)
                    .Select(m => new RecentMove(m.Source, m.EndedAt!.Value)),
            ],
        };
    }

    private static PlacementHost HostOf(HostRoom room, IEnumerable<Vm> there, ClusterSnapshot now)
    {
        var (facts, load) = (room.Host.Facts!, now.LoadOf(room.Host.Id));
        var (promised, cpu) = (0L, 0d);
        foreach (var vm in there)
        {
            promised += vm.Spec.MemoryBytes + Host.QemuOverheadBytes;
            cpu += now.LoadOf(vm.Spec.Id)?.Now.CpuCores ?? 0;
        }
        return new PlacementHost
        {
            Id = room.Host.Id, State = room.Host.State,
            Capacity = new Amounts(Admission.OfferedBytes(facts.MemoryBytes), facts.Cpus, facts.Cpus, facts.MemoryBytes,
                2 * facts.Links.Sum(l => l.SpeedBitsPerSecond) / 8.0), // Both directions.
            // What is promised beside them (moves on their way here), and the host's own work.
            Standing = new Amounts(Math.Max(0, room.PromisedBytes - promised), 0, Math.Max(0, (load?.Now.CpuCores ?? 0) - cpu)),
            Accelerator = facts.Accelerator, AcceleratorReason = facts.AcceleratorReason, Qemus = facts.Qemus, Bridges = facts.Bridges,
            // A pool nobody proved to be shared is no other host's.
            Pools = facts.Pools.ToDictionary(
                pool => pool.Name, pool => room.Shares.GetValueOrDefault(pool.Name) ?? $"{room.Host.Id}'s own"),
            Tags = room.Host.Tags, Endpoint = room.Host.Endpoint, IsDraining = now.Draining.Contains(room.Host.Id),
            JournalHangs = facts.JournalSilentSeconds > 0,
        };
    }
}

/// <summary>All that a plan is made of, as of one moment.</summary>
/// <param name="Moves">The newest ones, ended or not.</param>
/// <param name="Held">VMs something is being done with, or that are frozen.</param>
public sealed record ClusterSnapshot(
    DateTimeOffset At, IReadOnlyList<HostRoom> Rooms, IReadOnlyList<Vm> Vms, IReadOnlyList<Migration> Moves, IReadOnlySet<VmId> Held,
    IReadOnlySet<HostId> Draining, Func<HostId, LoadWindow?> HostLoad, Func<VmId, LoadWindow?> VmLoad)
{
    /// <summary>So far back a VM counts as moved lately.</summary>
    public TimeSpan Lately { get; init; } = TimeSpan.FromHours(1);
    /// <summary>What has not been measured yet stays where it is: so for a plan, not for a person's wish.</summary>
    public bool PinsUnmeasured { get; init; } = true;
    /// <summary>Where moves that go on bring their VMs.</summary>
    public IReadOnlyDictionary<VmId, HostId> Headings { get; } = Moves.Where(m => m.End is null && m.Target != m.Source)
        .DistinctBy(m => m.Vm).ToDictionary(m => m.Vm, m => m.Target);
    /// <summary>How many moves of a VM did not gain but hurt.</summary>
    public IReadOnlyDictionary<VmId, int> Hurts { get; init; } = new Dictionary<VmId, int>();
    public LoadWindow? LoadOf(HostId host) => HostLoad(host);
    public LoadWindow? LoadOf(VmId vm) => VmLoad(vm);
}
