using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>
/// Host 0 is emptied and every host brought under 80 % CPU and 90 % memory with the fewest bytes moved. The bound: each host
/// by itself must send away at least the lightest set that brings it under; all hosts together no less than the sum. Where a
/// plan moves just that much, it is proved to be the best.
/// </summary>
internal static class DrainBound
{
    private const double CpuMax = 0.8, MemoryMax = 0.9;
    private const ulong Seeds = 6;
    private const int Memory = 0, Cpu = 1, Resources = 2;

    public static int Run(string[] args)
    {
        if (args.Length != 4) return 2;
        using var programs = new OutsidePrograms(args[0]);
        var cluster = programs.Generate(args[1], args[2], args[3]);
        var model = Model(cluster);
        Find(model);
        var found = Measured.Of(() => Find(model));
        var hostOf = found.Result.HostOf;
        var loads = new double[model.Limit.Length];
        model.LoadsOf(hostOf, loads);
        var over = Enumerable.Range(0, loads.Length).Count(at => loads[at] > model.Limit[at]);
        var moved = cluster.Vms.Where((vm, i) => hostOf[i] != vm.Host).Sum(vm => vm.MemMiB) / 1024;
        var bound = Enumerable.Range(0, model.Hosts).Sum(host => LightestSet(cluster, model, host)) / 1024;
        Console.WriteLine($"{args[1]}/{args[2]} seed {args[3]}: {moved:0} GiB moved, bound {bound:0} GiB "
            + $"(gap {(moved - bound) / bound:P2}); left on host 0: "
            + $"{hostOf.Count(host => host == 0)}, over a ceiling: {over}; {found.Times}");
        return 0;
    }

    private static BalanceModel Model(GeneratedCluster cluster)
    {
        var n = cluster.Hosts.Length;
        return new()
        {
            Hosts = n, Units = cluster.Vms.Length, Resources = Resources, Standing = new double[n * Resources],
            Capacity = [.. cluster.Hosts.SelectMany(host => new double[] { host.MemMiB, host.Cores })],
            Limit = [.. cluster.Hosts.SelectMany(host => new[] { host.MemMiB * MemoryMax, host.Cores * CpuMax })],
            Demand = [.. cluster.Vms.SelectMany(vm => new[] { vm.MemMiB, vm.CpuDemandCores })],
            Home = [.. cluster.Vms.Select(vm => vm.Host)], Price = [.. cluster.Vms.Select(vm => (float)(vm.MemMiB / 1024))],
            Closed = [.. Enumerable.Range(0, n).Select(host => host == 0)], Emptied = [.. Enumerable.Range(0, n).Select(host => host == 0)],
            Rules = UnitRules.None,
        };
    }

    /// <summary>First so that a host may be a little too full where that saves much, then so that nothing is worth that.</summary>
    private static SearchResult Find(BalanceModel model)
    {
        SearchResult? best = null;
        for (var seed = 1ul; seed <= Seeds; seed++)
        {
            var settings = new SearchSettings { Price = 1, Seed = seed };
            var crowded = ClusterSearch.Find(model, Ceilings(3e5), settings, new OneByOne());
            var found = ClusterSearch.Find(model, Ceilings(1e11), settings, new OneByOne(), crowded.HostOf);
            if (best is null || Cost(model, found.HostOf) < Cost(model, best.HostOf)) best = found;
        }
        return best!;
    }

    private static double Cost(BalanceModel model, int[] hostOf)
    {
        var loads = new double[model.Limit.Length];
        model.LoadsOf(hostOf, loads);
        return Enumerable.Range(0, loads.Length).Sum(at => loads[at] > model.Limit[at] ? 1e6 : 0)
            + Enumerable.Range(0, model.Units).Sum(unit =>
                hostOf[unit] == 0 ? 1e6 : hostOf[unit] == model.Home[unit] ? 0 : model.Price[unit]);
    }

    private static BalanceObjective Ceilings(double steepness) => new()
    {
        Levelling = Levelling.Squares, Weight = [0, 0], Knee = [MemoryMax - 1e-4, CpuMax - 1e-4], Steepness = [steepness, steepness],
    };

    /// <summary>In MiB; branch and bound over the host's VMs, the most useful for their weight first.</summary>
    private static double LightestSet(GeneratedCluster cluster, BalanceModel model, int host)
    {
        var vms = cluster.Vms.Where(vm => vm.Host == host).ToArray();
        if (host == 0) return vms.Sum(vm => vm.MemMiB);
        var memory = vms.Sum(vm => vm.MemMiB) - model.Limit[host * Resources + Memory];
        var cpu = vms.Sum(vm => vm.CpuDemandCores) - model.Limit[host * Resources + Cpu];
        vms = [.. vms.OrderByDescending(vm => vm.CpuDemandCores / vm.MemMiB)];
        var best = double.PositiveInfinity;
        Choose(0, 0, 0, 0);
        return best;

        void Choose(int next, double weight, double memoryGone, double cpuGone)
        {
            if (weight >= best) return;
            if (memoryGone >= memory && cpuGone >= cpu) { best = weight; return; }
            if (next == vms.Length) return;
            // The rest has at most this much CPU for its weight: what is lacking weighs at least so much.
            var lackingCpu = Math.Max(0, cpu - cpuGone) / Math.Max(1e-12, vms[next].CpuDemandCores / vms[next].MemMiB);
            if (weight + Math.Max(lackingCpu, memory - memoryGone) >= best) return;
            Choose(next + 1, weight + vms[next].MemMiB, memoryGone + vms[next].MemMiB, cpuGone + vms[next].CpuDemandCores);
            Choose(next + 1, weight, memoryGone, cpuGone);
        }
    }
}
