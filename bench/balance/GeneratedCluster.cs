using System.Text.Json;
using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>A cluster as cluster-gen.py writes it: its words are that program's.</summary>
internal sealed record GeneratedCluster(string Format, int Seed, string Template, GeneratedHost[] Hosts, GeneratedVm[] Vms)
{
    private static readonly JsonSerializerOptions Words = new(JsonSerializerDefaults.Web);

    public static GeneratedCluster Read(string path) =>
        JsonSerializer.Deserialize<GeneratedCluster>(File.ReadAllBytes(path), Words)
        ?? throw new InvalidDataException($"{path} holds no cluster");

    public void WriteMoved(string path, int[] hostOf)
    {
        var moved = this with { Vms = [.. Vms.Select((vm, i) => vm with { Host = hostOf[i] })] };
        File.WriteAllBytes(path, JsonSerializer.SerializeToUtf8Bytes(moved, Words));
    }

    /// <summary>
    /// hbal's own view: memory and vcpus as shares of the host, four loads as they are, not divided by the host's size; and
    /// the host itself counts as one vcpu.
    /// </summary>
    public BalanceModel AsHbalSeesIt()
    {
        const int k = 6;
        var (n, m) = (Hosts.Length, Vms.Length);
        var (cores, memory) = (Hosts.Average(h => (double)h.Cores), Hosts.Average(h => (double)h.MemMiB));
        var (capacity, limit, standing, demand) = (new double[n * k], new double[n * k], new double[n * k], new double[m * k]);
        for (var h = 0; h < n; h++)
        {
            new[] { (double)Hosts[h].MemMiB, Hosts[h].Cores, 1, 1, 1, 1 }.CopyTo(capacity, h * k);
            Array.Fill(limit, double.PositiveInfinity, h * k, k);
            limit[h * k] = Hosts[h].MemMiB;
            standing[h * k + 1] = 1;
        }
        for (var v = 0; v < m; v++)
        {
            var vm = Vms[v];
            new[] { vm.MemMiB, vm.Vcpus, vm.CpuDemandCores / cores, vm.MemActiveMiB / memory, vm.DiskMBps / 1000, vm.NetMbps / 25000 }
                .CopyTo(demand, v * k);
        }
        var price = new float[m];
        Array.Fill(price, 1);
        return new BalanceModel
        {
            Hosts = n, Units = m, Resources = k, Capacity = capacity, Limit = limit, Standing = standing, Demand = demand,
            Home = [.. Vms.Select(vm => vm.Host)], Price = price, Closed = [.. Hosts.Select(h => h.Offline)], Emptied = new bool[n],
            Rules = UnitRules.None,
        };
    }

    public static BalanceObjective HbalObjective { get; } = new()
    {
        Levelling = Levelling.Deviation, Weight = [1, 1, 1, 1, 1, 1], Steepness = new double[6],
        Knee = [.. Enumerable.Repeat(double.PositiveInfinity, 6)],
    };
}

internal sealed record GeneratedHost(int Id, string Name, int Cores, long MemMiB, double NicMbps, bool Offline);

internal sealed record GeneratedVm(
    int Id, string Name, double Vcpus, double MemMiB, double DiskMiB, double CpuDemandCores, double MemActiveMiB, double NetMbps,
    double DiskMBps, double DirtyMBps, int Host, int? Secondary);
