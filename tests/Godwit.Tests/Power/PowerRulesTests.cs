using Godwit.Core;
using Godwit.Core.Placement;
using Godwit.Core.Power;
using Xunit;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Power;

/// <summary>From a plan to what is done now: mode, time of low load, times of day, one at a time.</summary>
public sealed class PowerRulesTests
{
    private static readonly HostId h1 = new("h1"), h2 = new("h2");
    private static readonly PowerPlan spare = new([new PowerAdvice(PowerAct.Standby, h1, "x", [])], [], 0, 0);
    private static readonly PowerPlan need = new([new PowerAdvice(PowerAct.Wake, h2, "x", [])], [], 0, 0);
    private static readonly PowerSettings automatic = new() { Mode = PowerMode.Automatic };

    [Fact]
    public void A_host_is_emptied_only_once_it_could_have_been_spared_all_the_time()
    {
        var since = PowerRules.LowSince(null, spare, Now);
        Assert.Equal(Now, since);
        Assert.Equal(since, PowerRules.LowSince(since, spare, Now.AddMinutes(5)));
        Assert.Null(PowerRules.LowSince(since, need, Now.AddMinutes(5)));
        Assert.Equal(PowerDeed.Wait, Decide(automatic, spare, since, Now.AddMinutes(14.9)).Deed);
        Assert.Equal(PowerDeed.Begin, Decide(automatic, spare, since, Now.AddMinutes(15)).Deed);
    }

    [Fact]
    public void In_manual_mode_a_person_is_asked_and_what_was_dismissed_is_not_said_for_an_hour()
    {
        var manual = automatic with { Mode = PowerMode.Manual };
        Assert.Equal(PowerDeed.Ask, Decide(manual, spare, Now.AddHours(-1), Now).Deed);
        Assert.Equal(PowerDeed.Ask, Decide(manual, need, null, Now).Deed);
        var powers = new Dictionary<HostId, HostPower> { [h2] = new() { DismissedAt = Now } };
        Assert.Equal(PowerDeed.Wait, Decide(manual, need, null, Now.AddMinutes(59), powers).Deed);
        Assert.Equal(PowerDeed.Ask, Decide(manual, need, null, Now.AddMinutes(60), powers).Deed);
    }

    [Fact]
    public void Times_of_day_hold_for_turning_off_and_not_for_waking()
    {
        var nights = automatic with { Windows = [PowerWindow.Parse("22:00-06:00")] };
        var noon = new DateTimeOffset(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);
        Assert.Equal(PowerDeed.Wait, Decide(nights, spare, noon.AddHours(-1), noon).Deed);
        Assert.Equal(PowerDeed.Begin, Decide(nights, need, null, noon).Deed);
        Assert.Equal(PowerDeed.Begin, Decide(nights, spare, noon, noon.AddHours(11)).Deed);
        Assert.Equal(PowerDeed.Begin, Decide(nights, spare, noon, noon.AddHours(17)).Deed);
        Assert.Equal(PowerDeed.Wait, Decide(nights, spare, noon, noon.AddHours(18)).Deed);
    }

    [Theory]
    [InlineData("22:00")]
    [InlineData("22:00-22:00")]
    [InlineData("24:00-06:00")]
    [InlineData("10-11-12")]
    public void What_is_no_part_of_a_day_is_refused(string text) =>
        Assert.Equal("bad-window", Assert.Throws<RefusedException>(() => PowerWindow.Parse(text)).Reasons[0].Code);

    [Theory]
    [InlineData(PowerPhase.Emptying)]
    [InlineData(PowerPhase.GoingOff)]
    [InlineData(PowerPhase.Waking)]
    public void While_one_goes_off_or_comes_on_no_other_is_turned_off(PowerPhase phase) => Assert.Equal(PowerDeed.Wait,
        Decide(automatic, spare, Now.AddHours(-1), Now, new() { [h2] = new() { Phase = phase } }).Deed);

    [Fact]
    public void The_time_counts_anew_from_the_last_host_that_went_off()
    {
        var powers = new Dictionary<HostId, HostPower> { [h2] = new() { Phase = PowerPhase.Standby, Since = Now } };
        Assert.Equal(PowerDeed.Wait, Decide(automatic, spare, Now.AddHours(-1), Now.AddMinutes(14), powers).Deed);
        Assert.Equal(PowerDeed.Begin, Decide(automatic, spare, Now.AddHours(-1), Now.AddMinutes(15), powers).Deed);
    }

    [Fact]
    public void While_somebody_works_on_hosts_none_is_turned_off_and_one_that_is_needed_is_woken()
    {
        var hold = new PowerHold(Now.AddMinutes(3), "a rolling upgrade");
        var held = Decide(automatic, spare, Now.AddHours(-1), Now, hold: hold);
        Assert.Equal((PowerDeed.Wait, "a rolling upgrade goes on: no host is turned off meanwhile"), (held.Deed, held.Because));
        Assert.Equal(PowerDeed.Begin, Decide(automatic, need, null, Now, hold: hold).Deed);
        Assert.Equal(PowerDeed.Begin, Decide(automatic, spare, Now.AddHours(-1), hold.Until, hold: hold).Deed);
    }

    [Theory]
    [InlineData(0, "on", true)]
    [InlineData(0, " off\n", false)]
    [InlineData(0, "maybe", null)]
    [InlineData(1, "off", null)]
    public void A_state_hook_says_on_or_off_or_nothing(int code, string output, bool? saysOn) =>
        Assert.Equal(saysOn, new PowerOutcome(code, output).SaysOn);

    private static PowerDecision Decide(
        PowerSettings settings, PowerPlan plan, DateTimeOffset? low, DateTimeOffset at, Dictionary<HostId, HostPower>? powers = null,
        PowerHold? hold = null) =>
        Assert.Single(PowerRules.Decide(settings, plan, powers ?? [], low, at, hold));
}
