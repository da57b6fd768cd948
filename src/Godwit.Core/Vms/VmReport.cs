namespace Godwit.Core.Vms;

/// <summary>What a host says of one VM it knows: hosts win over the server's record.</summary>
public sealed record VmReport
{
    public required VmSpec Spec { get; init; }
    public required Epoch Epoch { get; init; }
    public required VmState State { get; init; }
    /// <summary>True where this host holds the token; false for a candidate (incoming) or a released copy.</summary>
    public required bool IsOwner { get; init; }
    public int? QemuPid { get; init; }
    public string? QemuVersion { get; init; }
    public string? Note { get; init; }
    /// <summary>QEMU stopped the guest, which is wanted to run, because a disk of it failed or is full.</summary>
    public bool StorageFailed { get; init; }
}
