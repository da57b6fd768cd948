using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Xunit;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Placement;

public sealed class SpareCapacityTests
{
    private static SpareVerdict Check(
        IReadOnlyList<PlacementHost> hosts, IReadOnlyList<PlacementVm> vms, int lost = 1, params PlacementRule[] rules) =>
        SpareCapacity.Check(
            new PlacementView(hosts, vms, new PlacementPolicy { Rules = rules }), vms.Select(vm => vm.Id).ToHashSet(), lost);

    private static PlacementHost Gib(string name, double gib) => Host(name, gib);

    private static PlacementVm Of(string name, string host, double gib) => Vm(name, host, gib, 1, 0.1);

    [Fact]
    public void Where_each_hosts_vms_fit_on_the_others_there_is_no_gap()
    {
        var verdict = Check([Gib("a", 16), Gib("b", 16), Gib("c", 16)], [Of("v1", "a", 6), Of("v2", "b", 6), Of("v3", "c", 6)]);
        Assert.Empty(verdict.Gaps);
        Assert.Equal((3, true), (verdict.SetsChecked, verdict.IsComplete));
    }

    [Fact]
    public void Free_memory_in_two_pieces_is_no_room_for_one_vm()
    {
        // 12 GiB are free in sum; the VM of 8 fits nowhere.
        var gap = Assert.Single(Check([Gib("a", 16), Gib("b", 16), Gib("c", 16)], [Of("big", "a", 8), Of("v2", "b", 10), Of("v3", "c", 10)])
            .Gaps, g => g.Lost[0].Value == "a");
        Assert.Equal(["big"], gap.Homeless);
        Assert.Contains("in one piece", gap.Why, StringComparison.Ordinal);
    }

    [Fact]
    public void A_packing_that_first_fit_misses_is_found()
    {
        // 6+3+3 and 4+4+4 into two holes of 12: the largest first into the tightest hole leaves the last one out.
        PlacementVm[] vms =
        [
            .. new double[] { 6, 4, 4, 4, 3, 3 }.Select((gib, n) => Of($"v{n}", "a", gib)), Of("b", "b", 1), Of("c", "c", 1),
        ];
        Assert.DoesNotContain(Check([Gib("a", 64), Gib("b", 13), Gib("c", 13)], vms).Gaps, g => g.Lost[0].Value == "a");
    }

    [Fact]
    public void Two_hosts_that_die_together_need_more_than_one()
    {
        PlacementHost[] hosts = [Gib("a", 16), Gib("b", 16), Gib("c", 16)];
        PlacementVm[] vms = [Of("v1", "a", 7), Of("v2", "b", 7), Of("v3", "c", 7)];
        Assert.Empty(Check(hosts, vms).Gaps);
        Assert.Equal(3, Check(hosts, vms, lost: 2).Gaps.Count);
    }

    [Fact]
    public void A_rule_that_keeps_vms_apart_holds_for_restarts_too()
    {
        PlacementHost[] hosts = [Gib("a", 64), Gib("b", 64)];
        PlacementVm[] vms = [Of("v1", "a", 1) with { Tags = ["db"] }, Of("v2", "b", 1) with { Tags = ["db"] }];
        Assert.Empty(Check(hosts, vms).Gaps);
        var gaps = Check(hosts, vms, 1, new PlacementRule.Apart { Name = "apart", VmTag = "db" }).Gaps;
        Assert.Equal([["v1"], ["v2"]], gaps.Select(g => g.Homeless).OrderBy(names => names[0]));
    }

    [Fact]
    public void A_host_that_is_closed_takes_nobody_and_one_that_is_silent_carries_nobody()
    {
        PlacementHost[] hosts =
        [
            Gib("a", 16), Gib("b", 64) with { State = HostState.Cordoned }, Gib("c", 16) with { State = HostState.Unreachable },
        ];
        PlacementVm[] vms = [Of("v1", "a", 6), Of("v2", "c", 6)];
        var gap = Assert.Single(Check(hosts, vms).Gaps);
        Assert.Equal("a", gap.Lost[0].Value);
        Assert.Contains("no other host may take v1", gap.Why, StringComparison.Ordinal);
    }

    [Fact]
    public void Too_many_sets_are_said_to_be_too_many()
    {
        PlacementHost[] hosts = [.. Enumerable.Range(0, 100).Select(n => Gib($"h{n:000}", 16))];
        var verdict = Check(hosts, [.. hosts.Select(h => Of($"v{h.Id}", h.Id.Value, 1))], lost: 3);
        Assert.Equal((SpareCapacity.SetsMax, false), (verdict.SetsChecked, verdict.IsComplete));
    }
}
