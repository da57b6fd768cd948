using Godwit.Core.Replay;

namespace Godwit.PlanetLab;

/// <summary>
/// Where CloudSim creates the VMs: each with all its MIPS and memory, one after another, while every host still looks idle.
/// </summary>
internal static class FirstPlacement
{
    /// <summary>The least rise in power; how its policies that move VMs begin.</summary>
    public static int[] LeastPower(ReplayCluster cluster) => Place(cluster, leastPower: true);

    /// <summary>The first host with room; how it begins where VMs never move.</summary>
    public static int[] FirstFit(ReplayCluster cluster) => Place(cluster, leastPower: false);

    private static int[] Place(ReplayCluster cluster, bool leastPower)
    {
        var (cpu, memory) = (cluster.Hosts.Select(h => h.Cpu).ToArray(), cluster.Hosts.Select(h => h.MemoryBytes).ToArray());
        return [.. cluster.Vms.Select(vm =>
        {
            var (best, bestRise) = (-1, double.MaxValue);
            for (var h = 0; h < cpu.Length; h++)
            {
                if (cluster.Hosts[h].CpuOfOneCore < vm.Cpu || cpu[h] < vm.Cpu || memory[h] < vm.MemoryBytes) continue;
                var (watts, capacity) = (PlanetLabDay.Watts[h % 2], cluster.Hosts[h].Cpu);
                var after = capacity - cpu[h] + vm.Cpu;
                var rise = leastPower ? SpecPower.At(watts, after / capacity) - SpecPower.At(watts, 0) : h;
                if (rise < bestRise) (best, bestRise) = (h, rise);
            }
            if (best < 0) throw new InvalidOperationException("no host has room for a VM at its creation");
            (cpu[best], memory[best]) = (cpu[best] - vm.Cpu, memory[best] - vm.MemoryBytes);
            return best;
        })];
    }
}
