using Godwit.Core.Balance.Search;
using Godwit.Core.Placement;

namespace Godwit.Core.Balance;

/// <summary>How hosts would be emptied.</summary>
/// <param name="Stays">VMs that would still be there, and why; none is ever stopped. Empty: the hosts will be empty.</param>
/// <param name="MissingBytes">Memory the other hosts lack for what stays, 0 where something else keeps it.</param>
public sealed record DrainPlan(BalancePlan Plan, IReadOnlyList<BlockedMove> Stays, double MissingBytes)
{
    public bool EmptiesAll => Stays.Count == 0;
}

/// <summary>
/// Plans the emptying of hosts with the fewest bytes moved. Others move only to make room where nothing else helps; who goes
/// where is chosen by the same score as in balancing, so that no host gets them all. Pure.
/// </summary>
public static class PlanDrain
{
    /// <summary>Who need not move does so only where that empties a host.</summary>
    private const float PriceOfBystanders = 1000;

    public static DrainPlan Of(
        PlacementView view, IReadOnlyCollection<HostId> drained, BalancePolicy policy, DateTimeOffset now, ICellRunner runner,
        CancellationToken stop = default)
    {
        foreach (var id in drained) view.Host(id);
        var draining = new PlacementView(
            [.. view.Hosts.Select(host => drained.Contains(host.Id) ? host with { IsDraining = true } : host)], view.Vms, view.Policy);
        // A drain asks for no gain, is not held to a number of moves, and a VM may go back to where it came from.
        var ours = policy with { Cooldown = TimeSpan.Zero, MovesMax = int.MaxValue };
        var cluster = ClusterModel.Of(draining, ours, now);
        var model = DearerBystanders(cluster.Model);
        var settings = new SearchSettings { Price = policy.MinGainRatio };
        var objective = ours.Objective();
        var found = ClusterSearch.Find(model, objective, settings, runner, stop: stop);
        if (LeftOver(model, found.HostOf).Count > 0 && MakingRoom(cluster, objective, settings, runner, stop) is var roomier
            && LeftOver(model, roomier.HostOf).Count < LeftOver(model, found.HostOf).Count) found = roomier;

        var plan = PlanBalance.Planned(draining, ours, cluster, objective, found);
        return WithWhatStays(draining, drained, plan);
    }

    private static BalanceModel DearerBystanders(BalanceModel model) => model.With(
        price: [.. model.Price.Select((price, unit) => model.Emptied[model.Home[unit]] ? price : price * PriceOfBystanders)]);

    private static List<int> LeftOver(BalanceModel model, int[] hostOf) =>
        [.. Enumerable.Range(0, model.Units).Where(unit => model.Emptied[hostOf[unit]])];

    /// <summary>
    /// Others move on where that makes room: with the fewest bytes moved, then who goes where by the score, with no bystander more.
    /// A host that was too full before may stay as full.
    /// </summary>
    private static SearchResult MakingRoom(
        ClusterModel cluster, BalanceObjective objective, SearchSettings settings, ICellRunner runner, CancellationToken stop)
    {
        var (model, before) = (cluster.Model, new double[cluster.Model.Limit.Length]);
        model.LoadsOf(model.Home, before);
        var limits = model.With(limit: [.. model.Limit.Select((limit, at) => Math.Max(limit, before[at]))]);
        var least = LeastMoved.Find(limits, settings.Seed, stop: stop);
        return ClusterSearch.Find(DearerBystanders(limits), objective, settings, runner, least.HostOf, stop);
    }

    private static DrainPlan WithWhatStays(PlacementView view, IReadOnlyCollection<HostId> drained, BalancePlan plan)
    {
        var moved = plan.Moves.ToDictionary(move => move.Vm, move => move.To);
        var after = new PlacementView(view.Hosts,
            [.. view.Vms.Select(vm => moved.TryGetValue(vm.Id, out var to) ? vm with { Host = to } : vm)], view.Policy);
        var stays = after.Vms.Where(vm => vm.Host is { } host && drained.Contains(host)).ToList();
        var others = view.Hosts.Where(host => !drained.Contains(host.Id)).ToList();
        var blocked = stays.Select(vm => new BlockedMove(vm.Id, vm.Name, vm.Host!.Value, WhyItStays(after, vm, others))).ToList();
        var needed = stays.Where(vm => !vm.IsPinned).Sum(vm => vm.Demand.MemoryBytes);
        var free = others.Sum(host =>
            Math.Max(0, view.Policy.Ceiling(Resource.Memory, host.Capacity.MemoryBytes) - after.Used(host.Id).MemoryBytes));
        return new(plan, blocked, Math.Max(0, needed - free));
    }

    /// <summary>Each host's first reason; hosts with the same one are told together.</summary>
    private static string WhyItStays(PlacementView after, PlacementVm vm, List<PlacementHost> others)
    {
        if (vm.IsPinned) return "it is pinned";
        if (others.Count == 0) return "there is no other host";
        return string.Join("; ", others
            .Select(host => (host.Id, why: PlacementCheck.Judge(after, vm, host).Reasons
                .OrderByDescending(reason => reason.IsHard).FirstOrDefault()))
            .GroupBy(pair => pair.why?.Why.Code ?? "move-refused")
            .OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal)
            .Select(group => $"{group.First().why?.Why.Cause ?? $"{group.First().Id} has room only when others have moved"}"
                + (group.Count() == 1 ? "" : $" (and {group.Count() - 1} more hosts: {group.Key})")));
    }
}
