using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Search;
using Godwit.Core.Placement;
using Xunit;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Balance;

public sealed class DrainTests
{
    private static DrainPlan Drain(IReadOnlyList<PlacementHost> hosts, IReadOnlyList<PlacementVm> vms, params PlacementRule[] rules) =>
        PlanDrain.Of(
            new PlacementView(hosts, vms, new PlacementPolicy { Rules = rules }), [new HostId("a")],
            new BalancePolicy(), Now, new OneByOne());

    [Fact]
    public void All_VMs_leave_spread_over_the_others_and_nobody_else_moves()
    {
        List<PlacementVm> vms = [.. Enumerable.Range(0, 8).Select(i => Vm($"a{i}", "a")), Vm("b0", "b"), Vm("c0", "c")];
        var drain = Drain([Host("a"), Host("b"), Host("c")], vms);
        Assert.True(drain.EmptiesAll);
        Assert.Equal(8, drain.Plan.Moves.Count);
        Assert.All(drain.Plan.Moves, move => Assert.Equal((new HostId("a"), MoveGoal.Drain), (move.From, move.Goal)));
        Assert.Equal(4, drain.Plan.Moves.Count(move => move.To == new HostId("b")));
    }

    [Fact]
    public void Where_nobody_has_room_for_a_large_one_small_ones_make_it()
    {
        // 40 GiB have to leave a; b and c have 32 free each, and one of their 16 can be with the other.
        List<PlacementVm> vms =
        [
            Vm("large", "a", 40), Vm("b1", "b", 16), Vm("b2", "b", 16), Vm("c1", "c", 16), Vm("c2", "c", 16),
        ];
        var drain = Drain([Host("a"), Host("b"), Host("c")], vms);
        Assert.True(drain.EmptiesAll, string.Join("; ", drain.Stays.Select(stays => stays.Why)));
        Assert.Equal(2, drain.Plan.Moves.Count);
        Assert.Equal(MoveGoal.MakeRoom, drain.Plan.Moves[0].Goal);
        Assert.Equal("large", drain.Plan.Moves[1].VmName);
        PlanReplay.Check(new PlacementView([Host("a"), Host("b"), Host("c")], vms, new PlacementPolicy()), drain.Plan);
    }

    [Fact]
    public void The_last_usable_host_is_told_what_is_missing_and_nothing_moves()
    {
        var drain = Drain([Host("a"), Host("b") with { State = Godwit.Core.Hosts.HostState.Cordoned }], [Vm("one", "a")]);
        Assert.Empty(drain.Plan.Moves);
        Assert.Contains("cordoned", Assert.Single(drain.Stays).Why, StringComparison.Ordinal);
    }

    [Fact]
    public void What_fits_leaves_and_the_rest_is_told_with_the_bytes_that_are_missing()
    {
        List<PlacementVm> vms = [.. Enumerable.Range(0, 4).Select(i => Vm($"a{i}", "a", 16)), Vm("b0", "b", 24)];
        var drain = Drain([Host("a"), Host("b")], vms);
        Assert.Equal(2, drain.Plan.Moves.Count);
        Assert.Equal(2, drain.Stays.Count);
        Assert.Equal(24 * GiB, drain.MissingBytes);
        Assert.Contains("b has no room", drain.Stays[0].Why, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pinned_VM_stays_and_does_not_keep_the_others()
    {
        var drain = Drain([Host("a"), Host("b")], [Vm("pinned", "a") with { IsPinned = true }, Vm("free", "a")]);
        Assert.Equal("it is pinned", Assert.Single(drain.Stays).Why);
        Assert.Equal("free", Assert.Single(drain.Plan.Moves).VmName);
    }

    [Fact]
    public void A_rule_that_leaves_no_host_is_named()
    {
        List<PlacementVm> vms = [Vm("db1", "a") with { Tags = ["db"] }, Vm("db2", "b") with { Tags = ["db"] }];
        var drain = Drain([Host("a"), Host("b")], vms, new PlacementRule.Apart { Name = "db apart", VmTag = "db" });
        Assert.Empty(drain.Plan.Moves);
        Assert.Contains("db apart", Assert.Single(drain.Stays).Why, StringComparison.Ordinal);
    }

    [Fact]
    public void A_host_that_is_not_there_is_refused() =>
        Assert.Throws<RefusedException>(() => PlanDrain.Of(new PlacementView([Host("b")], [], new PlacementPolicy()),
            [new HostId("a")], new BalancePolicy(), Now, new OneByOne()));
}
