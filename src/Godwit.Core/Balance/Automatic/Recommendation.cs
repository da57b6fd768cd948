namespace Godwit.Core.Balance.Automatic;

public enum RecommendationState
{
    /// <summary>A person may apply or dismiss it; the next look may withdraw it.</summary>
    Open,
    Moving,
    /// <summary>The VM is where it was to go; what it gained is measured some minutes later.</summary>
    Done,
    Failed,
    /// <summary>A person does not want it: not said again within the cool-down.</summary>
    Dismissed,
}

/// <summary>One move the balancer holds for right, from its first telling to what it really gained.</summary>
public sealed record Recommendation
{
    /// <summary><c>rm-</c> and 12 hex digits.</summary>
    public required string Id { get; init; }
    public required PlannedMove Move { get; init; }
    public required DateTimeOffset At { get; init; }
    public RecommendationState State { get; init; }
    /// <summary>Begun by the balancer itself, by its mode; else by a person.</summary>
    public bool ByItself { get; init; }
    public MoveId? MoveId { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    /// <summary>Why it was asked for and not done, or why it failed.</summary>
    public string? Note { get; init; }
    /// <summary>The guests of both hosts as the move began: what they wait for tells what it gained.</summary>
    public IReadOnlyList<VmId> Watched { get; init; } = [];
    /// <summary>Processors' worth they waited for in the five minutes before.</summary>
    public double? WaitCoresBefore { get; init; }
    /// <summary>Guest-seconds an hour not waited any more; negative: they wait more. Null: not measured yet.</summary>
    public double? MeasuredGainSeconds { get; init; }

    public bool IsOpen => State == RecommendationState.Open;
}
