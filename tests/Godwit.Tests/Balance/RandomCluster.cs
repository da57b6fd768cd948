using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;

namespace Godwit.Tests.Balance;

/// <summary>Clusters for tests: uneven on purpose, with rules, pins and closed hosts, the same for the same seed.</summary>
internal static class RandomCluster
{
    public static readonly DateTimeOffset Now = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);
    public const double GiB = 1L << 30;

    public static PlacementHost Host(string name, double memoryGiB = 64, double cpus = 16) => new()
    {
        Id = new HostId(name), State = HostState.Ready, Capacity = new(memoryGiB * GiB, cpus, cpus, memoryGiB * GiB, 117e6),
        Qemus = [new QemuBinary("/usr/bin/qemu-system-x86_64", "7.2.22", ["pc-q35-7.2"], ["Nehalem-v1"])],
    };

    public static PlacementVm Vm(string name, string? host, double memoryGiB = 4, double vcpus = 2, double cores = 1) => new()
    {
        Id = new VmId("vm-" + name), Name = name, Host = host is null ? null : new HostId(host),
        Demand = new(memoryGiB * GiB, vcpus, cores, memoryGiB * GiB / 2, 1e6), MachineType = "pc-q35-7.2", CpuModel = "Nehalem-v1",
    };

    /// <summary>Some hosts hot, some cold, some closed; groups that are to be apart or together.</summary>
    public static PlacementView Make(int seed, int hosts, int vms)
    {
        var numbers = new Random(seed);
        var hostList = Enumerable.Range(0, hosts).Select(h => Host($"h{h:000}", memoryGiB: numbers.Next(3) == 0 ? 96 : 64,
            cpus: numbers.Next(3) == 0 ? 32 : 16)).ToList();
        if (hosts > 3) hostList[1] = hostList[1] with { State = HostState.Cordoned };
        if (hosts > 5) hostList[3] = hostList[3] with { State = HostState.Unreachable };
        for (var h = 0; h < hosts; h += 2) hostList[h] = hostList[h] with { Tags = ["ssd"] };
        var free = hostList.Select(host => host.Capacity.MemoryBytes).ToArray();
        var vmList = new List<PlacementVm>();
        for (var v = 0; v < vms; v++)
        {
            var memory = 1 << numbers.Next(5);
            var at = numbers.Next(2) == 0 ? numbers.Next(Math.Max(1, hosts / 4)) : numbers.Next(hosts);
            if (free[at] < memory * GiB) at = Array.FindIndex(free, bytes => bytes >= memory * GiB);
            if (at < 0) continue;
            free[at] -= memory * GiB;
            var vm = Vm($"{v:0000}", $"h{at:000}", memory, 1 + numbers.Next(4), numbers.NextDouble() * 3);
            if (v % 11 == 0) vm = vm with { Tags = [$"apart{v / 33}"] };
            if (v % 13 == 1) vm = vm with { Tags = [$"near{v / 39}"] };
            if (v % 17 == 2) vm = vm with { Tags = ["fast"] };
            if (v % 19 == 3) vm = vm with { IsPinned = true };
            vmList.Add(vm);
        }
        List<PlacementRule> rules = [new PlacementRule.OnHosts { Name = "fast", VmTag = "fast", HostTag = "ssd", IsHard = false }];
        for (var g = 0; g <= vms / 33; g++) rules.Add(new PlacementRule.Apart { Name = $"apart{g}", VmTag = $"apart{g}" });
        for (var g = 0; g <= vms / 39; g++)
            rules.Add(new PlacementRule.Together { Name = $"near{g}", VmTag = $"near{g}", IsHard = g % 2 == 0 });
        return new PlacementView(hostList, vmList, new PlacementPolicy { Rules = rules });
    }

    public static PlacementView After(PlacementView view, IEnumerable<Godwit.Core.Balance.PlannedMove> moves, DateTimeOffset at)
    {
        var target = moves.ToDictionary(move => move.Vm);
        return new PlacementView(view.Hosts, [.. view.Vms.Select(vm => !target.TryGetValue(vm.Id, out var move) ? vm
            : vm with { Host = move.To, RecentMoves = [.. vm.RecentMoves, new RecentMove(move.From, at)] })], view.Policy);
    }
}
