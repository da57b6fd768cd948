namespace Godwit.Agent.Machines;

/// <summary>Where this host keeps what is Godwit's, and which QEMUs it may use. From the agent's options.</summary>
public sealed record HostLayout
{
    /// <summary>On tmpfs or hugetlbfs: guest RAM lies here. Short: socket paths of 107 bytes must fit below it.</summary>
    public required string RunDirectory { get; init; }
    /// <summary>On a disk that survives a power cut: owner records and journals.</summary>
    public required string StateDirectory { get; init; }
    public required IReadOnlyDictionary<string, PoolPlace> Pools { get; init; }
    /// <summary>Absolute paths; the first is used where nobody asks for another.</summary>
    public required IReadOnlyList<string> QemuPaths { get; init; }
    /// <summary>Other hosts of the cluster are on this machine (a lab): of its load only what the VMs here take is this one's.</summary>
    public bool SharesMachine { get; init; }
}

/// <param name="DirectIo">
/// True where the file system takes O_DIRECT: then QEMU bypasses the host's page cache, which a pool shared between
/// hosts needs (the target must not read what its own cache remembers).
/// </param>
public sealed record PoolPlace(string Directory, bool DirectIo);
