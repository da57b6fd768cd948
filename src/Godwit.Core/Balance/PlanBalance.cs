using Godwit.Core.Balance.Search;
using Godwit.Core.Placement;

namespace Godwit.Core.Balance;

/// <summary>
/// Plans which VMs move, in what order and why: model the cluster, search a better placement, order the moves so that each has
/// room, tell the reasons. Nothing moves here, and nothing is asked of the clock. Pure.
/// </summary>
public static class PlanBalance
{
    /// <param name="now">For telling which VMs moved lately.</param>
    /// <param name="runner">How independent parts are run; the plan is the same for each.</param>
    /// <param name="stop">What was found by then is planned: never worse than doing nothing.</param>
    public static BalancePlan Of(
        PlacementView view, BalancePolicy policy, DateTimeOffset now, ICellRunner runner, CancellationToken stop = default)
    {
        var cluster = ClusterModel.Of(view, policy, now);
        var objective = policy.Objective();
        var settings = new SearchSettings { Price = policy.MinGainRatio, MovesMax = policy.MovesMax, Trials = policy.TrialsMax };
        var found = ClusterSearch.Find(cluster.Model, objective, settings, runner, stop: stop);
        var plan = Planned(view, policy, cluster, objective, found);
        if (plan.Blocked.Count == 0) return plan;
        // All but full: what has room one after another is better than an exchange nobody has room for.
        var singles = ClusterSearch.Find(cluster.Model, objective, settings with { SinglesOnly = true }, runner, stop: stop);
        var simpler = Planned(view, policy, cluster, objective, singles);
        return simpler.Moves.Count > 0 && simpler.ScoreAfter < plan.ScoreAfter ? simpler with { IsSettled = false } : plan;
    }

    internal static BalancePlan Planned(
        PlacementView view, BalancePolicy policy, ClusterModel cluster, BalanceObjective objective, SearchResult found)
    {
        var model = cluster.Model;
        var (ordered, leftOut) = MoveOrder.Of(model, objective, found.HostOf, policy.MovesAtOncePerHost);
        var (hostOf, loads) = ((int[])model.Home.Clone(), new double[model.Hosts * model.Resources]);
        model.LoadsOf(hostOf, loads);
        var reasons = new MoveReasons(view, policy, cluster, objective, loads, hostOf);
        var moves = ordered.SelectMany(reasons.Tell).ToList();
        var before = objective.Score(model, loads);
        foreach (var move in ordered) hostOf[move.Unit] = move.To;
        var after = new double[loads.Length];
        model.LoadsOf(hostOf, after);
        return new()
        {
            Stays = !policy.TellsStays ? []
                : new StayReasons(policy, cluster, objective, after, hostOf).Tell(ordered.Select(m => m.Unit).ToHashSet()),
            Moves = moves, ScoreBefore = before, ScoreAfter = objective.Score(model, after),
            IsSettled = found.Settled && leftOut.Count == 0,
            Blocked = [.. leftOut.SelectMany(unit => cluster.Vms(unit)).Select(vm => new BlockedMove(vm.Id, vm.Name, vm.Host!.Value,
                "it waits for room that only frees when it has moved itself: it needs a third host with room for a while"))],
        };
    }
}
