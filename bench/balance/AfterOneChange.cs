using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>
/// A plan for a large cluster is there; one VM's load is changed, or one host is to be emptied: how long planning again takes.
/// </summary>
internal static class AfterOneChange
{
    private const int Changes = 40;

    public static int Run(string[] args)
    {
        if (args.Length != 4) return 2;
        using var programs = new OutsidePrograms(args[0]);
        var cluster = programs.Generate(args[1], args[2], args[3]);
        var settings = new SearchSettings { Price = 0.1 };
        var (model, objective) = (cluster.AsHbalSeesIt(), GeneratedCluster.HbalObjective);
        var kept = new ClusterSearch(model, objective, settings, new Threads(2)).Search().HostOf;
        var numbers = new Random(1);
        var (wall, cpu, moved) = (new List<double>(), new List<double>(), 0);
        for (var n = 0; n < Changes + 2; n++)
        {
            var (changed, hosts) = n % 2 == 0 ? Busier(model, kept, numbers.Next(model.Units)) : Emptied(model, numbers.Next(model.Hosts));
            var found = Measured.Of(() => Replan.Around(changed, objective, settings, kept, hosts));
            if (n < 2) continue; // Compiles.
            wall.Add(found.WallSeconds);
            cpu.Add(found.CpuSeconds);
            moved += found.Result.Changed.Count;
        }
        wall.Sort();
        Console.WriteLine(FormattableString.Invariant($"{args[1]}/{args[2]}: {Changes} changes, each planned again in median ")
            + FormattableString.Invariant($"{wall[Changes / 2] * 1000:0.0} ms, at most {wall[^1] * 1000:0.0} ms wall, mean ")
            + FormattableString.Invariant($"{cpu.Average() * 1000:0.0} ms CPU; {(double)moved / Changes:0.0} units placed anew each"));
        return 0;
    }

    private static (BalanceModel, int[]) Busier(BalanceModel model, int[] kept, int unit)
    {
        var demand = (double[])model.Demand.Clone();
        for (var k = 2; k < model.Resources; k++) demand[unit * model.Resources + k] *= 8;
        return (Changed(model, demand, null), [kept[unit], model.Home[unit]]);
    }

    private static (BalanceModel, int[]) Emptied(BalanceModel model, int host)
    {
        var emptied = new bool[model.Hosts];
        emptied[host] = true;
        return (Changed(model, model.Demand, emptied), [host]);
    }

    private static BalanceModel Changed(BalanceModel model, double[] demand, bool[]? emptied) => new()
    {
        Hosts = model.Hosts, Units = model.Units, Resources = model.Resources, Standing = model.Standing, Limit = model.Limit,
        Capacity = model.Capacity, Demand = demand, Home = model.Home, Price = model.Price, Rules = model.Rules,
        Closed = emptied ?? model.Closed, Emptied = emptied ?? model.Emptied,
    };
}
