using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Balance.Search;
using Godwit.Core.Loads;
using Godwit.Core.Placement;
using Xunit;
using Xunit.Abstractions;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Balance;

/// <summary>
/// Hours of loads made to fool a balancer, minute by minute through what the product decides with: samples, what is to be
/// reckoned with, plan, looks, mode. Guests of whole hosts swing between idle and busy, one half when the other does not.
/// </summary>
public sealed class WanderingLoadTests(ITestOutputHelper output)
{
    private const int Hosts = 4, VmsPerHost = 5, Minutes = 150;
    private const double Cores = 8, BusyCores = 1.4, IdleCores = 0.1, Knee = 0.7;

    [Theory]
    [InlineData(4)]
    [InlineData(20)]
    [InlineData(60)]
    public void Guests_that_swing_are_not_chased_to_and_fro(int periodMinutes)
    {
        var (moves, waited, wouldHaveWaited) = Run((vm, minute) =>
        {
            var isHigh = (minute / (periodMinutes / 2) + vm / VmsPerHost) % 2 == 0;
            return isHigh ? BusyCores : IdleCores;
        });
        AssertNoToAndFro(moves);
        Assert.True(waited <= wouldHaveWaited * 1.02, $"guests waited {waited:0} core-minutes, {wouldHaveWaited:0} without a balancer");
        output.WriteLine($"period {periodMinutes} min: {moves.Count} moves, {waited:0} core-minutes above the knee, "
            + $"{wouldHaveWaited:0} without");
        Assert.True(moves.Count <= Hosts * VmsPerHost, $"{moves.Count} moves for loads that come and go");
    }

    [Fact]
    public void A_load_that_stays_where_it_came_is_moved_once_and_then_left_alone()
    {
        // The guests of the first host become busy after an hour, and stay so.
        var (moves, waited, wouldHaveWaited) = Run((vm, minute) => vm < VmsPerHost && minute >= 60 ? BusyCores : IdleCores);
        AssertNoToAndFro(moves);
        Assert.InRange(moves.Count, 1, 4);
        Assert.All(moves, move => Assert.InRange(move.Minute, 60, 120));
        Assert.True(waited < wouldHaveWaited / 4, $"guests waited {waited:0} core-minutes, {wouldHaveWaited:0} without a balancer");
    }

    private readonly record struct Made(int Vm, HostId From, HostId To, int Minute);

    private static void AssertNoToAndFro(IReadOnlyList<Made> moves)
    {
        foreach (var vm in moves.GroupBy(m => m.Vm))
            foreach (var (move, later) in vm.SelectMany((m, n) => vm.Skip(n + 1).Select(l => (m, l))))
                Assert.False(later.To == move.From && later.Minute - move.Minute < 60,
                    $"VM {move.Vm} left {move.From} in minute {move.Minute} and was back in minute {later.Minute}");
    }

    private static (List<Made> Moves, double Waited, double WouldHaveWaited) Run(Func<int, int, double> load)
    {
        var hosts = Enumerable.Range(0, Hosts).Select(h => Host($"h{h}", cpus: Cores)).ToList();
        var home = Enumerable.Range(0, Hosts * VmsPerHost).Select(v => hosts[v / VmsPerHost].Id).ToArray();
        var on = (HostId[])home.Clone();
        var series = on.Select(_ => new LoadSeries(180)).ToList();
        var (moves, history) = (new List<Made>(), LookHistory.Empty);
        var (waited, wouldHave) = (0.0, 0.0);
        var settings = new BalancerSettings { Mode = BalanceMode.Automatic };
        for (var minute = 0; minute < Minutes; minute++)
        {
            var now = Now.AddMinutes(minute);
            for (var sample = 0; sample < 6; sample++)
                for (var v = 0; v < on.Length; v++)
                    series[v].Add(new LoadPoint(now.AddSeconds(10 * sample), (float)load(v, minute), 0, 1 << 30, 0, 0));
            waited += Above(hosts, on, v => load(v, minute));
            wouldHave += Above(hosts, home, v => load(v, minute));

            var reckoned = series.Select(points => LoadSummary.CpuToReckonWith(points.Since(now.AddMinutes(-30)))).ToList();
            var vms = on.Select((host, v) => Vm($"{v}", host.Value, cores: reckoned[v]) with
            {
                RecentMoves = [.. moves.Where(m => m.Vm == v && minute - m.Minute < 60)
                    .Select(m => new RecentMove(m.From, Now.AddMinutes(m.Minute)))],
            }).ToList();
            var plan = PlanBalance.Of(new PlacementView(hosts, vms, new PlacementPolicy()), new BalancePolicy(), now, new OneByOne());
            history = history.With(plan);
            foreach (var advice in BalancerRules.Decide(settings, plan, history, _ => 180, 0, new HashSet<(VmId, HostId)>())
                .Where(a => a.Act == Act.Begin))
            {
                var v = vms.FindIndex(vm => vm.Id == advice.Move.Vm);
                moves.Add(new Made(v, advice.Move.From, advice.Move.To, minute));
                on[v] = advice.Move.To;
            }
        }
        return (moves, waited, wouldHave);
    }

    /// <summary>Core-minutes that the hosts' load is above the knee.</summary>
    private static double Above(List<PlacementHost> hosts, HostId[] on, Func<int, double> load) => hosts.Sum(host =>
        Math.Max(0, Enumerable.Range(0, on.Length).Where(v => on[v] == host.Id).Sum(load) - Knee * Cores));
}
