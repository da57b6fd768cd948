using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Search;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Xunit;

namespace Godwit.Tests.Balance;

/// <summary>What holds for every plan, whatever the cluster: tried on clusters made from seeds.</summary>
public sealed class BalancePropertyTests
{
    private static readonly BalancePolicy Policy = new();
    private const int SeedsCount = 8;
    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, SeedsCount)];

    private static BalancePlan Plan(PlacementView view, BalancePolicy? policy = null, ICellRunner? runner = null) =>
        PlanBalance.Of(view, policy ?? Policy, RandomCluster.Now, runner ?? new OneByOne());

    private static PlacementView Cluster(int seed) => RandomCluster.Make(seed, hosts: 4 + seed % 9, vms: (4 + seed % 9) * (5 + seed % 4));

    [Theory, MemberData(nameof(Seeds))]
    public void No_step_passes_a_ceiling_or_breaks_a_hard_rule_and_no_VM_moves_twice(int seed)
    {
        var view = Cluster(seed);
        var plan = Plan(view);
        Assert.Equal(plan.Moves.Count, plan.Moves.Select(move => move.Vm).Distinct().Count());
        Assert.True(plan.ScoreAfter <= plan.ScoreBefore, $"{plan.ScoreBefore} -> {plan.ScoreAfter}, {plan.Moves.Count} moves");
        PlanReplay.Check(view, plan);
    }

    [Theory, MemberData(nameof(Seeds))]
    public void Planning_again_on_the_result_gives_nothing(int seed)
    {
        var view = Cluster(seed);
        var plan = Plan(view);
        if (!plan.IsSettled) return; // Counted below: it is the exception.
        Assert.Empty(Plan(RandomCluster.After(view, plan.Moves, RandomCluster.Now.AddHours(-2))).Moves);
    }

    /// <summary>Seen in the lab: of two moves that belong together the one that hurts by itself went at the same time.</summary>
    [Fact]
    public void What_hurts_by_itself_goes_alone_and_only_to_make_room()
    {
        var plans = Enumerable.Range(1, 6).Select(seed => Plan(RandomCluster.Make(seed, hosts: 30, vms: 240))).ToList();
        Assert.Contains(plans, plan => plan.Moves.Any(move => move.Wave > 1));
        foreach (var hurting in plans.SelectMany(plan => plan.Moves.GroupBy(move => move.Wave))
                     .Where(wave => wave.Any(move => move.GainSeconds < 0)))
        {
            Assert.All(hurting, move => Assert.Equal(MoveGoal.MakeRoom, move.Goal));
            Assert.Single(hurting.Select(move => (move.From, move.To)).Distinct());
        }
    }

    [Fact]
    public void Plans_move_something_and_nearly_all_of_them_settle()
    {
        var plans = Enumerable.Range(1, SeedsCount).Select(seed => Plan(Cluster(seed))).ToList();
        Assert.True(plans.Count(plan => plan.Moves.Count > 0) >= 7,
            string.Join(" ", plans.Select(plan => $"{plan.Moves.Count} moves, {plan.Blocked.Count} blocked;")));
        Assert.True(plans.Count(plan => plan.IsSettled) >= 7, $"{plans.Count(plan => plan.IsSettled)} of {plans.Count} settled");
    }

    [Theory, InlineData(1), InlineData(2)]
    public void The_plan_is_the_same_whatever_order_cells_are_solved_in(int seed)
    {
        var view = RandomCluster.Make(seed, hosts: 300, vms: 1500);
        var plan = Plan(view);
        Assert.NotEmpty(plan.Moves);
        Assert.Equal(plan.Moves, Plan(view, runner: new LastFirst()).Moves);
    }

    /// <summary>Held to a number of moves a middling cluster is searched several times, on threads where there are any.</summary>
    [Theory, InlineData(1), InlineData(2)]
    public void Held_to_a_number_of_moves_the_plan_is_the_same_in_any_order_and_on_threads(int seed)
    {
        var view = RandomCluster.Make(seed, hosts: 20, vms: 160);
        var policy = Policy with { MovesMax = 8, TrialsMax = 100_000 };
        var plan = Plan(view, policy);
        Assert.NotEmpty(plan.Moves);
        Assert.Equal(plan.Moves, Plan(view, policy, new LastFirst()).Moves);
        Assert.Equal(plan.Moves, Plan(view, policy, new OnThreads()).Moves);
    }

    [Theory, MemberData(nameof(Seeds))]
    public void A_limit_of_moves_is_kept_and_the_score_is_still_better(int seed)
    {
        var view = Cluster(seed);
        var plan = Plan(view, Policy with { MovesMax = 3 });
        // VMs that a rule keeps together go as one.
        Assert.True(plan.Moves.Select(move => (move.From, move.To, move.Why)).Distinct().Count() <= 3);
        Assert.True(plan.ScoreAfter <= plan.ScoreBefore, $"{plan.ScoreBefore} -> {plan.ScoreAfter}, {plan.Moves.Count} moves");
        PlanReplay.Check(view, plan);
    }

    [Theory, MemberData(nameof(Seeds))]
    public void A_drain_breaks_nothing_on_the_way_and_accounts_for_every_VM(int seed)
    {
        var view = Cluster(seed);
        var host = view.Hosts[0].Id;
        var drain = PlanDrain.Of(view, [host], Policy, RandomCluster.Now, new OneByOne());
        PlanReplay.Check(view, drain.Plan);
        var there = view.Vms.Where(vm => vm.Host == host).Select(vm => vm.Id).ToHashSet();
        Assert.Equal(there, drain.Plan.Moves.Where(move => move.From == host).Select(move => move.Vm)
            .Concat(drain.Stays.Select(stays => stays.Vm)).ToHashSet());
        Assert.DoesNotContain(drain.Plan.Moves, move => move.To == host);
        Assert.All(drain.Stays, stays => Assert.NotEmpty(stays.Why));
    }

    /// <summary>The load swings between two halves of the cluster every twenty minutes: the worst a balancer can be shown.</summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public void No_VM_returns_to_a_host_it_left_within_the_hour(int seed)
    {
        var numbers = new Random(seed);
        var hosts = Enumerable.Range(0, 6).Select(h => RandomCluster.Host($"h{h}", cpus: 12)).ToList();
        var vms = Enumerable.Range(0, 48).Select(v => RandomCluster.Vm($"{v:00}", $"h{v % 6}")).ToList();
        var phase = vms.Select(_ => numbers.Next(2)).ToArray();
        var (now, moves) = (RandomCluster.Now, 0);
        for (var minute = 0; minute < 240; minute += 5, now += TimeSpan.FromMinutes(5))
        {
            var swing = minute / 20 % 2;
            vms = [.. vms.Select((vm, v) => vm with { Demand = vm.Demand with { CpuCores = phase[v] == swing ? 1.9 : 0.2 } })];
            var view = new PlacementView(hosts, vms, new PlacementPolicy());
            var plan = PlanBalance.Of(view, Policy, now, new OneByOne());
            Assert.All(plan.Moves, move => Assert.DoesNotContain(vms.Single(vm => vm.Id == move.Vm).RecentMoves,
                recent => recent.From == move.To && now - recent.At < TimeSpan.FromMinutes(60)));
            moves += plan.Moves.Count;
            vms = [.. RandomCluster.After(view, plan.Moves, now).Vms];
        }
        Assert.True(moves > 0);
        Assert.True(moves < 150, $"{moves} moves of 48 VMs in four hours");
    }

    private sealed class OnThreads : ICellRunner
    {
        public void Run(int cells, Action<int> solve) => Parallel.For(0, cells, solve);
    }

    private sealed class LastFirst : ICellRunner
    {
        public void Run(int cells, Action<int> solve)
        {
            for (var cell = cells - 1; cell >= 0; cell--) solve(cell);
        }
    }
}

