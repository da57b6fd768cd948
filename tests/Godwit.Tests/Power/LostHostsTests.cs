using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Power;
using Xunit;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Power;

/// <summary>A host that is dead or silent: no room, and its VMs are load; it does not keep all others on for ever.</summary>
public sealed class LostHostsTests
{
    private static readonly PowerSettings settings = new() { Mode = PowerMode.Automatic, MinHostsOn = 1 };
    private static readonly HostId h4 = new("h4");

    [Fact]
    public void Fresh_silence_a_recovery_and_silence_of_most_stop_it()
    {
        AssertStops("h4 does not answer since less than 10 min", SilentFor(Picture(), TimeSpan.FromMinutes(9.9)));
        AssertStops("h4 does not answer since less than 10 min", Picture() with { SilentFor = new Dictionary<HostId, TimeSpan>() });
        AssertStops("h4 is being recovered", Picture() with { Recovering = new HashSet<HostId> { h4 } });
        var most = In(HostState.Unreachable, Picture(), "h2", "h3", "h4");
        AssertStops("3 of 4 hosts do not answer: rather this server is cut off",
            most with { SilentFor = most.View.Hosts.ToDictionary(h => h.Id, _ => TimeSpan.FromHours(1)) });

        static void AssertStops(string why, PowerPicture picture)
        {
            var plan = PlanPower.Of(picture, settings);
            Assert.Empty(plan.Advices);
            Assert.All(plan.Stays, stay => Assert.Contains(why, stay.Why, StringComparison.Ordinal));
            Assert.NotEmpty(plan.Stays);
        }
    }

    [Fact]
    public void Once_the_silence_has_lasted_or_the_host_is_fenced_others_may_be_turned_off()
    {
        Assert.Single(PlanPower.Of(Picture(), settings).Advices);
        // Proved to be off: nothing is in doubt, however short the silence.
        var fenced = In(HostState.Fenced, Picture(), "h4") with { SilentFor = new Dictionary<HostId, TimeSpan>() };
        Assert.Single(PlanPower.Of(fenced, settings).Advices);
    }

