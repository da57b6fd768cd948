using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>One QEMU process to be: what the guest is, and what differs from one incarnation to the next.</summary>
public sealed record QemuLaunch
{
    public required VmSpec Spec { get; init; }
    public required VmHome Home { get; init; }
    public required int Incarnation { get; init; }
    /// <summary>The incarnation whose memory file it maps; its own number for new memory.</summary>
    public required int RamOf { get; init; }
    /// <summary>True: it waits for <c>migrate-incoming</c>. It never starts by itself either way.</summary>
    public required bool Incoming { get; init; }
    public required string QemuPath { get; init; }
    /// <summary>One tap for each NIC, in order.</summary>
    public required IReadOnlyList<string> Taps { get; init; }
    /// <summary>Host processors ("0-3"), or null for all.</summary>
    public string? Cpus { get; init; }
    /// <summary>What comes in is a saved state, not a move.</summary>
    public bool LoadsFile { get; init; }
    /// <summary>It is to be thrown away: its disks are opened for reading only.</summary>
    public bool Isolated { get; init; }
    /// <summary>Its memory lies in reserved huge pages, of a size that only the file system knows.</summary>
    public bool OnHugetlbfs { get; init; }
    internal bool StartsStopped { get; init; } = true;
}
