namespace Godwit.Core.Vms;

/// <summary>A state of all disks of a VM, kept inside the disks' own files: it goes wherever they go.</summary>
/// <param name="Tag">Its name in the files: <see cref="SnapshotRules.TagOf"/>.</param>
public sealed record VmSnapshot(string Name, string Tag, DateTimeOffset CreatedAt)
{
    /// <summary>Who asked for it; null where nobody wrote that down.</summary>
    public string? By { get; init; }
    /// <summary>That person's words.</summary>
    public string? Note { get; init; }
    /// <summary>False while it is being made, and where that broke off: then nobody knows what of it is there.</summary>
    public bool IsWhole { get; init; }
    /// <summary>Made while the guest ran: its disk is as a power cut at that moment would have left it.</summary>
    public bool IsCrashConsistent { get; init; }
}