    [Theory]
    [InlineData(HostState.Unreachable)]
    [InlineData(HostState.Fenced)]
    public void What_ran_there_has_to_have_a_place_on_those_that_stay_on(HostState state)
    {
        // Three hosts of 64 GiB are on: two take two VMs of 40 GiB, and no third.
        var two = In(state, Picture(Vm("a", "h4", memoryGiB: 40), Vm("b", "h4", memoryGiB: 40)), "h4");
        Assert.Single(PlanPower.Of(two, settings).Advices);
        var three = In(state, Picture([.. two.View.Vms, Vm("c", "h4", memoryGiB: 40)]), "h4");
        AssertHomeless(three);
        // A pin does not hold who is recovered, and what was not measured lately may take all it has.
        AssertHomeless(In(state, Picture([.. three.View.Vms.Select(vm => vm with { IsPinned = true })]), "h4"));
        var asleep = Vm("d", "h4", vcpus: 16, cores: 0);
        var unseen = In(state, Picture(asleep, asleep with { Id = new VmId("vm-e"), Name = "e" }), "h4");
        Assert.All(PlanPower.Of(unseen, settings).Stays,
            stay => Assert.Contains("32.0 cores are to be reckoned with", stay.Why, StringComparison.Ordinal));
        Assert.Empty(PlanPower.Of(unseen, settings).Advices);

        static void AssertHomeless(PowerPicture picture)
        {
            var plan = PlanPower.Of(picture, settings);
            Assert.Empty(plan.Advices);
            Assert.All(plan.Stays,
                stay => Assert.Contains("of h4, which is away, would have no place", stay.Why, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Room_for_them_is_beside_the_spare()
    {
        var vms = new[] { Vm("a", "h1", memoryGiB: 40), Vm("x", "h4", memoryGiB: 40) };
        var picture = Picture(vms) with { Restarted = vms.Select(vm => vm.Id).ToHashSet() };
        Assert.Single(PlanPower.Of(picture, settings).Advices);
        var plan = PlanPower.Of(picture with { SpareHosts = 1 }, settings); // With two left both would be full, and one may die.
        Assert.Empty(plan.Advices);
        Assert.All(plan.Stays, stay => Assert.Contains("would have no place", stay.Why, StringComparison.Ordinal));
    }

    [Fact]
    public void Who_can_run_nowhere_else_keeps_nobody_on()
    {
        var bound = Vm("a", "h4") with { Pools = new Dictionary<string, string?> { ["local"] = "h4's own" } };
        Assert.Single(PlanPower.Of(Picture(bound), settings).Advices);
        // Nor does a rule that keeps VMs together on the dead host.
        var picture = Picture(Vm("a", "h4") with { Tags = ["near"] }, Vm("b", "h4") with { Tags = ["near"] });
        var rules = new PlacementPolicy { Rules = [new PlacementRule.Together { Name = "near", VmTag = "near" }] };
        Assert.Single(PlanPower.Of(picture with { View = new(picture.View.Hosts, picture.View.Vms, rules) }, settings).Advices);
    }

    /// <summary>
    /// Whatever the cluster: where a host was turned off while another was lost, the lost one's VMs are packed onto what is left by
    /// another search than the planner's, together with those of as many more hosts as may die.
    /// </summary>
    [Fact]
    public void No_plan_of_random_clusters_with_a_lost_host_takes_the_room_of_its_vms_or_the_spare()
    {
        var turnedOff = 0;
        for (var seed = 1; seed <= 160; seed++)
        {
            var view = Make(seed, 6 + seed % 7, seed % 6 * 10);
            var lostId = view.Hosts[3].Id; // It is unreachable in all of them.
            view = new PlacementView(
                [.. view.Hosts.Select(h => h.Id == lostId && seed % 2 == 0 ? h with { State = HostState.Fenced } : h)],
                [.. view.Vms.Select(vm => vm with { Demand = vm.Demand with { CpuCores = vm.Demand.CpuCores / (2 + seed % 4) } })],
                view.Policy);
            var picture = PlanPowerTests.Picture(view.Hosts, view.Vms, view.Policy) with
            {
                SilentFor = new Dictionary<HostId, TimeSpan> { [lostId] = LostHosts.SettledAfter }, SpareHosts = seed % 3,
                Restarted = view.Vms.Where((vm, n) => vm.Host == lostId || n % 4 == 0).Select(vm => vm.Id).ToHashSet(),
            };
            if (PlanPower.Of(picture, settings).Advices is not [{ Act: PowerAct.Standby } advice]) continue;
            if (view.Vms.Any(vm => vm.Host == lostId)) turnedOff++;
            Assert.NotEqual(lostId, advice.Host);
            Assert.DoesNotContain(advice.Vms, move => move.To == lostId);

            var after = new PlacementView([.. view.Hosts.Select(h => h.Id == advice.Host ? h with { State = HostState.Standby }
                : h.Id == lostId ? h with { State = HostState.Cordoned } : h)], view.Vms, view.Policy);
            foreach (var move in advice.Vms) after = after.With(view.Vms.Single(vm => vm.Id == move.Vm), move.To);
            // The lost one counts as a host that dies with the others: it takes nobody, and its VMs are to be restarted.
            var gaps = SpareCapacity.Check(after, picture.Restarted, 1 + picture.SpareHosts).Gaps;
            Assert.DoesNotContain(gaps, gap => gap.Lost.Contains(lostId));
        }
        Assert.True(turnedOff >= 20, $"only {turnedOff} of the clusters could spare a host");
    }

    /// <summary>h1, h2 and h3 are on; h4 has been silent for an hour.</summary>
    private static PowerPicture Picture(params PlacementVm[] vms) => SilentFor(PlanPowerTests.Picture(
        [Host("h1"), Host("h2"), Host("h3"), Host("h4") with { State = HostState.Unreachable }], vms), TimeSpan.FromHours(1));

    private static PowerPicture SilentFor(PowerPicture picture, TimeSpan span) =>
        picture with { SilentFor = new Dictionary<HostId, TimeSpan> { [h4] = span } };

    private static PowerPicture In(HostState state, PowerPicture picture, params string[] hosts) => picture with
    {
        View = new PlacementView([.. picture.View.Hosts.Select(h => hosts.Contains(h.Id.Value) ? h with { State = state } : h)],
            picture.View.Vms, picture.View.Policy),
    };
}
