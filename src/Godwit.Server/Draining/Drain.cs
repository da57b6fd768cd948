using System.Text.Json.Serialization;
using Godwit.Core;
using Godwit.Core.Migration;

namespace Godwit.Server.Draining;

/// <summary>
/// One host being emptied, or getting back what a drain took from it: a single job, durable from before its first move,
/// gone on with after a restart of the server, and cancellable as a whole. It never stops a VM; what cannot leave stays,
/// running, with its reasons.
/// </summary>
public sealed record Drain
{
    /// <summary><c>dr-</c> and 12 hex digits.</summary>
    public required string Id { get; init; }
    public required HostId Host { get; init; }
    public required DrainKind Kind { get; init; }
    public required DrainLimits Limits { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public DrainEnd? End { get; init; }
    /// <summary>One sentence for people; set with every end.</summary>
    public string? Reason { get; init; }
    /// <summary>Durable; saving the record never clears it.</summary>
    public bool CancelRequested { get; init; }
    /// <summary>The host took no VMs already before: then a cancel does not open it.</summary>
    public bool WasCordoned { get; init; }
    public IReadOnlyList<DrainVm> Vms { get; init; } = [];

    [JsonIgnore]
    public bool HasEnded => EndedAt is not null;

    public int Count(params ReadOnlySpan<DrainVmEnd> ends)
    {
        var count = 0;
        foreach (var vm in Vms)
            if (vm.End is { } end && ends.Contains(end)) count++;
        return count;
    }
}

public enum DrainKind
{
    /// <summary>Everything leaves the host.</summary>
    Away,
    /// <summary>What a drain took away comes back.</summary>
    Back,
}

public enum DrainEnd
{
    /// <summary>Nothing is left that runs: the host may be switched off.</summary>
    Drained,
    /// <summary>Some VMs stay; the record says which and why.</summary>
    Blocked,
    Cancelled,
    DeadlinePassed,
    /// <summary>The host stopped answering: what is on it is not known. That is for <c>host recover</c>, not for a drain.</summary>
    HostLost,
    /// <summary>A <see cref="DrainKind.Back"/> that brought back all it could.</summary>
    Returned,
}

/// <param name="Mode">How running VMs leave: live or quick.</param>
/// <param name="QuickWhereBlocked">A VM whose live moves all failed is moved quick: paused meanwhile, by consent.</param>
/// <param name="AllowPartial">Begin although not everything has a place.</param>
/// <param name="TakesPinned">VMs that are pinned to the host leave it, too.</param>
/// <param name="Deadline">No move begins after it; those under way end as they do.</param>
public sealed record DrainLimits(
    MoveMode Mode = MoveMode.Live, bool QuickWhereBlocked = false, bool AllowPartial = false, DateTimeOffset? Deadline = null,
    bool TakesPinned = false);

/// <summary>One VM's part in a drain.</summary>
public sealed record DrainVm(VmId Vm, string VmName)
{
    public MoveMode? Mode { get; init; }
    public HostId? Target { get; init; }
    /// <summary>The move that goes on, or the last one.</summary>
    public MoveId? Move { get; init; }
    /// <summary>Moves begun, or refused before they began.</summary>
    public int Tries { get; init; }
    public DateTimeOffset? NotBefore { get; init; }
    public DrainVmEnd? End { get; init; }
    /// <summary>Why it stays, or why its last try failed.</summary>
    public IReadOnlyList<Refusal> Why { get; init; } = [];
}

public enum DrainVmEnd
{
    Moved,
    /// <summary>It left, or was deleted, by somebody else's hand.</summary>
    Gone,
    /// <summary>Nothing of it runs here, and nothing keeps the host: saved on a pool.</summary>
    Stays,
    Blocked,
}

/// <summary>What a drain would do now. Reasons: why it would not begin; empty, it may.</summary>
/// <param name="EtaSeconds">All moves one after the other over this host's link; null where its speed is not known.</param>
public sealed record DrainPlan(
    HostId Host, IReadOnlyList<DrainStep> Steps, long ShortBytes, double? EtaSeconds, IReadOnlyList<Refusal> Reasons);

/// <param name="Mode">Null: it stays, for <paramref name="Why"/>.</param>
/// <param name="MemoryBytes">What crosses at least once; 0 for a VM that does not run.</param>
public sealed record DrainStep(
    VmId Vm, string VmName, MoveMode? Mode, HostId? Target, long MemoryBytes, double? EtaSeconds, bool Blocks, IReadOnlyList<Refusal> Why);
