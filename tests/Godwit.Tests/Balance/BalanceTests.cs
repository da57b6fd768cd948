using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Search;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Xunit;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Balance;

public sealed class BalanceTests
{
    private static BalancePlan Plan(IReadOnlyList<PlacementHost> hosts, IReadOnlyList<PlacementVm> vms, BalancePolicy? policy = null,
        params PlacementRule[] rules) =>
        PlanBalance.Of(
            new PlacementView(hosts, vms, new PlacementPolicy { Rules = rules }), policy ?? new BalancePolicy(), Now, new OneByOne());

    private static List<PlacementVm> Vms(string host, int count, double cores, double memoryGiB = 4) =>
        [.. Enumerable.Range(0, count).Select(i => Vm($"{host}{i}", host, memoryGiB, 2, cores))];

    [Fact]
    public void An_overloaded_host_is_relieved_and_the_plan_says_so()
    {
        var plan = Plan([Host("a"), Host("b"), Host("c")], [.. Vms("a", 10, 1.5), .. Vms("b", 2, 0.5)]);
        Assert.NotEmpty(plan.Moves);
        Assert.All(plan.Moves, move => Assert.Equal((new HostId("a"), MoveGoal.Relieve), (move.From, move.Goal)));
        Assert.Contains("guests of a wait: CPU of a is at 94 %", plan.Moves[0].Why, StringComparison.Ordinal);
        Assert.Contains("next best is", plan.Moves[0].Otherwise, StringComparison.Ordinal);
        Assert.All(plan.Moves, move => Assert.True(move.GainSeconds >= 2 * move.CostSeconds));
    }

    [Fact]
    public void An_idle_cluster_is_left_alone_however_uneven() =>
        Assert.Empty(Plan([Host("a"), Host("b")], Vms("a", 8, 0.1)).Moves);

    [Fact]
    public void A_cluster_in_which_no_guest_waits_is_left_alone_when_levelling_is_off()
    {
        var vms = Vms("a", 8, 1.2);
        Assert.NotEmpty(Plan([Host("a"), Host("b")], vms).Moves);
        Assert.Empty(Plan([Host("a"), Host("b")], vms, new BalancePolicy { LevelsToo = false }).Moves);
    }

    [Fact]
    public void A_broken_rule_is_mended_by_one_move_and_nothing_else_is_touched()
    {
        List<PlacementVm> vms = [.. Vms("a", 3, 0.2), .. Vms("b", 3, 0.2)];
        vms[0] = vms[0] with { Tags = ["db"] };
        vms[1] = vms[1] with { Tags = ["db"] };
        var rule = new PlacementRule.Apart { Name = "db apart", VmTag = "db" };
        var move = Assert.Single(Plan([Host("a"), Host("b")], vms, null, rule).Moves);
        Assert.Equal((MoveGoal.Repair, new HostId("b")), (move.Goal, move.To));
        Assert.Contains("db apart", move.Why, StringComparison.Ordinal);
    }

    [Fact]
    public void VMs_that_are_kept_together_move_together()
    {
        var vms = Vms("a", 10, 1.5).Select((vm, i) => vm with { Tags = [i < 5 ? "left" : "right"] }).ToList();
        var plan = Plan([Host("a"), Host("b")], vms, null, new PlacementRule.Together { Name = "l", VmTag = "left" },
            new PlacementRule.Together { Name = "r", VmTag = "right" });
        Assert.Equal(5, plan.Moves.Count);
        Assert.Single(plan.Moves.Select(move => vms.Single(vm => vm.Id == move.Vm).Tags[0]).Distinct());
    }

    [Theory]
    [InlineData("pinned")]
    [InlineData("cordoned")]
    [InlineData("other CPU")]
    [InlineData("dirty")]
    public void What_may_not_move_stays(string why)
    {
        var (vms, other) = (Vms("a", 10, 1.5), Host("b"));
        if (why == "pinned") vms = [.. vms.Select(vm => vm with { IsPinned = true })];
        if (why == "dirty") vms = [.. vms.Select(vm => vm with { DirtyBytesPerSecond = 200e6 })];
        if (why == "cordoned") other = other with { State = HostState.Cordoned };
        if (why == "other CPU") other = other with { Qemus = [other.Qemus[0] with { UsableCpuModels = ["EPYC-v1"] }] };
        Assert.Empty(Plan([Host("a"), other], vms).Moves);
    }

    [Fact]
    public void Two_full_hosts_that_would_have_to_exchange_are_not_promised_what_has_no_room()
    {
        // Each host is full to the last byte: an exchange needs room for a while that nobody has.
        List<PlacementVm> vms = [.. Vms("a", 4, 3.6, 16), .. Vms("b", 4, 0.1, 16)];
        var plan = Plan([Host("a"), Host("b")], vms);
        Assert.Empty(plan.Moves);
        PlanReplay.Check(new PlacementView([Host("a"), Host("b")], vms, new PlacementPolicy()), plan);
    }

    [Fact]
    public void A_VM_moved_lately_must_gain_twice_as_much()
    {
        // Gains some five times its cost: enough for a first move, not for one more after two of the last hour.
        List<PlacementHost> hosts = [Host("a"), Host("b"), Host("c", cpus: 1)];
        List<PlacementVm> vms = [Vm("one", "a", 4, 2, 4.6), Vm("two", "a", 4, 2, 4.6) with { IsPinned = true }];
        Assert.NotEmpty(Plan(hosts, vms).Moves);
        RecentMove[] lately = [.. Enumerable.Repeat(new RecentMove(new HostId("c"), Now.AddMinutes(-5)), 5)];
        Assert.Empty(Plan(hosts, [vms[0] with { RecentMoves = lately }, vms[1]]).Moves);
        RecentMove[] before = [.. lately.Select(move => move with { At = Now.AddHours(-2) })];
        Assert.NotEmpty(Plan(hosts, [vms[0] with { RecentMoves = before }, vms[1]]).Moves);
    }

    [Fact]
    public void A_stopped_search_still_gives_a_plan_that_breaks_nothing()
    {
        var view = Make(5, hosts: 8, vms: 60);
        var plan = PlanBalance.Of(view, new BalancePolicy(), Now, new OneByOne(), new CancellationToken(true));
        Assert.False(plan.IsSettled);
        PlanReplay.Check(view, plan);
    }
}
