using Godwit.Core.Placement;

namespace Godwit.Core.Power;

/// <summary>A VM that found no host with room for it, some minutes ago at most.</summary>
public sealed record RoomNeed(PlacementVm Vm, DateTimeOffset At);

/// <summary>All that is decided by, as of one moment. Read only.</summary>
public sealed record PowerPicture
{
    public required DateTimeOffset Now { get; init; }
    /// <summary>All hosts, those on standby too, and the VMs that have memory somewhere.</summary>
    public required PlacementView View { get; init; }
    /// <summary>VMs that have none, by their owner (<see cref="PlacementVm.Home"/>): they leave a host that is turned off, too.</summary>
    public IReadOnlyList<PlacementVm> Idle { get; init; } = [];
    public required IReadOnlyDictionary<HostId, HostPower> Powers { get; init; }
    public required ClusterForecast Forecast { get; init; }
    /// <summary>VMs that are started again elsewhere where their host dies, and how many hosts may die together.</summary>
    public IReadOnlySet<VmId> Restarted { get; init; } = new HashSet<VmId>();
    public int SpareHosts { get; init; }
    public IReadOnlyList<RoomNeed> Needs { get; init; } = [];
    /// <summary>Hosts that nobody may turn off now, and why: a VM that cannot leave, a recovery that goes on.</summary>
    public IReadOnlyDictionary<HostId, string> Held { get; init; } = new Dictionary<HostId, string>();
    /// <summary>How long hosts have not answered; one that is not here has just begun to be silent.</summary>
    public IReadOnlyDictionary<HostId, TimeSpan> SilentFor { get; init; } = new Dictionary<HostId, TimeSpan>();
    /// <summary>Hosts whose VMs are being started elsewhere.</summary>
    public IReadOnlySet<HostId> Recovering { get; init; } = new HashSet<HostId>();
    /// <summary>Directories, by pool and share, that hold something for all: templates.</summary>
    public IReadOnlySet<(string Pool, string Directory)> Kept { get; init; } = new HashSet<(string, string)>();
    /// <summary>When a host's certificate is to be renewed, where it has one.</summary>
    public IReadOnlyDictionary<HostId, DateTimeOffset> RenewAt { get; init; } = new Dictionary<HostId, DateTimeOffset>();

    public HostPower PowerOf(HostId host) => Powers.GetValueOrDefault(host) ?? new HostPower();
}

public enum PowerAct
{
    Standby,
    Wake,
}

/// <summary>One host to be turned off or on, and why.</summary>
/// <param name="Vms">Standby: who would leave, and where to; the drain chooses again when it begins each move.</param>
/// <param name="Bytes">Standby: memory that crosses the link at least once.</param>
/// <param name="Watts">Standby: what is saved.</param>
public sealed record PowerAdvice(
    PowerAct Act, HostId Host, string Reason, IReadOnlyList<PowerMove> Vms, double Bytes = 0, double Watts = 0)
{
    /// <summary>The same for the same wish: a person applies or dismisses it by this.</summary>
    public string Id => $"{(Act == PowerAct.Wake ? "wake" : "standby")}-{Host}";
}

public readonly record struct PowerMove(VmId Vm, string VmName, HostId To);

/// <param name="Stays">Hosts that are on and could not be turned off, and why.</param>
/// <param name="ExpectedCores">Processors' worth that all VMs are to be reckoned with now.</param>
/// <param name="OnCores">Processors of the hosts that are on and take VMs.</param>
public sealed record PowerPlan(
    IReadOnlyList<PowerAdvice> Advices, IReadOnlyList<PowerStay> Stays, double ExpectedCores, double OnCores);

public readonly record struct PowerStay(HostId Host, string Why);
