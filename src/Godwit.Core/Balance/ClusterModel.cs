using Godwit.Core.Balance.Search;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;

namespace Godwit.Core.Balance;

/// <summary>
/// A cluster turned into the search's numbers, and back. VMs that a hard rule keeps together, and that are together, become
/// one unit; those that may not move are a part of their host's load.
/// </summary>
public sealed class ClusterModel
{
    private readonly PlacementView view;
    private readonly BalancePolicy policy;
    private readonly DateTimeOffset now;
    private readonly Dictionary<HostId, int> numberOf;
    private readonly List<int[]> units = [];
    private readonly Dictionary<VmId, string> kept = [];

    private ClusterModel(PlacementView view, BalancePolicy policy, DateTimeOffset now)
    {
        (this.view, this.policy, this.now) = (view, policy, now);
        numberOf = view.Hosts.Select((host, number) => (host.Id, number)).ToDictionary(pair => pair.Id, pair => pair.number);
        GatherUnits();
        Model = Build();
    }

    public BalanceModel Model { get; }

    /// <param name="now">For telling which moves were lately; the clock's time, given by the caller.</param>
    public static ClusterModel Of(PlacementView view, BalancePolicy policy, DateTimeOffset now) => new(view, policy, now);

    public PlacementHost Host(int number) => view.Hosts[number];

    public IEnumerable<PlacementVm> Vms(int unit) => units[unit].Select(v => view.Vms[v]);

    /// <summary>VMs that no plan moves, and why, as half a sentence.</summary>
    public IReadOnlyDictionary<VmId, string> Kept => kept;

    internal IEnumerable<(PlacementVm Vm, string Why)> KeptVms =>
        view.Vms.Where(vm => kept.ContainsKey(vm.Id)).Select(vm => (vm, kept[vm.Id]));

    private void GatherUnits()
    {
        var together = view.Policy.Rules.Where(rule => rule is PlacementRule.Together && rule.IsHard).Select(rule => rule.VmTag).ToArray();
        var unitOf = new Dictionary<(string, HostId), List<int>>();
        var open = new List<List<int>>();
        for (var v = 0; v < view.Vms.Count; v++)
        {
            var vm = view.Vms[v];
            if (vm.Host is not { } host || !numberOf.ContainsKey(host)) continue;
            var tag = together.FirstOrDefault(vm.Tags.Contains);
            if (tag is not null && unitOf.TryGetValue((tag, host), out var unit)) unit.Add(v);
            else
            {
                open.Add(unit = [v]);
                if (tag is not null) unitOf[(tag, host)] = unit;
            }
        }
        foreach (var unit in open)
        {
            var reason = unit.Select(v => WhyKept(view.Vms[v])).FirstOrDefault(why => why is not null);
            if (reason is null) units.Add([.. unit]);
            else foreach (var v in unit) kept[view.Vms[v].Id] = reason;
        }
    }

    private string? WhyKept(PlacementVm vm) =>
        vm.IsPinned ? "it is pinned"
        : view.Hosts[numberOf[vm.Host!.Value]].State == HostState.Unreachable ? "its host does not answer"
        : double.IsPositiveInfinity(policy.CopySeconds(vm)) 
            ? "it changes its memory faster than the link carries it: a live move would not end"
        : null;

    private BalanceModel Build()
    {
        const int resources = Amounts.Count;
        var (n, m) = (view.Hosts.Count, units.Count);
        var (capacity, standing, limit) = (new double[n * resources], new double[n * resources], new double[n * resources]);
        var demand = new double[m * resources];
        // A resource that some host does not tell is left aside: its shares could not be compared.
        var known = Enum.GetValues<Resource>().Where(r => view.Hosts.All(host => host.Capacity[r] > 0)).ToArray();
        Array.Fill(capacity, 1);
        Array.Fill(limit, double.PositiveInfinity);
        foreach (var resource in known)
            for (var h = 0; h < n; h++)
            {
                var at = h * resources + (int)resource;
                capacity[at] = view.Hosts[h].Capacity[resource];
                standing[at] = view.Hosts[h].Standing[resource];
                limit[at] = view.Policy.Ceiling(resource, capacity[at]);
            }
        foreach (var vm in view.Vms.Where(vm => kept.ContainsKey(vm.Id)))
            foreach (var resource in known)
                standing[numberOf[vm.Host!.Value] * resources + (int)resource] += vm.Demand[resource];
        for (var u = 0; u < m; u++)
            foreach (var vm in Vms(u))
                foreach (var resource in known) demand[u * resources + (int)resource] += vm.Demand[resource];

        return new BalanceModel
        {
            Hosts = n, Units = m, Resources = resources, Capacity = capacity, Standing = standing, Limit = limit, Demand = demand,
            Home = [.. units.Select(unit => numberOf[view.Vms[unit[0]].Host!.Value])],
            Price = [.. Enumerable.Range(0, m).Select(u => (float)Vms(u).Sum(Price))],
            Closed = [.. view.Hosts.Select(host => host.State != HostState.Ready || host.IsDraining)],
            Emptied = [.. view.Hosts.Select(host => host.IsDraining && host.State != HostState.Unreachable)],
            Rules = new RuleNumbers(view, units, numberOf, kept, RecentlyLeft).Build(),
        };
    }

    /// <summary>Twice as dear for every move of the last hour: who moves often must gain much.</summary>
    private double Price(PlacementVm vm) => policy.Cost(vm) * vm.Dearness * Math.Pow(2, Math.Min(10, RecentlyLeft(vm).Count()));

    private IEnumerable<HostId> RecentlyLeft(PlacementVm vm) =>
        vm.RecentMoves.Where(move => now - move.At < policy.Cooldown).Select(move => move.From);
}
