using Godwit.Core.Balance.Search;
using Xunit;

namespace Godwit.Tests.Balance;

/// <summary>Drains beside the best of all placements, found by trying every one; nothing is ever made worse.</summary>
public sealed class LeastMovedTests
{
    private const int Hosts = 3, Resources = 2;

    [Fact]
    public void Small_drains_move_the_least_there_is()
    {
        var (possible, pushing, missed) = (0, 0, 0);
        for (var seed = 0; seed < 60; seed++)
        {
            var model = Instance(seed);
            var (found, best) = (LeastMoved.Find(model), Best(model));
            if (double.IsPositiveInfinity(best)) Assert.NotEmpty(found.Unplaced);
            else possible++;
            if (!double.IsPositiveInfinity(best) && found.Unplaced.Count > 0) missed++;
            if (found.Unplaced.Count > 0) continue;
            Assert.True(IsAllowed(model, found.HostOf), $"seed {seed}");
            Assert.True(found.Moved <= best + 1e-6, $"seed {seed}: {found.Moved} for {best}");
            Assert.True(found.Bound <= best + 1e-6, $"seed {seed}: bound {found.Bound} above {best}");
            if (best > found.Bound + 1e-6) pushing++;
        }
        // One has a single way to fit, with two hosts full to the last unit of both resources.
        Assert.InRange(missed, 0, 1);
        Assert.InRange(possible, 30, 59);
        Assert.True(pushing >= 5, $"only in {pushing} had others to make room");
    }

    [Fact]
    public void What_has_no_room_stays_and_nobody_is_pushed_out_for_nothing()
    {
        // 60 leave, 30 are free on each of two: the large one never fits, and who made room for it goes back.
        var model = Model([80, 20, 10, 60, 70], [0, 0, 0, 1, 2], limit: 100);
        var found = LeastMoved.Find(model);
        Assert.Equal([0], found.Unplaced);
        Assert.Equal(0, found.HostOf[0]);
        Assert.All(new[] { 1, 2 }, unit => Assert.NotEqual(0, found.HostOf[unit]));
        Assert.Equal([1, 2], found.HostOf[3..]);
    }

    private static BalanceModel Instance(int seed)
    {
        var numbers = new Random(seed);
        var units = 8;
        return Model([.. Enumerable.Range(0, units * 2).Select(_ => (double)numbers.Next(10, 45))],
            [.. Enumerable.Range(0, units).Select(u => u % Hosts)], limit: 130 + 5 * (seed % 5), width: 2);
    }

    private static BalanceModel Model(double[] demand, int[] home, double limit, int width = 1) => new()
    {
        Hosts = Hosts, Units = home.Length, Resources = Resources, Standing = new double[Hosts * Resources],
        Capacity = [.. Enumerable.Repeat(100.0, Hosts * Resources)], Limit = [.. Enumerable.Repeat(limit, Hosts * Resources)],
        Demand = width == Resources ? demand : [.. demand.SelectMany(amount => new[] { amount, 0 })],
        Home = home, Price = [.. home.Select((_, u) => (float)demand[u * width])],
        Closed = [true, false, false], Emptied = [true, false, false], Rules = UnitRules.None,
    };

    private static bool IsAllowed(BalanceModel model, int[] hostOf)
    {
        var loads = new double[model.Limit.Length];
        model.LoadsOf(hostOf, loads);
        return hostOf.All(host => host != 0) && loads.Zip(model.Limit).All(pair => pair.First <= pair.Second + 1e-6);
    }

    private static double Best(BalanceModel model)
    {
        var (hostOf, best) = (new int[model.Units], double.PositiveInfinity);
        while (true)
        {
            if (IsAllowed(model, hostOf))
                best = Math.Min(best, Enumerable.Range(0, model.Units).Sum(u => hostOf[u] == model.Home[u] ? 0.0 : model.Price[u]));
            var u = 0;
            while (u < hostOf.Length && ++hostOf[u] == model.Hosts) hostOf[u++] = 0;
            if (u == hostOf.Length) return best;
        }
    }
}
