namespace Godwit.Core.Balance.Search;

/// <summary>What single moves gain, told exactly and one at a time: for ordering, trimming and explaining, not for searching.</summary>
public sealed class MoveGains
{
    private readonly BalanceModel model;
    private readonly BalanceObjective objective;
    private readonly double[] loads, mean, weight;

    /// <param name="loads">As they are now; they may change, the mean and the weights are taken once.</param>
    public MoveGains(BalanceModel model, BalanceObjective objective, double[] loads)
    {
        (this.model, this.objective, this.loads) = (model, objective, loads);
        (mean, weight) = (new double[model.Resources], new double[model.Resources]);
        for (var i = 0; i < loads.Length; i++) mean[i % model.Resources] += loads[i] / model.Capacity[i] / model.Hosts;
        for (var k = 0; k < weight.Length; k++) weight[k] = LevellingWeight(k);
    }

    private double LevellingWeight(int k)
    {
        if (objective.Levelling == Levelling.Squares) return objective.Weight[k];
        double squares = 0;
        for (var at = k; at < loads.Length; at += model.Resources) squares += Math.Pow(loads[at] / model.Capacity[at] - mean[k], 2);
        return objective.Weight[k] / (2 * Math.Sqrt(squares / model.Hosts + 1e-9));
    }

    /// <summary>By how much the score falls when the unit goes from one host to the other, its price aside.</summary>
    public double Gain(int unit, int from, int to, int[] hostOf)
    {
        double gain = model.Rules.StayingCost(unit, from, hostOf) - model.Rules.StayingCost(unit, to, hostOf);
        if (model.Emptied[from]) gain += UnitRules.Broken;
        if (model.Emptied[to]) gain -= UnitRules.Broken;
        for (var k = 0; k < model.Resources; k++)
        {
            var (amount, source, target) =
                (model.Demand[unit * model.Resources + k], from * model.Resources + k, to * model.Resources + k);
            gain += Pain(k, source, 0) - Pain(k, source, -amount) + Pain(k, target, 0) - Pain(k, target, amount);
        }
        return gain;
    }

    /// <summary>True if the host takes new ones and would stay under every limit.</summary>
    public bool Fits(int unit, int host)
    {
        for (var k = 0; k < model.Resources; k++)
            if (model.Demand[unit * model.Resources + k] is > 0 and var amount
                && loads[host * model.Resources + k] + amount > model.Limit[host * model.Resources + k]) return false;
        return !model.Closed[host];
    }

    private double Pain(int k, int at, double more)
    {
        var share = (loads[at] + more) / model.Capacity[at];
        var over = Math.Max(0, share - objective.Knee[k]);
        return weight[k] * (share - mean[k]) * (share - mean[k]) + (over > 0 ? objective.Steepness[k] * over * over : 0);
    }
}
