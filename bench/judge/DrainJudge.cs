using System.Globalization;
using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>How far our drain is from the least that can be moved, as CP-SAT proves it.</summary>
internal static class DrainJudge
{
    private const double Seconds = 60, SecondsOfSmall = 20;
    private const int Threads = 2;

    public static int Large(string generator, string hosts, string vms, string[] seeds)
    {
        using var programs = new OutsidePrograms(generator);
        foreach (var seed in seeds)
        {
            var cluster = programs.Generate(hosts, vms, seed);
            Judge($"{hosts}/{vms} seed {seed}", new DrainProblem(cluster));
            // Ceilings a little above the whole load: room is scarce, others must be pushed on.
            var (cpu, memory) = Shares(cluster);
            Judge($"{hosts}/{vms} seed {seed}, all but full", new DrainProblem(cluster, cpu * 1.06, memory * 1.06));
        }
        return 0;
    }

    private static (double Cpu, double Memory) Shares(GeneratedCluster cluster) => (
        cluster.Vms.Sum(vm => vm.CpuDemandCores) / cluster.Hosts.Skip(1).Sum(host => host.Cores),
        cluster.Vms.Sum(vm => vm.MemMiB) / cluster.Hosts.Skip(1).Sum(host => (double)host.MemMiB));

    private static void Judge(string name, DrainProblem problem)
    {
        LeastMoved.Find(problem.Model);
        var ours = Measured.Of(() => LeastMoved.Find(problem.Model));
        var (moved, flaws) = (problem.MovedGiB(ours.Result.HostOf), problem.Flaws(ours.Result.HostOf));
        var proof = Measured.Of(() => DrainOptimum.Find(problem.Model, problem.MiB, ours.Result.HostOf, Seconds, Threads));
        var (best, bound) = (proof.Result.Moved / 1024, proof.Result.Bound / 1024);
        Console.WriteLine(FormattableString.Invariant($"{name}: ours {moved:0} GiB (bound {ours.Result.Bound:0}), flaws {flaws}, ")
            + FormattableString.Invariant($"{ours.Times}; CP-SAT {best:0.#} GiB, proved {bound:0.#}, {proof.Result.HostOf is not null}; ")
            + FormattableString.Invariant($"gap {(moved - bound) / bound:P2}, with CP-SAT {(best - bound) / bound:P2}; {proof.Times}"));
    }

    public static int Small(string count)
    {
        var (gaps, impossible, missed, open, pushing) = (new List<double>(), 0, 0, 0, 0);
        for (var seed = 0; seed < int.Parse(count, CultureInfo.InvariantCulture); seed++)
        {
            var (model, costOf) = Instance(seed);
            var ours = LeastMoved.Find(model);
            var best = DrainOptimum.Find(model, costOf, null, SecondsOfSmall, Threads);
            if (best.HostOf is null) impossible++;
            else if (ours.Unplaced.Count > 0) missed++;
            else if (best.Moved > best.Bound + 0.5) open++;
            else gaps.Add((ours.Moved - best.Moved) / best.Moved);
            if (best.HostOf is not null && best.Moved > ours.Bound + 0.5) pushing++;
        }
        gaps.Sort();
        Console.WriteLine(FormattableString.Invariant($"{gaps.Count} drains: median gap {gaps[gaps.Count / 2]:P2}, worst {gaps[^1]:P2}, ")
            + $"{gaps.Count(gap => gap < 1e-9)} exactly the best; {missed} that we did not find, {impossible} that nobody can, "
            + $"{open} not proved; "
            + $"in {pushing} of them others have to move too");
        return 0;
    }

    /// <summary>Four to eight hosts, one emptied, the others 80 to 98 % full when it is: units of many sizes.</summary>
    private static (BalanceModel Model, long[] CostOf) Instance(int seed)
    {
        const int k = 2;
        var numbers = new Random(seed);
        var (hosts, fill) = (4 + seed % 5, 0.85 + 0.01 * (seed % 14));
        var demand = new List<double>();
        var home = new List<int>();
        for (var h = 0; h < hosts; h++)
        {
            var (memory, cpu) = (0.0, 0.0);
            for (var trial = 0; trial < 20; trial++)
            {
                var (m, c) = (4 + numbers.Next(40), 4 + numbers.Next(40));
                if (Math.Max(memory + m, cpu + c) > 100 * fill * (hosts - 1) / hosts) continue;
                memory += m;
                cpu += c;
                demand.AddRange([m, c]);
                home.Add(h);
            }
        }
        var model = new BalanceModel
        {
            Hosts = hosts, Units = home.Count, Resources = k, Standing = new double[hosts * k],
            Capacity = [.. Enumerable.Repeat(100.0, hosts * k)], Limit = [.. Enumerable.Repeat(100.0, hosts * k)], Demand = [.. demand],
            Home = [.. home], Price = [.. home.Select((_, u) => (float)demand[u * k])],
            Closed = [.. Enumerable.Range(0, hosts).Select(h => h == 0)], Emptied = [.. Enumerable.Range(0, hosts).Select(h => h == 0)],
            Rules = UnitRules.None,
        };
        return (model, [.. home.Select((_, u) => (long)demand[u * k])]);
    }
}
