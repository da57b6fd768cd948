using Google.OrTools.Sat;
using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>
/// The drain as CP-SAT sees it: one truth value for each unit and host, loads in whole units, moved memory the cost. Loads are
/// rounded down, so that what is proved holds for the exact problem too; its answer is checked exactly by the caller.
/// </summary>
internal static class DrainOptimum
{
    private const double UnitsPerAmount = 1e4;

    /// <param name="hint">An answer to begin with, e.g. ours; null for none.</param>
    /// <returns>MiB moved, the proved bound, and where each unit goes; null where none was found.</returns>
    public static (double Moved, double Bound, int[]? HostOf) Find(
        BalanceModel model, long[] costOf, int[]? hint, double seconds, int threads)
    {
        var sat = new CpModel();
        var at = new BoolVar[model.Units, model.Hosts];
        for (var u = 0; u < model.Units; u++)
        {
            for (var h = 0; h < model.Hosts; h++)
            {
                at[u, h] = sat.NewBoolVar($"u{u}h{h}");
                if (hint is not null) sat.AddHint(at[u, h], hint[u] == h ? 1 : 0);
                if (model.Emptied[h] || (model.Closed[h] && model.Home[u] != h)) sat.Add(at[u, h] == 0);
            }
            sat.AddExactlyOne(Enumerable.Range(0, model.Hosts).Select(h => at[u, h]));
        }
        for (var h = 0; h < model.Hosts; h++)
            for (var k = 0; k < model.Resources; k++)
            {
                var load = LinearExpr.WeightedSum(
                    Enumerable.Range(0, model.Units).Select(u => at[u, h]),
                    Enumerable.Range(0, model.Units).Select(u => Whole(model.Demand[u * model.Resources + k])));
                if (!model.Emptied[h]) sat.Add(load <= Whole(model.Limit[h * model.Resources + k]));
            }
        // What is not at home was moved.
        sat.Minimize(costOf.Sum() - LinearExpr.WeightedSum(Enumerable.Range(0, model.Units).Select(u => at[u, model.Home[u]]), costOf));
        var solver = new CpSolver { StringParameters = $"num_workers:{threads},max_time_in_seconds:{seconds:0},random_seed:1" };
        var status = solver.Solve(sat);
        if (status is not (CpSolverStatus.Optimal or CpSolverStatus.Feasible))
            return (double.NaN, solver.BestObjectiveBound, null);
        var hostOf = Enumerable.Range(0, model.Units)
            .Select(u => Enumerable.Range(0, model.Hosts).First(h => solver.BooleanValue(at[u, h]))).ToArray();
        return (solver.ObjectiveValue, solver.BestObjectiveBound, hostOf);
    }

    private static long Whole(double amount) => (long)Math.Floor(amount * UnitsPerAmount + 1e-6);
}
