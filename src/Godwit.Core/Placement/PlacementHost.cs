using Godwit.Core.Hosts;
using Godwit.Core.Vms;

namespace Godwit.Core.Placement;

/// <summary>A host as one that might take a VM.</summary>
public sealed record PlacementHost
{
    public required HostId Id { get; init; }
    public required HostState State { get; init; }
    /// <summary>Memory: what may be promised to guests (<see cref="Admission.OfferedBytes"/>). 0 is "not known".</summary>
    public required Amounts Capacity { get; init; }
    /// <summary>What is taken beside the VMs named: the host's own work, reservations of moves under way.</summary>
    public Amounts Standing { get; init; }
    public Accelerator Accelerator { get; init; }
    public string AcceleratorReason { get; init; } = "";
    public IReadOnlyList<QemuBinary> Qemus { get; init; } = [];
    public IReadOnlyList<string> Bridges { get; init; } = [];
    /// <summary>Directories its pools are, by the pool's name: the same text on another host is the same directory.</summary>
    public IReadOnlyDictionary<string, string> Pools { get; init; } = new Dictionary<string, string>();
    public IReadOnlyList<string> Tags { get; init; } = [];
    /// <summary>Where its agent listens: only for sentences.</summary>
    public string Endpoint { get; init; } = "";
    /// <summary>VMs are to leave it: it takes none, whatever its state says.</summary>
    public bool IsDraining { get; init; }
    /// <summary>The disk of its agent's records does not answer: nothing can begin there.</summary>
    public bool JournalHangs { get; init; }
}

/// <summary>A VM as something that has to be somewhere.</summary>
public sealed record PlacementVm
{
    public required VmId Id { get; init; }
    public required string Name { get; init; }
    /// <summary>Where it runs; null for one that is to be started.</summary>
    public HostId? Host { get; init; }
    /// <summary>Whose it is while nothing of it runs.</summary>
    public HostId? Home { get; init; }
    /// <summary>Where a move that goes on brings it: it counts as there, too.</summary>
    public HostId? Heading { get; init; }
    /// <summary>Memory with overhead; of the rest a high percentile of the recent window, not the last sample.</summary>
    public required Amounts Demand { get; init; }
    /// <summary>Null asks for none.</summary>
    public Accelerator? Accelerator { get; init; }
    /// <summary>Null asks for none.</summary>
    public string? MachineType { get; init; }
    public string? CpuModel { get; init; }
    public bool NeedsDisplay { get; init; }
    public IReadOnlyList<string> Bridges { get; init; } = [];
    /// <summary>Directory each pool must be, by the pool's name; null where any of that name will do.</summary>
    public IReadOnlyDictionary<string, string?> Pools { get; init; } = new Dictionary<string, string?>();
    /// <summary>A host that has these directories: only for sentences.</summary>
    public string PoolsOn { get; init; } = "";
    public IReadOnlyList<string> Tags { get; init; } = [];
    /// <summary>Stays where it is, until a person moves it.</summary>
    public bool IsPinned { get; init; }
    /// <summary>Memory the guest changes, bytes a second; what a live move has to catch up with.</summary>
    public double DirtyBytesPerSecond { get; init; }
    /// <summary>How many times what is computed a move of it costs: more where moves of it did not gain what they promised.</summary>
    public double Dearness { get; init; } = 1;
    /// <summary>Moves of the last hour, newest last.</summary>
    public IReadOnlyList<RecentMove> RecentMoves { get; init; } = [];
}

/// <param name="From">The host it left then.</param>
public readonly record struct RecentMove(HostId From, DateTimeOffset At);

/// <summary>How much of a host may be used, the same for every way a VM comes to a host.</summary>
public sealed record PlacementPolicy
{
    /// <summary>Promised memory for each byte that may be promised; 1 lends none twice.</summary>
    public double MemoryOvercommit { get; init; } = 1;
    /// <summary>Virtual processors for each real one.</summary>
    public double VcpuOvercommit { get; init; } = 8;
    /// <summary>Share of a host's processors, network and disk that VMs may come to use: the rest is for peaks and for moves.</summary>
    public double LoadCeiling { get; init; } = 0.85;
    /// <summary>Share of the memory that is kept free for the VMs of hosts that die; only a warning for a person.</summary>
    public double SpareMemory { get; init; } = 0.05;
    /// <summary>Written down one by one, not with the policy.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public IReadOnlyList<PlacementRule> Rules { get; init; } = [];

    /// <summary>How much of the capacity may be promised or used; infinite where the capacity is not known.</summary>
    public double Ceiling(Resource resource, double capacity) => capacity <= 0 ? double.PositiveInfinity : capacity * resource switch
    {
        Resource.Memory => MemoryOvercommit,
        Resource.Vcpus => VcpuOvercommit,
        Resource.MemoryActive => 1,
        _ => LoadCeiling,
    };
}
