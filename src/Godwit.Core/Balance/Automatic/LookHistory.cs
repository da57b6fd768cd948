using System.Collections.Immutable;

namespace Godwit.Core.Balance.Automatic;

/// <summary>
/// What the last looks found, so that one bad minute moves nothing: a host's trouble counts once it was seen in
/// <see cref="Needed"/> of the last <see cref="Kept"/> looks. Immutable; lost with the server, and seen again within minutes.
/// </summary>
public sealed class LookHistory
{
    public const int Kept = 5, Needed = 3;

    public static LookHistory Empty { get; } = new([]);

    private readonly ImmutableList<ImmutableHashSet<(MoveGoal, HostId)>> looks;

    private LookHistory(ImmutableList<ImmutableHashSet<(MoveGoal, HostId)>> looks) => this.looks = looks;

    public LookHistory With(BalancePlan plan)
    {
        var seen = looks.Add([.. plan.Moves.Select(move => (move.Goal, move.From))]);
        return new(seen.Count > Kept ? seen.RemoveAt(0) : seen);
    }

    /// <summary>In how many of the last looks its host was to be left for this reason.</summary>
    public int Times(PlannedMove move) => looks.Count(look => look.Contains((move.Goal, move.From)));

    /// <summary>A broken rule is no matter of load: it is mended at once.</summary>
    public bool Lasts(PlannedMove move) => move.Goal is MoveGoal.Repair or MoveGoal.Drain || Times(move) >= Needed;
}
