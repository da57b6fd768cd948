using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Automatic;
using Xunit;

namespace Godwit.Tests.Balance;

public sealed class BalancerRulesTests
{
    private static readonly PlannedMove Relief = Move("web", MoveGoal.Relieve);

    [Fact]
    public void One_bad_look_moves_nothing_and_three_of_five_do()
    {
        var history = LookHistory.Empty;
        foreach (var (seen, act) in new[] { (true, Act.Wait), (false, Act.Wait), (true, Act.Wait), (false, Act.Wait), (true, Act.Begin) })
        {
            history = history.With(seen ? Plan(Relief) : Plan());
            if (seen) Assert.Equal(act, Decide(new() { Mode = BalanceMode.Automatic }, history, Relief)[0].Act);
        }
        history = history.With(Plan()).With(Plan()).With(Plan()); // Long ago is over.
        Assert.False(history.Lasts(Relief));
    }

    [Fact]
    public void A_broken_rule_waits_for_no_second_look() =>
        Assert.Equal(Act.Begin, Decide(new() { Mode = BalanceMode.Automatic }, LookHistory.Empty, Move("web", MoveGoal.Repair))[0].Act);

    [Theory]
    [InlineData(BalanceMode.Manual, MoveGoal.Relieve, 10, 60, Act.Ask)]
    [InlineData(BalanceMode.Partial, MoveGoal.Relieve, 10, 60, Act.Begin)]
    [InlineData(BalanceMode.Partial, MoveGoal.Level, 10, 60, Act.Ask)]
    [InlineData(BalanceMode.Partial, MoveGoal.Relieve, 500, 60, Act.Ask)]
    [InlineData(BalanceMode.Partial, MoveGoal.Relieve, 10, 3, Act.Ask)]
    [InlineData(BalanceMode.Automatic, MoveGoal.Level, 500, 3, Act.Begin)]
    public void A_mode_says_what_is_done_unasked(BalanceMode mode, MoveGoal goal, double copySeconds, int samples, Act act)
    {
        var move = Move("web", goal) with { CopySeconds = copySeconds };
        var advice = Assert.Single(BalancerRules.Decide(new() { Mode = mode }, Plan(move), Seen(move), _ => samples, 0, None));
        Assert.Equal(act, advice.Act);
        Assert.NotEmpty(advice.Because);
    }

    [Fact]
    public void A_vms_own_mode_holds_against_the_clusters_but_not_against_off()
    {
        var own = new Dictionary<VmId, BalanceMode> { [Relief.Vm] = BalanceMode.Automatic };
        Assert.Equal(Act.Begin, Decide(new() { Mode = BalanceMode.Manual, VmModes = own }, Seen(Relief), Relief)[0].Act);
        Assert.Equal(Act.Wait, Decide(new() { Mode = BalanceMode.Off, VmModes = own }, Seen(Relief), Relief)[0].Act);
    }

    [Fact]
    public void Only_the_first_wave_begins_and_no_more_than_may_at_once()
    {
        PlannedMove[] moves = [Relief, Move("db", MoveGoal.Relieve), Move("late", MoveGoal.Relieve) with { Wave = 2 }];
        var settings = new BalancerSettings { Mode = BalanceMode.Automatic, MovesAtOnceMax = 1 };
        Assert.Equal([Act.Begin, Act.Wait, Act.Wait], Decide(settings, Seen(moves), moves).Select(a => a.Act));
        Assert.All(BalancerRules.Decide(settings, Plan(moves), Seen(moves), _ => 100, underWay: 1, None),
            a => Assert.Equal(Act.Wait, a.Act));
    }

    [Fact]
    public void A_balancer_that_paused_itself_still_asks()
    {
        var settings = new BalancerSettings { Mode = BalanceMode.Automatic, PausedBecause = "it hurt" };
        Assert.Equal(Act.Ask, Decide(settings, Seen(Relief), Relief)[0].Act);
    }

    [Fact]
    public void A_move_hurt_if_guests_wait_longer_than_noise_explains()
    {
        Assert.False(MeasuredGain.Hurt(Done(0.5, -10)));
        Assert.False(MeasuredGain.Hurt(Done(0.5, 400)));
        Assert.True(MeasuredGain.Hurt(Done(0.5, -400)));
        Assert.False(MeasuredGain.Hurt(Done(0.5, null)));
        Assert.Equal(1800, MeasuredGain.Of(1.5, 1), 6);
        Recommendation[] three = [Done(0.1, -400), Done(0.1, -400), Done(0.1, -400)];
        Assert.NotNull(MeasuredGain.WhyPause(three, DateTimeOffset.UnixEpoch));
        Assert.Null(MeasuredGain.WhyPause(three[..2], DateTimeOffset.UnixEpoch));
        Assert.Null(MeasuredGain.WhyPause(three.Select(r => r with { ByItself = false }), DateTimeOffset.UnixEpoch));
        Assert.Equal(3, MeasuredGain.HurtsByVm(three, DateTimeOffset.UnixEpoch)[Relief.Vm]);
    }

    private static readonly HashSet<(VmId, HostId)> None = [];

    private static Recommendation Done(double before, double? gain) => new()
    {
        Id = "rm-1", Move = Relief, At = DateTimeOffset.UnixEpoch, EndedAt = DateTimeOffset.UnixEpoch.AddDays(1), ByItself = true,
        State = RecommendationState.Done, WaitCoresBefore = before, MeasuredGainSeconds = gain,
    };

    private static IReadOnlyList<Advice> Decide(BalancerSettings settings, LookHistory history, params PlannedMove[] moves) =>
        BalancerRules.Decide(settings, Plan(moves), history, _ => 100, 0, None);

    private static LookHistory Seen(params PlannedMove[] moves) => LookHistory.Empty.With(Plan(moves)).With(Plan(moves)).With(Plan(moves));

    private static BalancePlan Plan(params PlannedMove[] moves) =>
        new() { Moves = moves, Blocked = [], ScoreBefore = 1, ScoreAfter = 0, IsSettled = true };

    private static PlannedMove Move(string vm, MoveGoal goal) =>
        new(new VmId($"vm-{vm}"), vm, new HostId("h1"), new HostId("h2"), goal, 1, 100, 1, 10, "why", "otherwise");
}
