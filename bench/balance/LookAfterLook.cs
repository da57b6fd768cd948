using System.Globalization;
using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Search;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;

namespace Godwit.Balance;

/// <summary>
/// What the balancer's looks cost that each plan from nothing, by the product's own path: model, search, order, reasons. The first look
/// finds an uneven cluster; before each of the others the moves of the last are made, and the load of every VM has wandered.
/// </summary>
internal static class LookAfterLook
{
    private const int Looks = 12;
    private const double GiB = 1L << 30, CoresPerHost = 32, MemoryPerHostGiB = 512, LoadShare = 0.55, Wander = 0.1;

    public static int Run(string[] args)
    {
        if (args.Length != 3) return 2;
        var (hosts, vms) = (int.Parse(args[0], CultureInfo.InvariantCulture), int.Parse(args[1], CultureInfo.InvariantCulture));
        var numbers = new Random(int.Parse(args[2], CultureInfo.InvariantCulture));
        var view = Uneven(hosts, vms, numbers);
        var (policy, at) = (new BalancePolicy(), new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        PlanBalance.Of(view, policy, at, new OneByOne()); // Compiles.
        for (var look = 1; look <= Looks; look++)
        {
            var found = Measured.Of(() => PlanBalance.Of(view, policy, at, new OneByOne()));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"  look {look}: {found.Result.Moves.Count} moves; {found.CpuSeconds * 1000:0.0} ms CPU"));
            view = Next(view, found.Result, at, numbers);
            at = at.AddMinutes(1);
        }
        return 0;
    }

    /// <summary>Half of the VMs anywhere, the others on the first third of the hosts.</summary>
    private static PlacementView Uneven(int hosts, int vms, Random numbers)
    {
        var qemus = new[] { new QemuBinary("/usr/bin/qemu-system-x86_64", "7.2.22", ["pc-q35-7.2"], ["Nehalem-v1"]) };
        var share = LoadShare * hosts * CoresPerHost / vms;
        return new PlacementView(
            [.. Enumerable.Range(0, hosts).Select(h => new PlacementHost
            {
                Id = new HostId($"h{h:00000}"), State = HostState.Ready, Qemus = qemus,
                Capacity = new(MemoryPerHostGiB * GiB, CoresPerHost, CoresPerHost, MemoryPerHostGiB * GiB, 1e9),
            })],
            [.. Enumerable.Range(0, vms).Select(v =>
            {
                var memory = MemoryPerHostGiB * GiB / 4 * hosts / vms * (0.5 + numbers.NextDouble());
                return new PlacementVm
                {
                    Id = new VmId($"vm-{v:000000}"), Name = $"v{v:000000}", MachineType = "pc-q35-7.2", CpuModel = "Nehalem-v1",
                    Host = new HostId($"h{numbers.Next(v % 2 == 0 ? hosts : Math.Max(1, hosts / 3)):00000}"),
                    Demand = new(memory, 2, share * 2 * numbers.NextDouble(), memory / 2, 1e6),
                };
            })],
            new PlacementPolicy());
    }

    private static PlacementView Next(PlacementView view, BalancePlan plan, DateTimeOffset at, Random numbers)
    {
        var moves = plan.Moves.ToDictionary(move => move.Vm);
        return new PlacementView(view.Hosts, [.. view.Vms.Select(vm =>
        {
            var wandered = vm with
            {
                Demand = vm.Demand with { CpuCores = vm.Demand.CpuCores * (1 + Wander * (2 * numbers.NextDouble() - 1)) },
            };
            return !moves.TryGetValue(vm.Id, out var move) ? wandered
                : wandered with { Host = move.To, RecentMoves = [.. vm.RecentMoves, new RecentMove(move.From, at)] };
        })], view.Policy);
    }
}
