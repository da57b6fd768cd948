using Godwit.Core.Balance.Search;
using Xunit;

namespace Godwit.Tests.Balance;

/// <summary>Planning again around a change, beside planning from the beginning.</summary>
public sealed class ReplanTests
{
    private const int Hosts = 400, Resources = 2;
    private static readonly BalanceObjective objective = new()
    {
        Levelling = Levelling.Squares, Weight = [1, 1], Knee = [0.8, 0.8], Steepness = [200, 200],
    };
    private static readonly SearchSettings settings = new() { Price = 0.01 };

    [Fact]
    public void One_that_became_busy_is_planned_for_as_well_as_from_the_beginning()
    {
        var model = Cluster();
        var kept = ClusterSearch.Find(model, objective, settings, new OneByOne()).HostOf;
        for (var unit = 7; unit < model.Units; unit += 701)
        {
            var demand = (double[])model.Demand.Clone();
            demand[unit * Resources + 1] = 55;
            var changed = With(model, demand: demand);
            var (without, again) = (Cost(changed, kept), Replan.Around(changed, objective, settings, kept, [kept[unit], model.Home[unit]]));
            var whole = ClusterSearch.Find(changed, objective, settings, new OneByOne());
            AssertAllowed(changed, again.HostOf);
            Assert.True(Cost(changed, again.HostOf) <= without + 1e-6, "never worse than keeping the plan");
            Assert.True(Cost(changed, again.HostOf) <= Cost(changed, whole.HostOf) * 1.02,
                $"{Cost(changed, again.HostOf)} beside {Cost(changed, whole.HostOf)}, {without} without");
            Assert.InRange(again.Changed.Count, 1, 60);
        }
    }

    [Fact]
    public void A_host_to_be_emptied_is_emptied_and_who_was_to_come_to_it_does_not()
    {
        var model = Cluster();
        var kept = ClusterSearch.Find(model, objective, settings, new OneByOne()).HostOf;
        var host = Enumerable.Range(0, Hosts).First(h => Enumerable.Range(0, model.Units).Any(u => kept[u] == h && model.Home[u] != h));
        var flags = Enumerable.Range(0, Hosts).Select(h => h == host).ToArray();
        var changed = With(model, closed: flags);
        var again = Replan.Around(changed, objective, settings, kept, [host]);
        Assert.DoesNotContain(host, again.HostOf);
        AssertAllowed(changed, again.HostOf);
    }

    [Fact]
    public void Who_was_to_come_to_a_host_that_is_full_now_stays_at_home()
    {
        var model = Cluster();
        var kept = ClusterSearch.Find(model, objective, settings, new OneByOne()).HostOf;
        var comer = Enumerable.Range(0, model.Units).First(u => kept[u] != model.Home[u]);
        var host = kept[comer];
        var standing = (double[])model.Standing.Clone();
        standing[host * Resources] = 100 - Enumerable.Range(0, model.Units).Where(u => model.Home[u] == host)
            .Sum(u => model.Demand[u * Resources]);
        var changed = With(model, standing: standing);
        var again = Replan.Around(changed, objective, settings, kept, [host]);
        Assert.NotEqual(host, again.HostOf[comer]);
        AssertAllowed(changed, again.HostOf);
    }

    private static BalanceModel Cluster()
    {
        var numbers = new Random(1);
        var (home, demand) = (new List<int>(), new List<double>());
        for (var h = 0; h < Hosts; h++)
            for (var n = numbers.Next(3, 12); n > 0; n--)
            {
                home.Add(h);
                demand.AddRange([1 + numbers.Next(8), 1 + numbers.Next(9)]);
            }
        return new()
        {
            Hosts = Hosts, Units = home.Count, Resources = Resources, Standing = new double[Hosts * Resources],
            Capacity = [.. Enumerable.Repeat(100.0, Hosts * Resources)], Limit = [.. Enumerable.Repeat(100.0, Hosts * Resources)],
            Demand = [.. demand], Home = [.. home], Price = [.. home.Select(_ => 1f)], Closed = new bool[Hosts], Emptied = new bool[Hosts],
            Rules = UnitRules.None,
        };
    }

    private static BalanceModel With(BalanceModel model, double[]? demand = null, double[]? standing = null, bool[]? closed = null) => new()
    {
        Hosts = Hosts, Units = model.Units, Resources = Resources, Standing = standing ?? model.Standing, Capacity = model.Capacity,
        Limit = model.Limit, Demand = demand ?? model.Demand, Home = model.Home, Price = model.Price,
        Closed = closed ?? model.Closed, Emptied = closed ?? model.Emptied, Rules = model.Rules,
    };

    private static double Cost(BalanceModel model, int[] hostOf)
    {
        var loads = new double[model.Limit.Length];
        model.LoadsOf(hostOf, loads);
        return objective.Score(model, loads)
            + Enumerable.Range(0, model.Units).Sum(u => hostOf[u] == model.Home[u] ? 0 : settings.Price * model.Price[u]);
    }

    private static void AssertAllowed(BalanceModel model, int[] hostOf)
    {
        var (loads, before) = (new double[model.Limit.Length], new double[model.Limit.Length]);
        model.LoadsOf(hostOf, loads);
        model.LoadsOf(model.Home, before);
        for (var at = 0; at < loads.Length; at++) Assert.True(loads[at] <= Math.Max(model.Limit[at], before[at]) + 1e-6);
        Assert.DoesNotContain(Enumerable.Range(0, model.Units), u => model.Closed[hostOf[u]] && hostOf[u] != model.Home[u]);
    }
}
