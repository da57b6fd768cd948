namespace Godwit.Core.Loads;

/// <summary>
/// What a host and its VMs took over a span of time, as the kernel counted it. Rates are means over the span; nothing is
/// estimated, and what the kernel does not tell is null or 0.
/// </summary>
public sealed record HostLoad
{
    public required DateTimeOffset At { get; init; }
    /// <summary>0: the agent has nothing to compare with yet, and the rates say nothing.</summary>
    public required double SpanSeconds { get; init; }
    /// <summary>Processors' worth of work, all of it (1.0 is one processor busy all the time).</summary>
    public required double CpuCores { get; init; }
    /// <summary>Processors' worth that a hypervisor below this host took away.</summary>
    public double StealCores { get; init; }
    /// <summary>Share of time (0 to 1) in which something waited for a processor, by PSI; null where the kernel has none.</summary>
    public double? CpuPressure { get; init; }
    /// <summary>As that, for memory.</summary>
    public double? MemoryPressure { get; init; }
    public required long MemoryUsedBytes { get; init; }
    public IReadOnlyList<LinkLoad> Links { get; init; } = [];
    public IReadOnlyList<VmLoad> Vms { get; init; } = [];
    /// <summary>Null: an agent of the version before.</summary>
    public AgentCounts? Agent { get; init; }
}

public sealed record LinkLoad(string Interface, long ReceivedBytesPerSecond, long SentBytesPerSecond);

/// <param name="CpuCores">Of all its QEMU's threads.</param>
/// <param name="WaitCores">Processors' worth its threads waited for, ready to run: with <paramref name="CpuCores"/> what it would
/// have taken (vSphere's "CPU ready").</param>
/// <param name="MemoryTouchedBytes">Guest memory that was ever touched and so is in the host's memory.</param>
/// <param name="NetworkBytesPerSecond">Both directions.</param>
/// <param name="DiskBytesPerSecond">Read and written, past the host's cache.</param>
/// <param name="DirtyBytesPerSecond">Memory written anew, of the newest look into it; 0 where there was none in the last minutes.</param>
public readonly record struct VmLoad(
    VmId Vm, double CpuCores, double WaitCores, long MemoryTouchedBytes, long NetworkBytesPerSecond, long DiskBytesPerSecond,
    long DirtyBytesPerSecond = 0);