/// <summary>Carries a plan out wave by wave, VMs on their way counted on both hosts, and holds each step to the policy.</summary>
internal static class PlanReplay
{
    public static void Check(PlacementView view, BalancePlan plan)
    {
        var brokenBefore = Broken(view);
        foreach (var wave in plan.Moves.GroupBy(move => move.Wave).OrderBy(group => group.Key))
        {
            foreach (var arrivals in wave.GroupBy(move => move.To))
            {
                var host = view.Host(arrivals.Key);
                Assert.Equal(HostState.Ready, host.State);
                foreach (var resource in Enum.GetValues<Resource>())
                {
                    var come = arrivals.Sum(move => view.Vms.Single(vm => vm.Id == move.Vm).Demand[resource]);
                    Assert.True(view.Used(host.Id)[resource] + come <= view.Policy.Ceiling(resource, host.Capacity[resource]) * (1 + 1e-9),
                        $"wave {wave.Key}: {resource} of {host.Id}");
                }
            }
            view = RandomCluster.After(view, wave, RandomCluster.Now);
            var broken = Broken(view);
            Assert.Subset(brokenBefore, broken);
            brokenBefore = broken;
        }
    }

    /// <summary>Every hard reason against where a VM is, without those of room, which are held above.</summary>
    private static HashSet<(VmId, string)> Broken(PlacementView view) => [.. view.Vms.Where(vm => vm.Host is not null)
        .SelectMany(vm => PlacementCheck.Judge(view, vm, view.Host(vm.Host!.Value)).Reasons
            .Where(reason => reason.IsHard && reason.Why.Code.StartsWith("rule-", StringComparison.Ordinal))
            .Select(reason => (vm.Id, reason.Why.Code)))];
}
