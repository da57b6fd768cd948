namespace Godwit.Server.Templates;

/// <summary>A disk image, by its content, that VMs are cloned from. It never changes.</summary>
public sealed record Template
{
    public required string Name { get; init; }
    public required string Pool { get; init; }
    /// <summary>Which directory: pools of one name may be different directories on different hosts.</summary>
    public required string Share { get; init; }
    public required string File { get; init; }
    public required string Format { get; init; }
    public required string Sha256 { get; init; }
    public required long VirtualBytes { get; init; }
    public required long FileBytes { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    /// <summary>VMs that read from it, as counted when it was read.</summary>
    public int Clones { get; init; }
}
