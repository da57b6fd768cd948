namespace Godwit.Core.Hosts;

/// <summary>What a host is and has, as its agent found it: nothing here is typed in by a person.</summary>
public sealed record HostFacts
{
    public required string AgentVersion { get; init; }
    public required string KernelVersion { get; init; }
    public required int Cpus { get; init; }
    public required string CpuModelName { get; init; }
    public required IReadOnlyList<string> CpuFlags { get; init; }
    public required Godwit.Core.Vms.Accelerator Accelerator { get; init; }
    /// <summary>One sentence: why this accelerator (for instance "TCG: no vmx or svm in /proc/cpuinfo").</summary>
    public required string AcceleratorReason { get; init; }
    public required IReadOnlyList<QemuBinary> Qemus { get; init; }
    public required long MemoryBytes { get; init; }
    public required long MemoryAvailableBytes { get; init; }
    /// <summary>Space for guest RAM: free bytes of the file system that holds the RAM files.</summary>
    public required long RamFileSpaceBytes { get; init; }
    public required IReadOnlyList<string> Bridges { get; init; }
    public required IReadOnlyList<PoolFacts> Pools { get; init; }
    public required IReadOnlyList<LinkFacts> Links { get; init; }
    /// <summary>The host's wall clock when it answered.</summary>
    public required DateTimeOffset Clock { get; init; }
    /// <summary>What works only in part on this host, one sentence each: no cgroup v2, RAM files not on tmpfs …</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
    /// <summary>Null where the agent has none to show: a simulated one, or one of an older version.</summary>
    public CertificateFacts? Certificate { get; init; }
    /// <summary>Null where the agent was started without one.</summary>
    public Fencing.WatchdogFacts? Watchdog { get; init; }
    /// <summary>
    /// So long a write of the agent's own records has waited for the disk; 0 while it answers as a disk does. Where it hangs, no
    /// move can be written down: the host takes and gives no VM.
    /// </summary>
    public double JournalSilentSeconds { get; init; }
}

/// <param name="DenyList">Digest of the list of denied hosts the agent holds to; empty for none.</param>
public sealed record CertificateFacts(DateTimeOffset NotBefore, DateTimeOffset NotAfter, string DenyList)
{
    [System.Text.Json.Serialization.JsonIgnore]
    public Identity.CertificateLife Life => new(NotBefore, NotAfter);
}

/// <param name="UsableCpuModels">Models whose features this host offers in full with its accelerator.</param>
/// <param name="HasDisplay">It speaks VNC. False, too, where the agent is of a version that knows no displays.</param>
public sealed record QemuBinary(
    string Path, string Version, IReadOnlyList<string> MachineTypes, IReadOnlyList<string> UsableCpuModels, bool HasDisplay = false);

public sealed record PoolFacts(string Name, string Path, long SizeBytes, long FreeBytes, bool Writable);

/// <param name="SpeedBitsPerSecond">What the kernel says, 0 where it does not know (veth, virtual).</param>
public sealed record LinkFacts(string Interface, string Address, long SpeedBitsPerSecond, int Mtu);

/// <summary>The server's record of a host.</summary>
public sealed record Host
{
    public required HostId Id { get; init; }
    /// <summary>Where its agent listens for the server: <c>address:port</c>.</summary>
    public required string Endpoint { get; init; }
    public required HostState State { get; init; }
    /// <summary>Its agent answered the last question: what runs there is known.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool Answers => State is HostState.Ready or HostState.Cordoned;
    public HostFacts? Facts { get; init; }
    /// <summary>Not asked yet, or a host that was to be asked did not answer: it may share more pools than is known.</summary>
    public bool PoolsUnproved { get; init; }
    /// <summary>Name of the hook that turns it off, or <see cref="Fencing.WatchdogRules.FenceName"/>; null: none.</summary>
    public string? Fence { get; init; }
    /// <summary>While its own watchdog is its fence: what is known of that; null: not armed yet.</summary>
    public Fencing.WatchdogNote? Watchdog { get; init; }
    /// <summary>Words that placement rules know it by.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];
    /// <summary>How it is turned off and on, and where it is between the two.</summary>
    public Power.HostPower Power { get; init; } = new();
    /// <summary>What QEMU and the agent need beside the guest's RAM; counted in every admission.</summary>
    public const long QemuOverheadBytes = 256L << 20;
}

public enum HostState
{
    Ready,
    /// <summary>Takes no new VMs; what runs goes on.</summary>
    Cordoned,
    /// <summary>Its agent does not answer. Its VMs are unknown, not dead.</summary>
    Unreachable,
    /// <summary>Proved to be off, and not yet back: what it ran may run elsewhere by now, so nothing is asked of it.</summary>
    Fenced,
    /// <summary>Turned off on purpose, or on its way there or back: it holds no VM, and its silence is no news.</summary>
    Standby,
}
