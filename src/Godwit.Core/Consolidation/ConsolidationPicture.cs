namespace Godwit.Core.Consolidation;

/// <summary>
/// A cluster as consolidation sees it: hosts and VMs by number, loads of the recent past. Processing is in any one unit. Read only.
/// </summary>
public sealed class ConsolidationPicture
{
    public required double NowSeconds { get; init; }
    public required double[] HostCpu { get; init; }
    /// <summary>More than this a VM of one processor cannot have.</summary>
    public required double[] HostCore { get; init; }
    /// <summary><see cref="double.PositiveInfinity"/> where memory is not to be asked for.</summary>
    public required double[] HostMemoryBytes { get; init; }
    /// <summary>Power at no load and at full load.</summary>
    public required double[] IdleWatts { get; init; }
    public required double[] FullWatts { get; init; }
    /// <summary>Hosts that take no VM: cordoned, drained, silent.</summary>
    public required bool[] IsClosed { get; init; }
    /// <summary>When the host took a VM last; negative infinity for never.</summary>
    public required double[] TookAt { get; init; }

    /// <summary>−1 for a VM that is not to be counted.</summary>
    public required int[] HostOf { get; init; }
    public required double[] VmMemoryBytes { get; init; }
    /// <summary>VMs that stay: pinned, on the move.</summary>
    public required bool[] IsFixed { get; init; }
    /// <summary>Hosts that the VM left lately and may not go back to.</summary>
    public required IReadOnlyList<int>[] LeftLately { get; init; }
    public required LoadWindows Loads { get; init; }
}
