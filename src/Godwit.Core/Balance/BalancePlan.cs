namespace Godwit.Core.Balance;

/// <summary>Why a VM moves, the first that holds.</summary>
public enum MoveGoal
{
    /// <summary>Its host shall be empty.</summary>
    Drain,
    /// <summary>A rule is broken where it is.</summary>
    Repair,
    /// <summary>Its host is loaded so that guests wait.</summary>
    Relieve,
    /// <summary>Makes room on its host for one that has to move.</summary>
    MakeRoom,
    /// <summary>Evens the load.</summary>
    Level,
}

/// <summary>One move of a plan.</summary>
/// <param name="Wave">From 1; moves of a wave run at the same time, a wave begins when the one before has ended.</param>
/// <param name="GainSeconds">Guest-seconds not waited in the policy's horizon, seen when it is its turn.</param>
/// <param name="CostSeconds">Guest-seconds the move costs.</param>
/// <param name="CopySeconds">How long it takes.</param>
/// <param name="Why">A sentence with the figures.</param>
/// <param name="Otherwise">What staying means, and the next best host: a sentence.</param>
public sealed record PlannedMove(
    VmId Vm, string VmName, HostId From, HostId To, MoveGoal Goal, int Wave, double GainSeconds, double CostSeconds, double CopySeconds,
    string Why, string Otherwise);

/// <summary>A VM that has to move and cannot, and every host's reason.</summary>
public sealed record BlockedMove(VmId Vm, string VmName, HostId From, string Why);

/// <summary>A VM that stays, and why: what keeps it, or what the best other host would gain against what it must.</summary>
public sealed record StayingVm(VmId Vm, string VmName, HostId On, double BestGainSeconds, string Why);

/// <summary>What would be done, in order, and what it would bring: for showing and for carrying out.</summary>
public sealed record BalancePlan
{
    public required IReadOnlyList<PlannedMove> Moves { get; init; }
    /// <summary>Wished for by the search and left out: they wait for each other's room.</summary>
    public required IReadOnlyList<BlockedMove> Blocked { get; init; }
    /// <summary>Guest-seconds lost in the horizon as it is, and after the plan.</summary>
    public required double ScoreBefore { get; init; }
    public required double ScoreAfter { get; init; }
    /// <summary>Planning again on the result gives nothing. False if it was stopped, or held to a number of moves.</summary>
    public required bool IsSettled { get; init; }
    /// <summary>Only where asked for: those that stay, the nearest to moving first, <see cref="StayReasons.Max"/> at most.</summary>
    public IReadOnlyList<StayingVm> Stays { get; init; } = [];
    public int Waves => Moves.Count == 0 ? 0 : Moves[^1].Wave;
}
