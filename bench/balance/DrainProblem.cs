using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>
/// Host 0 is emptied and every host brought under 80 % CPU and 90 % memory with the fewest bytes moved. Built from a generated
/// cluster, and told how good an answer is. A VM that alone is over a ceiling raises it, where it is, to its own size.
/// </summary>
internal sealed class DrainProblem(GeneratedCluster cluster, double cpuMax = DrainProblem.CpuMax, double memoryMax = DrainProblem.MemoryMax)
{
    public const double CpuMax = 0.8, MemoryMax = 0.9;
    private const int Resources = 2;

    public BalanceModel Model { get; } = ModelOf(cluster, cpuMax, memoryMax);

    /// <summary>MiB of each unit: what moving it costs.</summary>
    public long[] MiB => [.. cluster.Vms.Select(vm => (long)vm.MemMiB)];

    public double MovedGiB(int[] hostOf) =>
        cluster.Vms.Where((vm, i) => hostOf[i] != vm.Host).Sum(vm => vm.MemMiB) / 1024;

    /// <summary>Loads over a ceiling and units still on host 0: 0 of both in an answer that counts.</summary>
    public (int Over, int Left) Flaws(int[] hostOf)
    {
        var loads = new double[Model.Limit.Length];
        Model.LoadsOf(hostOf, loads);
        return (Enumerable.Range(0, loads.Length).Count(at => loads[at] > Model.Limit[at] * (1 + 1e-9)), hostOf.Count(host => host == 0));
    }

    private static BalanceModel ModelOf(GeneratedCluster cluster, double cpuMax, double memoryMax)
    {
        var n = cluster.Hosts.Length;
        var limit = cluster.Hosts.SelectMany(host => new[] { host.MemMiB * memoryMax, host.Cores * cpuMax }).ToArray();
        foreach (var vm in cluster.Vms)
        {
            limit[vm.Host * Resources] = Math.Max(limit[vm.Host * Resources], vm.MemMiB);
            limit[vm.Host * Resources + 1] = Math.Max(limit[vm.Host * Resources + 1], vm.CpuDemandCores);
        }
        return new()
        {
            Hosts = n, Units = cluster.Vms.Length, Resources = Resources, Standing = new double[n * Resources],
            Capacity = [.. cluster.Hosts.SelectMany(host => new double[] { host.MemMiB, host.Cores })],
            Limit = limit,
            Demand = [.. cluster.Vms.SelectMany(vm => new[] { vm.MemMiB, vm.CpuDemandCores })],
            Home = [.. cluster.Vms.Select(vm => vm.Host)], Price = [.. cluster.Vms.Select(vm => (float)(vm.MemMiB / 1024))],
            Closed = [.. Enumerable.Range(0, n).Select(host => host == 0)], Emptied = [.. Enumerable.Range(0, n).Select(host => host == 0)],
            Rules = UnitRules.None,
        };
    }
}
