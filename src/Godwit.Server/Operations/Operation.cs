using System.Text.Json.Serialization;
using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Server.Api;

namespace Godwit.Server.Operations;

/// <summary>
/// One thing being done with one VM, durable from before its first step. A VM has at most one that has not ended;
/// a restarted server runs each of those again from its top, and every step finds what was done already.
/// </summary>
public sealed record Operation
{
    /// <summary><c>op-</c> and 12 hex digits; for a move its migration's id.</summary>
    public required string Id { get; init; }
    public required OperationKind Kind { get; init; }
    public required VmId Vm { get; init; }
    public required string VmName { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    /// <summary>Stop and restart: end QEMU at once. Delete: also where it runs.</summary>
    public bool Force { get; init; }
    /// <summary>Recover: the recovery of a host that it is part of.</summary>
    public string? Recovery { get; init; }
    /// <summary>Resume: the host to bring it back on; null is where it is. Recover: its new home.</summary>
    public HostId? Host { get; init; }
    /// <summary>Resume from a file: it runs before its memory is here.</summary>
    public bool Lazily { get; init; }
    /// <summary>Create: start it when its disk is there.</summary>
    public bool ThenStart { get; init; }
    /// <summary>Placement rules forbid nothing, by a person's word.</summary>
    public bool IgnoresRules { get; init; }
    /// <summary>What speaks against where it is begun, but does not forbid it.</summary>
    public IReadOnlyList<Refusal> Told { get; init; } = [];
    /// <summary>Restart: the stop is done. Resume from a file: the new epoch is recorded. Only the start is left.</summary>
    public bool FirstHalfDone { get; init; }
    /// <summary>Start and restart: the epoch of this boot is recorded; revert: its own. Recover: its new home, too.</summary>
    public bool EpochTaken { get; init; }
    /// <summary>Snapshot, revert, drop-snapshot: its name; null for the first: one is found. Then what a person says of it.</summary>
    public string? Snapshot { get; init; }
    public string? Note { get; init; }
    public string? By { get; init; }
    /// <summary>The VM as the operation left it; null while it goes on, where it failed, and after a delete.</summary>
    public Vm? Result { get; init; }
    /// <summary>Why it failed; null where it did not.</summary>
    public ApiProblem? Problem { get; init; }

    [JsonIgnore]
    public bool HasEnded => EndedAt is not null;
}

public enum OperationKind { Create, Start, Stop, Restart, Pause, Save, Resume, Delete, Migrate, Recover, Snapshot, Revert, DropSnapshot }

/// <summary>How a wish to do something with a VM was met. Closed set.</summary>
public abstract record Begun
{
    private Begun() { }

    public sealed record Now(Operation Operation) : Begun;
    /// <summary>The same request (by its idempotency key) began it earlier.</summary>
    public sealed record Earlier(Operation Operation) : Begun;
    public sealed record Busy(Operation Holder) : Begun;
    public sealed record Refused(Refusal Reason) : Begun;
}
