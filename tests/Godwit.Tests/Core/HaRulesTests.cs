using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Vms;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Core;

/// <summary>When a server may turn a host off by itself, and under which epoch its VMs live on.</summary>
public sealed class HaRulesTests
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private static HostStanding Host(string name, int silentSeconds = 0, int ha = 0, bool fence = true) => new(
        new HostId(name), silentSeconds > 0, IsFenced: false, TimeSpan.FromSeconds(silentSeconds),
        silentSeconds > 0 ? 9 : 0, ha, fence, GaveUp: false);

    private static (string? Host, string? Held) Choose(bool underWay, params HostStanding[] hosts)
    {
        var (host, held) = HaRules.Choose(hosts, Minute, underWay);
        return (host?.Value, held);
    }

    [Fact]
    public void A_host_that_is_silent_for_long_with_ha_vms_and_a_fence_is_chosen_the_longest_silent_first() =>
        Assert.Equal(("b", null), Choose(false, Host("a", 70, ha: 1), Host("b", 90, ha: 1), Host("c"), Host("d")));

    [Fact]
    public void Nothing_is_done_for_a_host_that_answers_is_silent_for_a_moment_or_has_no_ha_vm() =>
        Assert.Equal((null, null), Choose(false, Host("a", ha: 5), Host("b", 59, ha: 1), Host("c"), Host("d"), Host("e", 600)));

    [Fact]
    public void A_server_that_stood_still_has_asked_too_seldom_to_know_of_silence() =>
        Assert.Null(Choose(false, Host("a", 900, ha: 1) with { Misses = HaRules.MissesMin - 1 }, Host("b"), Host("c")).Host);

    [Theory]
    [InlineData(2, 1, true), InlineData(3, 1, true), InlineData(3, 2, false)]
    [InlineData(4, 2, true), InlineData(4, 3, false), InlineData(1, 1, false)]
    public void More_than_half_silent_at_once_is_this_servers_own_trouble(int hosts, int silent, bool acts)
    {
        var (host, held) = Choose(false, [.. Enumerable.Range(0, hosts).Select(n => Host($"h{n}", n < silent ? 70 : 0, ha: 1))]);
        Assert.Equal(acts, host is not null);
        Assert.Equal(acts, held is null);
        if (!acts) Assert.Contains("cut off", held, StringComparison.Ordinal);
    }

    [Fact]
    public void A_host_that_was_fenced_before_counts_neither_as_silent_nor_as_one_that_answers()
    {
        var fenced = Host("off", 900) with { IsFenced = true };
        Assert.Equal("a", Choose(false, fenced, Host("a", 70, ha: 1), Host("b")).Host);
        Assert.Null(Choose(false, fenced, Host("a", 70, ha: 1)).Host); // Nobody is left to say that this server is not cut off.
    }

    [Fact]
    public void A_host_that_is_proved_to_be_off_needs_no_silence_and_no_majority()
    {
        var fenced = Host("off", 5, ha: 1, fence: false) with { IsFenced = true, Misses = 0 };
        Assert.Equal(("off", null), Choose(false, fenced));
        Assert.Null(Choose(true, fenced).Host);
        Assert.Null(Choose(false, fenced with { GaveUp = true }).Host);
        Assert.Null(Choose(false, fenced with { HaVms = 0 }).Host);
    }

    [Fact]
    public void One_host_at_a_time_and_none_without_a_fence_or_after_it_was_given_up()
    {
        Assert.Contains("one at a time", Choose(true, Host("a", 70, ha: 1), Host("b"), Host("c")).Held, StringComparison.Ordinal);
        Assert.Contains("has no fence",
            Choose(false, Host("a", 70, ha: 1, fence: false), Host("b"), Host("c")).Held, StringComparison.Ordinal);
        Assert.Contains("a person must look",
            Choose(false, Host("a", 70, ha: 1) with { GaveUp = true }, Host("b"), Host("c")).Held, StringComparison.Ordinal);
        Assert.Equal("b", Choose(false, Host("a", 90, ha: 1) with { GaveUp = true }, Host("b", 70, ha: 1), Host("c"), Host("d")).Host);
    }

    [Fact]
    public void The_epoch_after_a_fence_is_above_the_record_and_above_what_any_move_could_hand_over()
    {
        Assert.Equal(new Epoch(6), HaRules.EpochAfter(new Epoch(5), []));
        Assert.Equal(new Epoch(7), HaRules.EpochAfter(new Epoch(5), [new Epoch(5)])); // The fenced target may hold 6.
        Assert.Equal(new Epoch(9), HaRules.EpochAfter(new Epoch(8), [new Epoch(3), new Epoch(7)]));
    }

    [Fact]
    public void Ha_vms_go_first_then_higher_priorities_then_the_larger_ones_and_only_what_ran_is_started()
    {
        var vms = new[] { Vm("small", 1, ha: false), Vm("large", 8, ha: false), Vm("tiny", 1, ha: true) };
        Assert.Equal(["tiny", "large", "small"], HaRules.Order(vms).Select(vm => vm.Spec.Name));
        vms[0] = vms[0] with { Priority = VmPriority.High };
        Assert.Equal(["tiny", "small", "large"], HaRules.Order(vms).Select(vm => vm.Spec.Name));
        Assert.Equal([VmState.Running, VmState.Unknown],
            Enum.GetValues<VmState>().Where(state => HaRules.IsToRun(vms[0] with { State = state })));
        Assert.Equal([false, false, true], vms.Select(vm => HaRules.IsWanted(vm, RecoveryScope.HaVms)));
        Assert.All(vms, vm => Assert.True(HaRules.IsWanted(vm, RecoveryScope.AllVms) && !HaRules.IsWanted(vm, RecoveryScope.FenceOnly)));
    }

    [Fact]
    public void Pauses_between_tries_grow_and_are_bounded() => Assert.Equal([30, 60, 120, 240, 480, 480],
        Enumerable.Range(1, 6).Select(n => (int)HaRules.PauseBefore(n).TotalSeconds));

    private static Vm Vm(string name, int mib, bool ha) => StoreUnderTest.MakeVm(name, "h1", memoryMib: mib) with { Ha = ha };
}
