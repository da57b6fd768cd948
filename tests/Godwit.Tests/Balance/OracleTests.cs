using Godwit.Core.Balance.Search;
using Xunit;

namespace Godwit.Tests.Balance;

/// <summary>Beside the best of all placements, found by trying every one.</summary>
public sealed class OracleTests
{
    [Fact]
    public void Small_clusters_come_within_a_hundredth_of_the_best_placement_there_is()
    {
        var gaps = Enumerable.Range(0, 30).Select(Gap).Order().ToList();
        Assert.True(gaps[15] <= 0.01, $"median gap {gaps[15]:P2}");
        Assert.True(gaps[^1] <= 0.05, $"worst gaps {string.Join(", ", gaps.TakeLast(9).Select(gap => $"{gap:P2}"))}");
    }

    private static double Gap(int seed)
    {
        var (model, objective, price) = Instance(seed, hosts: 3 + seed % 2, units: seed % 2 == 0 ? 9 : 7);
        var found = ClusterSearch.Find(model, objective, new SearchSettings { Price = price }, new OneByOne());
        var (ours, best) = (Cost(model, objective, price, found.HostOf), Best(model, objective, price));
        Assert.True(ours >= best - 1e-9);
        return (ours - best) / best;
    }

    private static (BalanceModel Model, BalanceObjective Objective, double Price) Instance(int seed, int hosts, int units)
    {
        var numbers = new Random(seed);
        const int k = 2;
        var model = new BalanceModel
        {
            Hosts = hosts, Units = units, Resources = k,
            Capacity = [.. Enumerable.Range(0, hosts * k).Select(_ => 80 + 40 * (double)numbers.Next(2))],
            Standing = new double[hosts * k],
            Demand = [.. Enumerable.Range(0, units * k).Select(_ => 1 + Math.Floor(numbers.NextDouble() * 30))],
            Limit = [.. Enumerable.Repeat(1e3, hosts * k)],
            Home = [.. Enumerable.Range(0, units).Select(_ => numbers.Next(3) > 0 ? 0 : numbers.Next(hosts))],
            Price = [.. Enumerable.Range(0, units).Select(_ => 1 + (float)numbers.NextDouble())],
            Closed = new bool[hosts], Emptied = new bool[hosts],
            Rules = UnitRules.None,
        };
        return (model, new BalanceObjective { Levelling = Levelling.Squares, Weight = [1, 1], Knee = [0.7, 0.7], Steepness = [20, 20] },
            0.01 * (1 + seed % 5));
    }

    private static double Best(BalanceModel model, BalanceObjective objective, double price)
    {
        var (hostOf, best) = (new int[model.Units], double.PositiveInfinity);
        while (true)
        {
            best = Math.Min(best, Cost(model, objective, price, hostOf));
            var u = 0;
            while (u < hostOf.Length && ++hostOf[u] == model.Hosts) hostOf[u++] = 0;
            if (u == hostOf.Length) return best;
        }
    }

    private static double Cost(BalanceModel model, BalanceObjective objective, double price, int[] hostOf)
    {
        var loads = new double[model.Hosts * model.Resources];
        model.LoadsOf(hostOf, loads);
        var cost = objective.Score(model, loads);
        for (var u = 0; u < model.Units; u++) if (hostOf[u] != model.Home[u]) cost += price * model.Price[u];
        return cost;
    }
}
