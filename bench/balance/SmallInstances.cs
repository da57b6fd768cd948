using System.Globalization;
using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>Random instances small enough to try every placement: how far from the best the search ends.</summary>
internal static class SmallInstances
{
    private const int Resources = 2;

    public static int Run(string[] args)
    {
        if (args.Length != 1) return 2;
        var gaps = Enumerable.Range(0, int.Parse(args[0], CultureInfo.InvariantCulture)).Select(Gap).Order().ToArray();
        Console.WriteLine($"{gaps.Length} instances: median gap {gaps[gaps.Length / 2]:P2}, worst {gaps[^1]:P2}, "
            + $"{gaps.Count(gap => gap < 1e-6)} exactly the best");
        return 0;
    }

    private static double Gap(int seed)
    {
        var numbers = new Random(seed);
        var (hosts, units) = seed % 3 == 0 ? (3, 10) : seed % 3 == 1 ? (4, 8) : (5, 7);
        var model = new BalanceModel
        {
            Hosts = hosts, Units = units, Resources = Resources, Standing = new double[hosts * Resources],
            Capacity = [.. Enumerable.Range(0, hosts * Resources).Select(_ => 60 + 20 * (double)numbers.Next(3))],
            Demand = [.. Enumerable.Range(0, units * Resources).Select(_ => 1 + Math.Floor(numbers.NextDouble() * 30))],
            Limit = [.. Enumerable.Repeat(double.PositiveInfinity, hosts * Resources)],
            Home = [.. Enumerable.Range(0, units).Select(_ => numbers.Next(2) == 0 ? 0 : numbers.Next(hosts))],
            Price = [.. Enumerable.Range(0, units).Select(_ => 1 + (float)numbers.NextDouble())],
            Closed = new bool[hosts], Emptied = new bool[hosts], Rules = UnitRules.None,
        };
        var objective = new BalanceObjective { Levelling = Levelling.Squares, Weight = [1, 1], Knee = [0.7, 0.7], Steepness = [20, 20] };
        var price = 0.01 * (1 + seed % 7);
        var found = ClusterSearch.Find(model, objective, new SearchSettings { Price = price }, new OneByOne());
        var (hostOf, best) = (new int[units], double.PositiveInfinity);
        for (var more = true; more;)
        {
            best = Math.Min(best, Cost(model, objective, price, hostOf));
            var u = 0;
            while (u < units && ++hostOf[u] == hosts) hostOf[u++] = 0;
            more = u < units;
        }
        return (Cost(model, objective, price, found.HostOf) - best) / best;
    }

    private static double Cost(BalanceModel model, BalanceObjective objective, double price, int[] hostOf)
    {
        var loads = new double[model.Hosts * model.Resources];
        model.LoadsOf(hostOf, loads);
        var cost = objective.Score(model, loads);
        for (var u = 0; u < model.Units; u++)
            if (hostOf[u] != model.Home[u]) cost += price * model.Price[u];
        return cost;
    }
}
