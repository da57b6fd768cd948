using Godwit.Core.Migration;

namespace Godwit.Core.Quoting;

/// <summary>How quotes held against receipts, over the newest moves. Shares are 0 to 1; null where no move tells.</summary>
/// <param name="Mode">Null: all ways together.</param>
/// <param name="Moves">Ended as done, with quote and receipt.</param>
/// <param name="DurationWithinTenth">Of them, whose duration was within a tenth of what was expected.</param>
/// <param name="BytesWithinTenth">The same of bytes on the wire.</param>
/// <param name="PauseWithinSpan">Whose pause lay in the quoted span.</param>
/// <param name="PauseErrorMsMedian">Of |pause − expected pause|.</param>
/// <param name="PauseErrorMs90">Nine of ten are no further off.</param>
/// <param name="LimitsBroken">Live moves, and hybrid ones that ended live, that paused for longer than was allowed.</param>
/// <param name="LimitsKeptByStaying">Live moves that ended at home rather than break the limit.</param>
public sealed record PromiseScore(
    MoveMode? Mode, int Moves, double? DurationWithinTenth, double? BytesWithinTenth, double? PauseWithinSpan,
    double? PauseErrorMsMedian, double? PauseErrorMs90, int LimitsBroken, int LimitsKeptByStaying)
{
    private const double Tenth = 0.1;

    public static PromiseScore Of(IReadOnlyCollection<Migration.Migration> ended, MoveMode? mode)
    {
        var all = ended.Where(m => mode is null || (m.Quote?.Mode ?? m.Mode) == mode).ToList();
        var told = all.Where(m => m is { End: MoveEnd.Done, Receipt: not null, Quote: not null }).ToList();
        var paused = told.Where(m => m.Receipt!.PauseMs is not null).ToList();
        var errors = paused.Select(m => Math.Abs(m.Receipt!.PauseMs!.Value - m.Quote!.PauseMs.Expected)).ToList();
        return new PromiseScore(mode, told.Count,
            Share(told, m => IsNear(m.Receipt!.TotalMs - LearnedFromMoves.Queued(m), m.Quote!.DurationMs.Expected)),
            Share(told, m => IsNear(m.Receipt!.WireBytes, m.Quote!.WireBytes.Expected)),
            Share(paused, m => m.Quote!.PauseMs.Holds(m.Receipt!.PauseMs!.Value)),
            errors.Count == 0 ? null : LearnedFromMoves.Quantile(errors, 0.5),
            errors.Count == 0 ? null : LearnedFromMoves.Quantile(errors, 0.9),
            all.Count(m => m is { Mode: MoveMode.Live or MoveMode.Hybrid, End: MoveEnd.Done } && m.Receipt?.PauseMs > m.Limits.MaxPauseMs),
            all.Count(m => m is { Mode: MoveMode.Live, End: MoveEnd.RolledBack, Reason: not null }
                && m.Reason.StartsWith(WouldHavePaused, StringComparison.Ordinal)));
    }

    /// <summary>How a live move's reason begins that stayed at home for its limit.</summary>
    public const string WouldHavePaused = "would have paused ";

    private static bool IsNear(double actual, double expected) => Math.Abs(actual - expected) <= Tenth * expected;

    private static double? Share(List<Migration.Migration> moves, Func<Migration.Migration, bool> holds) =>
        moves.Count == 0 ? null : (double)moves.Count(holds) / moves.Count;
}
