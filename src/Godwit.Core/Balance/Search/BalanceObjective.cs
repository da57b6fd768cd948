namespace Godwit.Core.Balance.Search;

/// <summary>How unevenness counts.</summary>
public enum Levelling
{
    /// <summary>Squares of the distance from the cluster's mean: nothing to gain in an even or an idle cluster.</summary>
    Squares,
    /// <summary>Standard deviation over the hosts, as hbal scores: for comparison with it.</summary>
    Deviation,
}

/// <summary>
/// What is wished for, lower is better: for each resource unevenness × <see cref="Weight"/>, and contention: the square of
/// what a host's load share has above <see cref="Knee"/> × <see cref="Steepness"/>, which is what guests feel.
/// </summary>
public sealed record BalanceObjective
{
    public required Levelling Levelling { get; init; }
    public required double[] Weight { get; init; }
    /// <summary>Load share from which guests begin to wait; <see cref="double.PositiveInfinity"/> is never.</summary>
    public required double[] Knee { get; init; }
    public required double[] Steepness { get; init; }

    /// <summary>
    /// Scaled by the number of hosts, so that what one move gains does not depend on the cluster's size.
    /// </summary>
    public double Score(BalanceModel model, ReadOnlySpan<double> loads)
    {
        double score = 0;
        for (var k = 0; k < model.Resources; k++)
        {
            var (sum, squares, above) = (0.0, 0.0, 0.0);
            for (var at = k; at < loads.Length; at += model.Resources) sum += loads[at] / model.Capacity[at];
            var mean = sum / model.Hosts;
            for (var at = k; at < loads.Length; at += model.Resources)
            {
                var share = loads[at] / model.Capacity[at];
                squares += (share - mean) * (share - mean);
                var over = share - Knee[k];
                if (over > 0) above += over * over;
            }
            score += Weight[k] * (Levelling == Levelling.Squares ? squares : Math.Sqrt(squares * model.Hosts));
            if (above > 0) score += Steepness[k] * above;
        }
        return score;
    }
}
