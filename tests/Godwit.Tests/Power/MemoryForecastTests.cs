using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Power;
using Xunit;
using Xunit.Abstractions;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Power;

/// <summary>VMs that are started every morning find their memory on hosts that are awake already.</summary>
public sealed class MemoryForecastTests(ITestOutputHelper output)
{
    private const int Hosts = 5, WakeMinutes = 6, Day = 24 * 60, VmGiB = 8;
    private static readonly DateTimeOffset start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);
    private static readonly PowerSettings settings = new() { Mode = PowerMode.Automatic, MinHostsOn = 1 };
    private static readonly HostPower hooked = new() { OffHook = "off", OnHook = "on" };

    [Fact]
    public void What_the_days_before_had_more_at_this_time_is_to_come_but_for_one_day()
    {
        Assert.Equal(0, More());
        Assert.Equal(60, More((1, 100)));
        Assert.Equal(0, More((1, 30))); // Less than now is nothing to come.
        Assert.Equal(100, More((1, 100), (2, 140))); // Of two days none is an exception yet.
        Assert.Equal(60, More((1, 100), (2, 900), (3, 80)));
        Assert.Equal(0, More((8, 900))); // A week back at most.
        // Two hours later than is asked for.
        Assert.Equal(0, Forecast(40, [Past(1, 100) with { At = Now.AddDays(-1).AddHours(2) }]).PromisedMoreUntil(Now.AddMinutes(7)));

        static double More(params (int Days, double GiB)[] days) =>
            Forecast(40, [.. days.Select(d => Past(d.Days, d.GiB))]).PromisedMoreUntil(Now.AddMinutes(7)) / GiB;
    }

    [Fact]
    public void A_host_is_woken_for_memory_that_is_to_come_and_finds_no_room()
    {
        // 60.8 GiB may be promised on h1, 40 are; nine tenths of what is free are to be had: 18.7.
        Assert.Empty(Wakings(40, 58));
        var advice = Assert.Single(Wakings(40, 60));
        Assert.Equal(("wake-h2", PowerAct.Wake), (advice.Id, advice.Act));
        Assert.Equal("h2 is to be woken: VMs with 20.0 GiB more are to be reckoned with, as the days before had at this time, "
            + "and 20.8 GiB are free; it takes 300 s to wake", advice.Reason);
        Assert.Empty(Wakings(60, 60)); // Full of what is there: nothing is to come.

        static IReadOnlyList<PowerAdvice> Wakings(double nowGiB, double yesterdayGiB)
        {
            var picture = Picture([Vm("a", "h1", memoryGiB: nowGiB)], [Past(1, yesterdayGiB)], HostState.Standby);
            return PlanPower.Of(picture, settings).Advices;
        }
    }

    [Fact]
    public void A_host_whose_memory_is_wanted_soon_is_not_turned_off()
    {
        PlacementVm[] vms = [Vm("a", "h1", memoryGiB: 20)];
        Assert.Single(PlanPower.Of(Picture(vms, [], HostState.Ready), settings).Advices);
        // In half an hour: it would have to stay on so long if it came back.
        var soon = Past(1, 90) with { At = Now.AddDays(-1).AddMinutes(30) };
        var plan = PlanPower.Of(Picture(vms, [soon], HostState.Ready), settings);
        Assert.Empty(plan.Advices);
        Assert.Contains(plan.Stays, s => s.Why.StartsWith("without it: VMs with 70.0 GiB more", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(60, 2)]
    [InlineData(10, 3)]
    public void Starts_that_the_days_before_had_find_their_hosts_awake(int riseMinutes, int days)
    {
        var hosts = Enumerable.Range(0, Hosts).Select(h => Host($"h{h}")).ToList();
        var powers = hosts.ToDictionary(h => h.Id, _ => hooked);
        var (past, late, saved, off) = (new List<PastLoad>(), new List<int>(), 0.0, 0);
        DateTimeOffset? low = null;
        for (var minute = 0; minute < days * Day; minute++)
        {
            var now = start.AddMinutes(minute);
            foreach (var (id, power) in powers.Where(p => p.Value.Phase == PowerPhase.Waking
                && now - p.Value.Since >= TimeSpan.FromMinutes(WakeMinutes)).ToList()) powers[id] = power.Woken(now);
            var awake = hosts.Where(h => powers[h.Id].Phase == PowerPhase.On).ToList();
            var wanted = Wanted(minute % Day, riseMinutes);
            var there = Math.Min(wanted, awake.Count * 7); // Seven of them have room on a host of 64 GiB, with its reserve.
            if (there < wanted) late.Add(minute);
            saved += (Hosts - awake.Count) / 60.0;
            var bytes = there * VmGiB * GiB;
            if (minute % 5 == 4) past.Add(new PastLoad(now.AddMinutes(-4), TimeSpan.FromMinutes(5), bytes));
            var view = new PlacementView(
                [.. hosts.Select(h => powers[h.Id].IsClosed ? h with { State = HostState.Standby } : h)],
                [.. Enumerable.Range(0, there).Select(v => Vm($"{v}", awake[v % awake.Count].Id.Value, VmGiB, cores: 0.1))],
                new PlacementPolicy());
            var plan = PlanPower.Of(new PowerPicture
            {
                Now = now, View = view, Powers = powers, Forecast = new ClusterForecast([], there * 0.1, now, past, bytes),
            }, settings);
            low = PowerRules.LowSince(low, plan, now);
            foreach (var (advice, _, _) in PowerRules.Decide(settings, plan, powers, low, now).Where(d => d.Deed == PowerDeed.Begin))
            {
                var isWake = advice.Act == PowerAct.Wake;
                powers[advice.Host] = powers[advice.Host].Enter(isWake ? PowerPhase.Waking : PowerPhase.Standby, now, "power", "x");
                if (!isWake) off++;
            }
            // Whoever finds no room asks for it: the first day that is all that wakes a host.
            if (there < wanted && powers.All(p => p.Value.Phase != PowerPhase.Waking) && awake.Count < Hosts)
            {
                var next = hosts.First(h => powers[h.Id].Phase == PowerPhase.Standby).Id;
                powers[next] = powers[next].Enter(PowerPhase.Waking, now, "need", "x");
            }
        }
        output.WriteLine($"rise in {riseMinutes} min: {late.Count} min late, {off} times off, {saved:0} host-hours saved");
        Assert.NotEmpty(late); // The first morning nobody can know, or this test would show nothing.
        Assert.DoesNotContain(late, minute => minute >= Day);
        Assert.True(saved > days * 20, $"only {saved:0} host-hours were saved");
    }

    /// <summary>Five VMs at night, 28 from nine to six.</summary>
    private static int Wanted(int minute, int riseMinutes) => minute switch
    {
        < 9 * 60 => 5,
        < 18 * 60 => Math.Min(28, 5 + 23 * (minute - 9 * 60 + 1) / riseMinutes),
        _ => 5,
    };

    private static PastLoad Past(int daysBack, double gib) =>
        new(Now.AddDays(-daysBack).AddMinutes(5), TimeSpan.FromMinutes(5), gib * GiB);

    private static ClusterForecast Forecast(double nowGiB, IReadOnlyList<PastLoad> past) => new([], 0, Now, past, nowGiB * GiB);

    /// <summary>h1 is on; h2 is on or asleep.</summary>
    private static PowerPicture Picture(PlacementVm[] vms, PastLoad[] past, HostState second)
    {
        var picture = PlanPowerTests.Picture([Host("h1"), Host("h2") with { State = second }], vms);
        return picture with
        {
            Forecast = Forecast(vms.Sum(vm => vm.Demand.MemoryBytes) / GiB, past),
            Powers = new Dictionary<HostId, HostPower>(picture.Powers)
            {
                [new HostId("h2")] = second == HostState.Standby ? hooked with { Phase = PowerPhase.Standby } : hooked,
            },
        };
    }
}
