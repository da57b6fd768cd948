using System.Security.Cryptography;
using Godwit.Core;

namespace Godwit.Agent.Images;

/// <summary>What came out of looking into an image. There is no third way out: not even for random bytes.</summary>
public abstract record ImageVerdict
{
    private ImageVerdict() { }

    public sealed record Taken(InspectedImage Image) : ImageVerdict;

    /// <param name="Reasons">All that were found, at least one.</param>
    public sealed record Refused(IReadOnlyList<Refusal> Reasons) : ImageVerdict;
}

/// <summary>An image that names no other file and whose tables lie inside it.</summary>
public sealed record InspectedImage
{
    public required ImageFormat Format { get; init; }
    /// <summary>For people: <c>qcow2 version 3</c>, <c>OVA with VMDK streamOptimized</c>.</summary>
    public required string Kind { get; init; }
    /// <summary>The disk size the guest would see, as the image says it.</summary>
    public required long VirtualBytes { get; init; }
    public required DiskPlace Disk { get; init; }
    /// <summary>What an archive's manifest says of its files; to be checked by whoever reads them all.</summary>
    public IReadOnlyList<ClaimedDigest> Digests { get; init; } = [];
}

/// <summary>Where the disk lies in the file: all of it, but for archives.</summary>
public sealed record DiskPlace(ImageFormat Format, long Offset, long Bytes);

/// <param name="Hex">Lower case.</param>
public sealed record ClaimedDigest(string Name, long Offset, long Bytes, HashAlgorithmName Algorithm, string Hex);
