using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Power;
using Xunit;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Power;

/// <summary>Which host is turned off, which are woken, and why not. Pure.</summary>
public sealed class PlanPowerTests
{
    private static readonly HostPower hooked = new() { OffHook = "off", OnHook = "on" };
    private static readonly PowerSettings settings = new() { Mode = PowerMode.Automatic, MinHostsOn = 1, LowMinutes = 15 };

    [Fact]
    public void A_host_that_can_be_spared_is_told_with_who_leaves_what_is_saved_and_what_is_kept()
    {
        var picture = Picture([Host("h1"), Host("h2"), Host("h3")],
            [Vm("a", "h1"), Vm("b", "h1"), Vm("c", "h2"), Vm("d", "h2"), Vm("e", "h3", cores: 0.5)]);
        var advice = Assert.Single(PlanPower.Of(picture, settings).Advices);
        Assert.Equal((PowerAct.Standby, "standby-h3"), (advice.Act, advice.Id));
        Assert.Equal("h3 can be emptied: 1 VM, 4.0 GiB over h1; saves ~80 W; spare kept: 0 hosts", advice.Reason);
        Assert.Equal(new HostId("h1"), Assert.Single(advice.Vms).To);
    }

    [Fact]
    public void One_host_is_turned_off_for_each_reason_that_does_not_hold_it()
    {
        AssertStays("it has no hooks", p => p with { Powers = With(p, "h2", new HostPower()) });
        AssertStays("it came on less than 30 min ago", p => p with { Powers = With(p, "h2", hooked with { Since = Now.AddMinutes(-29) }) });
        AssertStays("it did not", p => p with
        {
            Powers = With(p, "h2", hooked with { Problem = "it did not go off", ProblemAt = Now.AddHours(-5) }),
        });
        AssertStays("certificate", p => p with
        {
            RenewAt = new Dictionary<HostId, DateTimeOffset> { [new("h2")] = Now.AddHours(11) },
        });
        AssertStays("being recovered", p => p with { Held = new Dictionary<HostId, string> { [new("h2")] = "it is being recovered" } });
        AssertStays("a is to stay on it", p => p with
        {
            View = new PlacementView(p.View.Hosts, [Vm("a", "h2") with { IsPinned = true }], p.View.Policy),
        });
        AssertStays("on its way to it", p => p with
        {
            View = new PlacementView(p.View.Hosts, [Vm("a", "h1") with { Heading = new HostId("h2") }], p.View.Policy),
        });
        AssertStays("x would have no place", p => p with { Idle = [Vm("x", null, memoryGiB: 63) with { Home = new HostId("h2") }] });
        AssertStays("does not pay", p => p with { Powers = With(p, "h2", hooked with { IdleWatts = 1 }) });
        AssertStays("last host that is on and sees pool p", p => p with
        {
            View = new PlacementView([p.View.Hosts[0], p.View.Hosts[1] with { Pools = new Dictionary<string, string> { ["p"] = "s1" } }],
                p.View.Vms, p.View.Policy),
            Kept = new HashSet<(string, string)> { ("p", "s1") },
        });

        static void AssertStays(string why, Func<PowerPicture, PowerPicture> change)
        {
            // The other host is held in any case: it is about this one alone.
            var picture = Picture([Host("h1", memoryGiB: 32), Host("h2")], [Vm("a", "h2", memoryGiB: 4)]);
            picture = picture with { Powers = With(picture, "h1", new HostPower()) };
            Assert.Single(PlanPower.Of(picture, settings).Advices);
            var plan = PlanPower.Of(change(picture), settings);
            Assert.Empty(plan.Advices);
            Assert.Contains(why, plan.Stays.Single(stay => stay.Host == new HostId("h2")).Why, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Spare_capacity_is_kept_by_packing_and_a_gap_wakes_a_host()
    {
        var vms = new[] { Vm("a", "h1", memoryGiB: 40), Vm("b", "h2", memoryGiB: 40) };
        var picture = Picture([Host("h1"), Host("h2"), Host("h3")], vms) with { Restarted = vms.Select(vm => vm.Id).ToHashSet() };
        Assert.Single(PlanPower.Of(picture, settings).Advices);
        var plan = PlanPower.Of(picture with { SpareHosts = 1 }, settings);
        Assert.Empty(plan.Advices);
        Assert.Contains("would have no place", plan.Stays.Single(s => s.Host == new HostId("h3")).Why, StringComparison.Ordinal);

        plan = PlanPower.Of(Asleep(picture with { SpareHosts = 1 }, "h3"), settings);
        Assert.Contains("room to lose 1 host", Assert.Single(plan.Advices).Reason, StringComparison.Ordinal);
        Assert.Equal("wake-h3", plan.Advices[0].Id);
    }

    [Fact]
    public void A_vm_without_room_wakes_a_host_that_can_take_it_and_no_other()
    {
        var picture = Asleep(Picture([Host("h1"), Host("h2", memoryGiB: 32), Host("h3")], [Vm("a", "h1", memoryGiB: 50)]), "h2", "h3");
        var need = new RoomNeed(Vm("new", null, memoryGiB: 40), Now);
        var advice = Assert.Single(PlanPower.Of(picture with { Needs = [need] }, settings).Advices);
        Assert.Equal("wake-h3", advice.Id);
        Assert.Contains("new found no room: 40.0 GiB", advice.Reason, StringComparison.Ordinal);
        Assert.Empty(PlanPower.Of(picture with { Needs = [need with { Vm = Vm("huge", null, memoryGiB: 400) }] }, settings).Advices);
        Assert.Empty(PlanPower.Of(Waking(picture with { Needs = [need] }, "h3"), settings).Advices); // It is on its way.
    }

    [Fact]
    public void A_waking_that_failed_is_followed_by_the_next_host_and_tried_again_later()
    {
        var picture = Asleep(Picture([Host("h1", cpus: 4), Host("h2"), Host("h3")], [Vm("a", "h1", cores: 3.5)]), "h2", "h3");
        Assert.Equal("wake-h2", PlanPower.Of(picture, settings).Advices[0].Id);
        var failed = picture with { Powers = With(picture, "h2", picture.Powers[new("h2")] with { Problem = "x", ProblemAt = Now }) };
        Assert.Equal("wake-h3", Assert.Single(PlanPower.Of(failed, settings).Advices).Id);
        var both = failed with { Powers = With(failed, "h3", failed.Powers[new("h3")] with { ProblemAt = Now.AddMinutes(-6) }) };
        Assert.Equal("wake-h3", Assert.Single(PlanPower.Of(both, settings).Advices).Id); // There is no other: tried again sooner.
        failed = failed with { Powers = With(failed, "h2", failed.Powers[new("h2")] with { ProblemAt = Now.AddMinutes(-31) }) };
        Assert.Equal("wake-h2", PlanPower.Of(failed, settings).Advices[0].Id);
    }

    [Fact]
    public void The_one_that_wakes_soonest_goes_first_a_minimum_is_on_and_certificates_are_renewed_in_time()
    {
        var picture = Asleep(Picture([Host("h1"), Host("h2"), Host("h3")], []), "h2", "h3");
        picture = picture with { Powers = With(picture, "h3", picture.Powers[new("h3")] with { WakeSeconds = [40, 60] }) };
        Assert.Equal(TimeSpan.FromSeconds(75), picture.PowerOf(new("h3")).Lead);
        Assert.Empty(PlanPower.Of(picture, settings).Advices);
        Assert.Equal("wake-h3", Assert.Single(PlanPower.Of(picture, settings with { MinHostsOn = 2 }).Advices).Id);
        var renewed = picture with { RenewAt = new Dictionary<HostId, DateTimeOffset> { [new("h2")] = Now.AddSeconds(-1) } };
        Assert.Contains("certificate", Assert.Single(PlanPower.Of(renewed, settings).Advices).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_persons_word_turns_off_what_has_a_place_and_breaks_no_spare_capacity()
    {
        var vms = new[] { Vm("a", "h1", memoryGiB: 40), Vm("b", "h2", memoryGiB: 40) };
        var picture = Picture([Host("h1"), Host("h2"), Host("h3")], vms) with { Restarted = vms.Select(vm => vm.Id).ToHashSet() };
        Assert.Null(PlanPower.WhyNotByHand(picture, new("h1")));
        Assert.Contains("died then", PlanPower.WhyNotByHand(picture with { SpareHosts = 1 }, new("h3")), StringComparison.Ordinal);
        Assert.Contains("a would have no place", PlanPower.WhyNotByHand(Asleep(picture, "h3"), new("h1")), StringComparison.Ordinal);
    }

    /// <summary>Whatever the cluster: what a plan does keeps rules, ceilings, spare, and the minimum; applied, it wakes nobody.</summary>
    [Fact]
    public void No_plan_of_random_clusters_breaks_a_rule_passes_a_ceiling_or_takes_spare_capacity()
    {
        var turnedOff = 0;
        for (var seed = 1; seed <= 120; seed++)
        {
            var view = Make(seed, 3 + seed % 9, seed % 5 * 12);
            view = new PlacementView([.. view.Hosts.Select(h => h.State == HostState.Unreachable ? h with { State = HostState.Ready } : h)],
                [.. view.Vms.Select(vm => vm with { Demand = vm.Demand with { CpuCores = vm.Demand.CpuCores / (1 + seed % 4) } })],
                view.Policy);
            var picture = Picture(view.Hosts, view.Vms, view.Policy) with
            {
                SpareHosts = seed % 3, Restarted = view.Vms.Where((_, n) => n % 4 == 0).Select(vm => vm.Id).ToHashSet(),
            };
            var wished = settings with { MinHostsOn = 1 + seed % 4 };
            var plan = PlanPower.Of(picture, wished);
            Assert.Equal(plan.Advices.Select(a => a.Id), PlanPower.Of(picture, wished).Advices.Select(a => a.Id));
            if (plan.Advices.Count == 0) continue;
            var advice = Assert.Single(plan.Advices);
            turnedOff++;

            var asleep = new PlacementView([.. view.Hosts.Select(h => h.Id == advice.Host ? h with { State = HostState.Standby } : h)],
                view.Vms, view.Policy);
            Assert.Equal(view.Vms.Where(vm => vm.Host == advice.Host).Select(vm => vm.Id).ToHashSet(),
                advice.Vms.Select(m => m.Vm).ToHashSet());
            var after = asleep;
            foreach (var move in advice.Vms)
            {
                var vm = view.Vms.Single(v => v.Id == move.Vm);
                Assert.True(PlacementCheck.Judge(after, vm with { Host = null }, after.Host(move.To)).IsAllowed, $"seed {seed}: {move}");
                after = after.With(vm, move.To);
            }
            foreach (var to in advice.Vms.Select(m => m.To).Distinct())
                foreach (var resource in Enum.GetValues<Resource>())
                    Assert.True(after.Used(to)[resource] <= after.Policy.Ceiling(resource, after.Host(to).Capacity[resource]) + 1e-6,
                        $"seed {seed}: {to} passes its ceiling of {resource}");
            if (picture.SpareHosts > 0) Assert.Empty(SpareCapacity.Check(after, picture.Restarted, picture.SpareHosts).Gaps);
            var on = after.Hosts.Count(h => h is { State: HostState.Ready });
            Assert.True(on >= wished.MinHostsOn && on > picture.SpareHosts, $"seed {seed}: {on} hosts are left on");
            var next = Asleep(picture with { View = after }, advice.Host.Value);
            Assert.DoesNotContain(PlanPower.Of(next, wished).Advices, a => a.Act == PowerAct.Wake);
        }
        Assert.True(turnedOff >= 20, $"only {turnedOff} of the clusters could spare a host");
    }

    internal static PowerPicture Picture(
        IReadOnlyList<PlacementHost> hosts, IReadOnlyList<PlacementVm> vms, PlacementPolicy? policy = null) => new()
    {
        Now = Now, View = new PlacementView(hosts, vms, policy ?? new PlacementPolicy()),
        Powers = hosts.ToDictionary(h => h.Id, _ => hooked), Forecast = new ClusterForecast([], vms.Sum(vm => vm.Demand.CpuCores), Now),
    };

    private static PowerPicture Asleep(PowerPicture picture, params string[] hosts) => In(PowerPhase.Standby, picture, hosts);

    private static PowerPicture Waking(PowerPicture picture, params string[] hosts) => In(PowerPhase.Waking, picture, hosts);

    private static PowerPicture In(PowerPhase phase, PowerPicture picture, string[] hosts) => picture with
    {
        View = new PlacementView([.. picture.View.Hosts.Select(h => hosts.Contains(h.Id.Value) ? h with { State = HostState.Standby } : h)],
            picture.View.Vms, picture.View.Policy),
        Powers = picture.Powers.ToDictionary(p => p.Key, p => hosts.Contains(p.Key.Value) ? p.Value with { Phase = phase } : p.Value),
    };

    private static Dictionary<HostId, HostPower> With(PowerPicture picture, string host, HostPower power) =>
        new(picture.Powers) { [new HostId(host)] = power };
}
