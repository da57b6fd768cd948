namespace Godwit.Core.Balance.Search;

/// <summary>
/// The cheapest set of a host's units without which it is under its limits: branch and bound, exact up to a number of steps, after
/// which the best set so far is answered.
/// </summary>
internal sealed class LeavingSet(BalanceModel model)
{
    private const int StepsMax = 5_000;

    private const double Hair = 1e-9;

    private int[] units = [];
    private double[] prices = [];
    /// <summary>[place * Resources + k]: the least that one amount of k costs from this place on.</summary>
    private double[] cheapest = [];
    private bool[] goes = [], bestGoes = [];
    private readonly double[] lacking = new double[model.Resources];
    private double best, bound;
    private int steps, count;

    /// <summary>A hair above the limit: what was added up and taken off again is not the same to the last bit.</summary>
    public static double LimitOf(BalanceModel model, int host, int resource) =>
        model.Limit[host * model.Resources + resource] + Hair * model.Capacity[host * model.Resources + resource];

    /// <summary>Sets looked at so far, by all calls.</summary>
    public long Steps { get; private set; }

    /// <param name="Units">Empty where the host is under its limits, or where nothing brings it there.</param>
    /// <param name="Bound">No set costs less.</param>
    public readonly record struct Found(int[] Units, double Cost, double Bound, bool Helps);

    public Found Find(int host, List<int> on, double[] loads, Func<int, float> priceOf)
    {
        var isOver = false;
        for (var k = 0; k < model.Resources; k++)
        {
            lacking[k] = loads[host * model.Resources + k] - LimitOf(model, host, k);
            if (lacking[k] > 0) isOver = true;
        }
        if (!isOver) return new([], 0, 0, true);
        Order(on, priceOf);
        (best, steps) = (double.PositiveInfinity, 0);
        bound = LeastOf(0);
        Choose(0, 0);
        Steps += steps + on.Count;
        if (double.IsPositiveInfinity(best)) return new([], 0, steps > StepsMax ? bound : 0, false);
        return new([.. units[..on.Count].Where((_, i) => bestGoes[i])], best, steps > StepsMax ? Math.Min(bound, best) : best, true);
    }

    private void Order(List<int> on, Func<int, float> priceOf)
    {
        var n = on.Count;
        if (units.Length < n)
            (units, prices, goes, bestGoes, cheapest) =
                (new int[n], new double[n], new bool[n], new bool[n], new double[(n + 1) * model.Resources]);
        var byUse = new (double Use, int Unit, double Price)[n];
        for (var i = 0; i < n; i++)
        {
            var (use, price) = (1e-12, (double)priceOf(on[i]));
            for (var k = 0; k < model.Resources; k++)
                if (lacking[k] > 0) use += Math.Min(1, model.Demand[on[i] * model.Resources + k] / lacking[k]);
            byUse[i] = ((price + 1e-9) / use, on[i], price);
        }
        Array.Sort(byUse);
        for (var i = 0; i < n; i++) (units[i], prices[i]) = (byUse[i].Unit, byUse[i].Price);
        for (var k = 0; k < model.Resources; k++)
        {
            cheapest[n * model.Resources + k] = double.PositiveInfinity;
            for (var i = n - 1; i >= 0; i--)
            {
                var amount = model.Demand[units[i] * model.Resources + k];
                cheapest[i * model.Resources + k] = Math.Min(cheapest[(i + 1) * model.Resources + k],
                    amount > 0 ? prices[i] / amount : double.PositiveInfinity);
            }
        }
        count = n;
    }

    private double LeastOf(int from)
    {
        var least = 0.0;
        for (var k = 0; k < model.Resources; k++)
            if (lacking[k] > 0) least = Math.Max(least, lacking[k] * cheapest[from * model.Resources + k]);
        return least;
    }

    private void Choose(int next, double cost)
    {
        if (++steps > StepsMax) return;
        var isEnough = true;
        for (var k = 0; k < model.Resources; k++) isEnough &= lacking[k] <= 0;
        if (isEnough)
        {
            if (cost >= best) return;
            best = cost;
            goes.AsSpan(0, count).CopyTo(bestGoes);
            return;
        }
        if (next == count || cost + LeastOf(next) >= best) return;
        Change(next, -1);
        goes[next] = true;
        Choose(next + 1, cost + prices[next]);
        goes[next] = false;
        Change(next, 1);
        Choose(next + 1, cost);
    }

    private void Change(int place, int sign)
    {
        for (var k = 0; k < model.Resources; k++) lacking[k] += sign * model.Demand[units[place] * model.Resources + k];
    }
}
