using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Power;
using Xunit;
using Xunit.Abstractions;
using static Godwit.Tests.Balance.RandomCluster;

namespace Godwit.Tests.Power;

/// <summary>
/// Days of load, minute by minute, through what the product decides with: record, forecast, plan, rules. Hosts take their time to
/// come; the load does not wait for them.
/// </summary>
public sealed class PowerDayTests(ITestOutputHelper output)
{
    private const int Hosts = 6, VmsPerHost = 4, WakeMinutes = 6, Day = 24 * 60;
    private const double Cores = 8;
    private static readonly DateTimeOffset start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData(1, 60, 2)]
    [InlineData(2, 20, 3)]
    [InlineData(3, 5, 2)]
    public void A_rise_that_the_days_before_had_finds_its_hosts_awake(int seed, int riseMinutes, int days)
    {
        var day = Run(seed, days, (minute, noise) => Working(minute % Day, riseMinutes) * (1 + 0.05 * noise));
        output.WriteLine($"rise in {riseMinutes} min: {day.Off} times off, {day.Woken} woken, {day.HostHoursSaved:0} host-hours saved");
        // The first morning nobody can know; from the second day on there is a past.
        Assert.DoesNotContain(day.Above, minute => minute >= Day);
        Assert.True(day.HostHoursSaved > days * 24, $"only {day.HostHoursSaved:0} host-hours were saved");
        Assert.True(day.Off <= days * 2 * Hosts, $"hosts went off {day.Off} times");
    }

    [Fact]
    public void A_load_that_swings_does_not_turn_hosts_off_and_on_within_half_an_hour()
    {
        var day = Run(7, days: 1, (minute, _) => minute / 20 % 2 == 0 ? 0.75 : 0.1);
        Assert.All(day.Flips, flip => Assert.True(flip >= 30, $"off again {flip} min after it came on"));
        Assert.True(day.Off <= Hosts, $"hosts went off {day.Off} times");
    }

    /// <summary>Share of all processors: nights at an eighth, offices from nine to six.</summary>
    private static double Working(int minute, int riseMinutes) => minute switch
    {
        < 9 * 60 => 0.12,
        < 18 * 60 => Math.Min(0.7, 0.12 + 0.58 * (minute - 9 * 60 + 1) / riseMinutes),
        _ => 0.15,
    };

    private sealed record Told(List<int> Above, List<int> Flips, int Off, int Woken, double HostHoursSaved);

    private static Told Run(int seed, int days, Func<int, double, double> share)
    {
        var numbers = new Random(seed);
        var settings = new PowerSettings { Mode = PowerMode.Automatic, MinHostsOn = 1 };
        var hosts = Enumerable.Range(0, Hosts).Select(h => Host($"h{h}", cpus: Cores)).ToList();
        var on = Enumerable.Range(0, Hosts * VmsPerHost).Select(v => hosts[v / VmsPerHost].Id).ToArray();
        var powers = hosts.ToDictionary(h => h.Id, _ => new HostPower { OffHook = "off", OnHook = "on" });
        var (past, slot, cameOn) = (new List<PastLoad>(), 0.0, new Dictionary<HostId, int>());
        var (above, flips, off, woken, saved) = (new List<int>(), new List<int>(), 0, 0, 0.0);
        DateTimeOffset? low = null;
        for (var minute = 0; minute < days * Day; minute++)
        {
            var now = start.AddMinutes(minute);
            var load = share(minute, numbers.NextDouble() * 2 - 1) * Hosts * Cores;
            foreach (var (id, power) in powers.Where(p => p.Value.Phase == PowerPhase.Waking
                && now - p.Value.Since >= TimeSpan.FromMinutes(WakeMinutes)).ToList())
            {
                powers[id] = power.Woken(now);
                cameOn[id] = minute;
                woken++;
            }
            slot = Math.Max(slot, load);
            if (minute % 5 == 4)
            {
                past.Add(new PastLoad(now.AddMinutes(-4), TimeSpan.FromMinutes(5), slot));
                slot = 0;
            }
            var awake = hosts.Where(h => powers[h.Id].Phase == PowerPhase.On).ToList();
            if (load > settings.Ceiling * awake.Count * Cores) above.Add(minute);
            saved += (Hosts - awake.Count) / 60.0;
            // The balancer's part: even over what is on.
            for (var v = 0; v < on.Length; v++) on[v] = awake[v % awake.Count].Id;
            var view = new PlacementView(
                [.. hosts.Select(h => powers[h.Id].IsClosed ? h with { State = HostState.Standby } : h)],
                [.. on.Select((host, v) => Vm($"{v}", host.Value, memoryGiB: 2, cores: load / on.Length))], new PlacementPolicy());
            var picture = new PowerPicture
            {
                Now = now, View = view, Powers = powers,
                Forecast = new ClusterForecast([.. past.Where(p => p.At > now.AddDays(-1)), .. Hourly(past, now)], load, now),
            };
            var plan = PlanPower.Of(picture, settings);
            low = PowerRules.LowSince(low, plan, now);
            foreach (var (advice, _, _) in PowerRules.Decide(settings, plan, powers, low, now).Where(d => d.Deed == PowerDeed.Begin))
            {
                var isWake = advice.Act == PowerAct.Wake;
                powers[advice.Host] = powers[advice.Host].Enter(
                    isWake ? PowerPhase.Waking : PowerPhase.Standby, now, "power", advice.Reason);
                if (isWake) continue;
                off++;
                if (cameOn.TryGetValue(advice.Host, out var at)) flips.Add(minute - at);
            }
        }
        return new(above, flips, off, woken, saved);
    }

    /// <summary>What the store has of days before yesterday.</summary>
    private static IEnumerable<PastLoad> Hourly(List<PastLoad> past, DateTimeOffset now) => past.Where(p => p.At <= now.AddDays(-1))
        .GroupBy(p => p.At.Ticks / TimeSpan.TicksPerHour)
        .Select(hour => new PastLoad(new DateTimeOffset(hour.Key * TimeSpan.TicksPerHour, TimeSpan.Zero),
            TimeSpan.FromHours(1), hour.Max(p => p.Amount)));
}
