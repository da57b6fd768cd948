using Godwit.Core.Balance.Automatic;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Power;
using Godwit.Core.Vms;

namespace Godwit.Core.Rebuild;

/// <summary>
/// What people have set and no host needs for its own work: rules, policies, tags, marks. Every host keeps the newest copy, so
/// that a store that was lost is made anew with them. No secrets: users and tokens are made anew by hand.
/// </summary>
public sealed record ClusterNotes
{
    public IReadOnlyList<RuleRecord> Rules { get; init; } = [];
    /// <summary>Null where nobody changed it, as of the other three.</summary>
    public PlacementPolicy? Policy { get; init; }
    public BalancerSettings? Balancer { get; init; }
    public PowerSettings? Power { get; init; }
    /// <summary>Only those of which something is to be remembered, as of the next.</summary>
    public IReadOnlyList<HostNote> Hosts { get; init; } = [];
    public IReadOnlyList<VmNote> Vms { get; init; } = [];
    /// <summary>Files whose name a person gave.</summary>
    public IReadOnlyList<TemplateNote> Templates { get; init; } = [];
}

public sealed record HostNote(HostId Host)
{
    public bool IsCordoned { get; init; }
    public string? Fence { get; init; }
    public IReadOnlyList<string> Tags { get; init; } = [];
    /// <summary>Null where it has no hooks and was never turned off.</summary>
    public HostPower? Power { get; init; }
}

public sealed record VmNote(VmId Vm)
{
    public bool Ha { get; init; }
    public IReadOnlyList<string> Tags { get; init; } = [];
    public bool IsPinned { get; init; }
    public int Priority { get; init; }
    /// <summary>Null: the defaults.</summary>
    public MoveLimits? MoveLimits { get; init; }
    /// <summary>What lies in its disks, by the names people gave.</summary>
    public IReadOnlyList<VmSnapshot> Snapshots { get; init; } = [];
}

public sealed record TemplateNote(string Pool, string File, string Name)
{
    public int Version { get; init; } = 1;
    public string? By { get; init; }
    public string? Note { get; init; }
    /// <summary>Null in a copy from before templates had versions.</summary>
    public DateTimeOffset? CreatedAt { get; init; }
}

/// <summary>A copy of the cluster's notes as a host keeps it: of two, the one with the higher version is the newer.</summary>
/// <param name="Version">Counted by the server, from 1; 0: the host has none.</param>
/// <param name="Document">JSON of <see cref="ClusterNotes"/>; a host does not look into it.</param>
public sealed record KeptNotes(long Version, string Document)
{
    /// <summary>Some ten thousand VMs of which something is to be remembered.</summary>
    public const int CharactersMax = 1 << 20;

    public static KeptNotes None { get; } = new(0, "");
}
