using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Power;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;
using Godwit.Core;
using Godwit.Server.Draining;

namespace Godwit.Server.Api;

/// <summary>A host as the API shows it: its record (<see cref="Host"/>) and what is on it.</summary>
/// <param name="Vms">VMs it owns, running or not.</param>
/// <param name="MemoryAssignedBytes">Guest RAM with overhead of what runs there, and reservations.</param>
/// <param name="MemoryOfferedBytes">What may be assigned at most: its memory less the host's own reserve.</param>
/// <param name="SharedPools">Pools proved to be the same directory on other hosts, with those hosts.</param>
public sealed record HostView(
    HostId Id, string Endpoint, HostState State, HostFacts? Facts, int Vms, long MemoryAssignedBytes,
    long MemoryOfferedBytes, IReadOnlyDictionary<string, IReadOnlyList<HostId>> SharedPools)
{
    /// <summary>The job that empties it or brings back its VMs, or that emptied it and keeps it closed; null without.</summary>
    public Drain? Drain { get; init; }
    /// <summary>The hook that turns it off, or <c>watchdog</c>; null: none.</summary>
    public string? Fence { get; init; }
    /// <summary>What is counted on of its watchdog, while that is its fence.</summary>
    public WatchdogNote? Watchdog { get; init; }
    /// <summary>How it is turned off and on, and where it is between the two.</summary>
    public HostPower Power { get; init; } = new();
    /// <summary>While it is fenced: the proof.</summary>
    public FenceProof? Fenced { get; init; }
    /// <summary>Its last fencing or recovery, where the answer is about this one host.</summary>
    public HostRecovery? Recovery { get; init; }
    /// <summary>Seconds since the first question it did not answer, while it does not.</summary>
    public double? SilentSeconds { get; init; }
    /// <summary>Words that placement rules know it by.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];
}

/// <summary>A VM as the API shows it: its record (<see cref="Vm"/>), its host's state and what is being done with it.</summary>
/// <param name="OwnerState">While its host is unreachable, <paramref name="State"/> is only what was last known.</param>
/// <param name="Operation">The one thing being done with it now, or null.</param>
/// <param name="Frozen">Why nothing is ordered for it, or null.</param>
/// <param name="Ha">It is started elsewhere by itself once its host is proved to be off.</param>
public sealed record VmView(
    VmSpec Spec, HostId Owner, Epoch Epoch, VmState State, string? SavedFile, DateTimeOffset CreatedAt,
    HostState OwnerState, OperationView? Operation, IReadOnlyList<Refusal>? Frozen = null, bool Ha = false)
{
    /// <summary>Words that placement rules know it by.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];
    /// <summary>Stays on its host until a person moves it.</summary>
    public bool Pinned { get; init; }
    /// <summary>0 to 1000: the higher is brought back first where a host is lost.</summary>
    public int Priority { get; init; } = VmPriority.Normal;
    /// <summary>What every move of it keeps unless its order says otherwise; null: the usual.</summary>
    public MoveLimits? MoveLimits { get; init; }
    /// <summary>How many snapshots its disks hold: GET …/snapshots lists them.</summary>
    public int Snapshots { get; init; }
    /// <summary>Why QEMU stopped it, though it is to run: its storage failed or is full.</summary>
    public string? Trouble { get; init; }
    /// <summary>In the answer to create, start, resume: what speaks against its host, but did not forbid it.</summary>
    public IReadOnlyList<Refusal>? Told { get; init; }
}

/// <param name="Id">For a move, its migration's id.</param>
/// <param name="Kind">
/// <c>create, start, stop, restart, pause, save, resume, delete, migrate, recover, snapshot, revert, drop-snapshot</c>.
/// </param>
public sealed record OperationView(string Id, string Kind, DateTimeOffset CreatedAt);

/// <summary>One version of a template.</summary>
/// <param name="Clones">VMs made from this version; it cannot be deleted while there are any.</param>
/// <param name="Hosts">Hosts that see its pool.</param>
/// <param name="ImportedAs">In the answer to an import: what the file was, <c>VMDK streamOptimized</c>.</param>
public sealed record TemplateView(
    string Name, string Pool, string File, string Format, string Sha256, long VirtualBytes, long FileBytes,
    DateTimeOffset CreatedAt, int Clones, IReadOnlyList<HostId> Hosts, string? ImportedAs = null)
{
    public int Version { get; init; } = 1;
    /// <summary>How many versions of this name there are, and VMs made from any of them.</summary>
    public int Versions { get; init; } = 1;
    public int ClonesOfAll { get; init; }
    /// <summary>Who imported it; null where nobody wrote that down.</summary>
    public string? By { get; init; }
    /// <summary>That person's words.</summary>
    public string? Note { get; init; }
}

/// <summary>What a move would do and every reason why it would be refused now; empty reasons: it may begin.</summary>
/// <param name="WaitsFor">Moves that would go before it, in order.</param>
public sealed record MovePlan(
    VmId Vm, string VmName, HostId Source, HostId Target, MoveMode Mode, MoveLimits Limits,
    IReadOnlyList<Refusal> Reasons, IReadOnlyList<MoveId> WaitsFor)
{
    /// <summary>What speaks against the target, but forbids nothing.</summary>
    public IReadOnlyList<Refusal> Told { get; init; } = [];
    /// <summary>What it would cost, way by way; null where its memory could not be measured.</summary>
    public MoveQuote? Quote { get; init; }
}

/// <summary>The newest link test between two hosts, one way.</summary>
public sealed record LinkView(HostId Source, HostId Target, LinkFigures Figures);

/// <summary>Something that happened, for people. Durable; the oldest are dropped.</summary>
/// <param name="Seq">Only grows; the id of the server-sent event.</param>
/// <param name="Kind"><c>vm-created, move-phase, move-ended, host-unreachable …</c></param>
public sealed record EventView(
    long Seq, DateTimeOffset At, string Kind, string Text, string? Vm, string? Host, string? Move);

/// <summary>Every error of the API, as <c>application/problem+json</c> (RFC 9457 with our members).</summary>
public sealed record ApiProblem
{
    public string Type { get; init; } = "about:blank";
    public required string Title { get; init; }
    public required int Status { get; init; }
    /// <summary>The same sentence as <see cref="Cause"/>, for readers that know only the RFC.</summary>
    public string? Detail { get; init; }
    /// <summary>Stable and machine readable: <c>vm-not-found</c>.</summary>
    public required string Code { get; init; }
    /// <summary>Where in a move it failed; null outside moves.</summary>
    public Phase? Phase { get; init; }
    /// <summary><c>source</c>, <c>target</c>, <c>host</c> or <c>server</c>.</summary>
    public string? Side { get; init; }
    public string? Vm { get; init; }
    public string? From { get; init; }
    public string? To { get; init; }
    public required string Cause { get; init; }
    /// <summary>What the reader can do next; never empty.</summary>
    public required string Next { get; init; }
    /// <summary>Every reason at once, where there is more than one or they come from the checks.</summary>
    public IReadOnlyList<Refusal> Reasons { get; init; } = [];
}
