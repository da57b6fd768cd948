namespace Godwit.Core.Fencing;

/// <summary>
/// The durable record of getting a silent host's VMs going elsewhere: what was wanted, how far it came, how it ended.
/// One that has not ended goes on in the next server, from its top.
/// </summary>
public sealed record HostRecovery
{
    /// <summary><c>rc-</c> and 12 hex digits.</summary>
    public required string Id { get; init; }
    public required HostId Host { get; init; }
    public required RecoveryScope Scope { get; init; }
    /// <summary>Who asked for it: a user's name, or <c>ha</c>.</summary>
    public required string By { get; init; }
    /// <summary>The server's own watch began it, and no person has taken it over.</summary>
    public bool IsAutomatic { get; init; }
    /// <summary>How often the hook was run for it.</summary>
    public int FenceTries { get; init; }
    /// <summary>Whose host it was when the proof came; null until then. Nothing is added later.</summary>
    public IReadOnlyList<RecoveredVm>? Vms { get; init; }
    public RecoveryEnd? End { get; init; }
    /// <summary>One sentence for people: why it ended as it did.</summary>
    public string? Reason { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
}

public enum RecoveryScope
{
    /// <summary>Only the proof is wanted.</summary>
    FenceOnly,
    /// <summary>VMs marked for it.</summary>
    HaVms,
    AllVms,
}

public enum RecoveryEnd
{
    Done,
    /// <summary>The host answered before it was fenced: nothing was done.</summary>
    HostBack,
    /// <summary>No proof was to be had, or a VM could not be started: a person must look.</summary>
    NeedsOperator,
}

/// <summary>One VM of a recovery.</summary>
/// <param name="Restart">It ran, or may have run: it is to run again. Else it only gets a home that answers.</param>
/// <param name="Outcome">One sentence once it is dealt with; null until then.</param>
/// <param name="Failed">It could not be dealt with.</param>
public sealed record RecoveredVm(VmId Vm, string Name, bool Restart, string? Outcome = null, bool Failed = false);
