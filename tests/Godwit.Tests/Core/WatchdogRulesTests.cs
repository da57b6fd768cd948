using CsCheck;
using Godwit.Core.Fencing;
using Xunit;

namespace Godwit.Tests.Core;

/// <summary>When elapsed time proves that a host was reset, and what the server writes down about its watchdog.</summary>
public sealed class WatchdogRulesTests
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(60), Timeout = TimeSpan.FromSeconds(30);
    private static readonly WatchdogNote Armed = new("wd-1", 60, 30, Confirmed: true);
    private static readonly WatchdogFacts Says = new("/dev/watchdog", "iTCO_wdt", 30, "wd-1", DateTimeOffset.UnixEpoch, false, null);

    [Fact]
    public void The_wait_is_the_lease_twice_the_timeout_and_a_margin()
    {
        Assert.Equal(TimeSpan.FromSeconds(126), WatchdogRules.ProofAfter(Lease, Timeout));
        Assert.Equal(TimeSpan.FromSeconds(20 + 10 + 5), WatchdogRules.ProofAfter(TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(5)));
    }

    [Fact]
    public void Only_an_arming_that_was_seen_proves_anything()
    {
        var wait = WatchdogRules.ProofAfter(Armed);
        Assert.True(WatchdogRules.Proves(Armed, wait));
        Assert.False(WatchdogRules.Proves(Armed, wait - TimeSpan.FromTicks(1)));
        Assert.False(WatchdogRules.Proves(Armed with { Confirmed = false }, TimeSpan.FromDays(9)));
        Assert.False(WatchdogRules.Proves(null, TimeSpan.FromDays(9)));
    }

    [Fact]
    public void An_arming_is_written_down_before_it_is_granted_and_counted_on_once_it_is_seen()
    {
        var offered = Says with { Arming = null, ArmedSince = null };
        var begun = WatchdogRules.Next(null, offered, Lease, "wd-1")!;
        Assert.Equal(new WatchdogNote("wd-1", 60, 30, Confirmed: false), begun);
        Assert.Equal(begun, WatchdogRules.Next(begun, Says with { ArmedSince = null }, Lease, "wd-2")); // Held to, and not armed yet.
        Assert.Equal(Armed, WatchdogRules.Next(begun, Says, Lease, "wd-2"));
        Assert.Null(WatchdogRules.Next(null, null, Lease, "wd-1"));
    }

    [Fact]
    public void What_a_host_says_of_no_arming_or_of_another_is_not_about_this_one()
    {
        Assert.False(WatchdogRules.Next(Armed, Says with { Arming = "wd-0" }, Lease, "wd-2")!.Confirmed);
        Assert.False(WatchdogRules.Next(Armed, Says with { Arming = null, ArmedSince = null }, Lease, "wd-2")!.Confirmed);
        Assert.False(WatchdogRules.Next(Armed, null, Lease, "wd-2")!.Confirmed);
    }

    [Fact]
    public void A_host_that_booted_anew_and_holds_to_its_arming_is_still_counted_on() =>
        Assert.Equal(Armed, WatchdogRules.Next(Armed, Says with { ArmedSince = null }, Lease, "wd-2"));

    [Fact]
    public void A_longer_lease_lengthens_the_wait_and_a_shorter_one_does_not_shorten_it()
    {
        Assert.Equal(90, WatchdogRules.Next(Armed, Says, TimeSpan.FromSeconds(90), "x")!.LeaseSeconds);
        Assert.Equal(60, WatchdogRules.Next(Armed, Says, TimeSpan.FromSeconds(20), "x")!.LeaseSeconds);
    }

    [Fact]
    public void The_timeout_that_is_counted_on_stays_until_the_watchdog_is_let_go()
    {
        Assert.Equal(30, WatchdogRules.Next(Armed, Says with { TimeoutSeconds = 90 }, Lease, "x")!.TimeoutSeconds);
        var begun = Armed with { Confirmed = false };
        var notArmed = Says with { TimeoutSeconds = 30, ArmedSince = null };
        Assert.False(WatchdogRules.Next(begun with { TimeoutSeconds = 20 }, notArmed, Lease, "x")!.Confirmed);
        Assert.Equal(90, WatchdogRules.Next(begun, Says with { TimeoutSeconds = 90 }, Lease, "x")!.TimeoutSeconds);
    }

    /// <summary>
    /// An agent and a server, each with a clock of its own that runs up to a hundredth wrong; answers and grants take any time;
    /// between the look at the lease and the pet the agent may stand still. Whatever happens, the device has struck before the
    /// server believes it has.
    /// </summary>
    [Fact]
    public void However_slow_the_wires_and_however_often_the_agent_stands_still_the_reset_comes_before_the_proof() =>
        Gen.Select(Gen.Int[20, 3600], Gen.Int[5, 300], Gen.Double[0.99, 1.01], Gen.Double[0, 30].Array[1, 12],
            Gen.Double[0, 1].Array[1, 400])
            .Sample((leaseSeconds, timeout, drift, delays, stalls) =>
            {
                double asked = 0, lastSent = 0, freshUntil = 0, at = 0;
                var grants = new List<(double Arrives, double Until)>();
                foreach (var delay in delays) // A ticket, its way to the server, the grant's way back: of any length.
                {
                    lastSent = asked + delay;
                    grants.Add((lastSent + (delay * 3), asked + (leaseSeconds * drift)));
                    asked = lastSent + 1;
                }
                var lastPet = 0.0;
                for (var n = 0; ; n++)
                {
                    foreach (var grant in grants.Where(g => g.Arrives <= at)) freshUntil = Math.Max(freshUntil, grant.Until);
                    var looksFresh = at < freshUntil;
                    at += stalls[n % stalls.Length] * timeout * 1.2; // Between look and pet.
                    if (at - lastPet >= timeout) break; // It has struck.
                    if (looksFresh) lastPet = at;
                    at += timeout / 5.0;
                    if (at - lastPet >= timeout) break;
                }
                var wait = WatchdogRules.ProofAfter(TimeSpan.FromSeconds(leaseSeconds), TimeSpan.FromSeconds(timeout));
                return lastPet + (timeout * 1.01) < lastSent + wait.TotalSeconds;
            }, iter: 2_000);
}
