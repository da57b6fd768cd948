namespace Godwit.Core.Balance.Search;

/// <summary>How finely is searched. Counted in work, not in time: the same model and settings give the same answer everywhere.</summary>
public sealed record SearchSettings
{
    /// <summary>What one move must better the score by, at least; times the unit's own price.</summary>
    public required double Price { get; init; }
    /// <summary>Units that may be away from home in the end.</summary>
    public int MovesMax { get; init; } = int.MaxValue;
    /// <summary>In clusters of one cell: units tried at random, in all rounds together.</summary>
    public int Trials { get; init; } = 1_000_000;
    /// <summary>No exchanges and no trials: every move has room at the moment it is found. For clusters that are all but full.</summary>
    public bool SinglesOnly { get; init; }
    public int Rounds { get; init; } = 8;
    /// <summary>128 hosts with twenty units each lie in a core's own cache.</summary>
    public int CellHosts { get; init; } = 128;
    public ulong Seed { get; init; } = 1;
}

/// <summary>After a round: how good it is by now.</summary>
/// <param name="Score">By <see cref="BalanceObjective.Score"/>, without the moves' prices.</param>
public readonly record struct SearchProgress(int Round, double Score, int Moves);

/// <summary>What was found, and how much was looked at.</summary>
/// <param name="HostOf">Where each unit is best.</param>
/// <param name="Settled">
/// No single move pays any more, so that the same search from there ends before it begins. False where it was stopped, or ran into
/// <see cref="SearchSettings.MovesMax"/>.
/// </param>
/// <param name="Judged">Placements of one unit that were judged.</param>
public sealed record SearchResult(int[] HostOf, bool Settled, long Judged);

/// <summary>Runs what is independent of each other: at the same time, or one after another, to the same result.</summary>
public interface ICellRunner
{
    void Run(int cells, Action<int> solve);
}

public sealed class OneByOne : ICellRunner
{
    public void Run(int cells, Action<int> solve)
    {
        for (var cell = 0; cell < cells; cell++) solve(cell);
    }
}
