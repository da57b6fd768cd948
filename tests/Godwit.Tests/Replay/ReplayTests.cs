using Godwit.Core;
using Godwit.Core.Replay;
using Xunit;

namespace Godwit.Tests.Replay;

/// <summary>What a replay measures, on clusters small enough to work out by hand.</summary>
public sealed class ReplayTests
{
    private static readonly PowerCurve Flat = new(100, 200);
    private static readonly ReplayRules OneHour = new() { EndSeconds = 3601, CopyBytesPerSecond = 1e6 };

    private static ReplayHost Host(double cpu = 1000, double memory = 100e6) => new(cpu, cpu, memory, Flat);

    /// <summary>Loads every 300 s; the last one lasts.</summary>
    private static ReplayVm Vm(double cpu, double memory, params double[] load) => new(cpu, memory, load);

    private static ReplayCluster Cluster(ReplayHost[] hosts, params ReplayVm[] vms) => new(hosts, vms, 300);

    private sealed class Scripted(params (double At, ReplayMove Move)[] moves) : IReplayPolicy
    {
        public IReadOnlyList<ReplayMove> Decide(ReplayView view) =>
            [.. moves.Where(m => m.At == view.NowSeconds).Select(m => m.Move)];
    }

    [Fact]
    public void Energy_is_power_times_time_and_a_host_without_work_draws_nothing()
    {
        var result = ReplayRun.Of(Cluster([Host(), Host()], Vm(500, 1e6, 1.0)), OneHour, [0], new NoMoves());
        // From the first tick at 300 s to the last at 3600 s, half loaded: 150 W. The sleeping host adds nothing.
        Assert.Equal(150 * 3300 / 3.6e6, result.EnergyKwh, 9);
        Assert.Equal(0, result.OverloadShare);
        Assert.Equal(1, result.MeanActiveHosts, 9);
    }

    [Fact]
    public void An_overfull_host_gives_each_guest_its_share_and_the_time_counts_as_overload()
    {
        var cluster = Cluster([Host(cpu: 1000)], Vm(1000, 1e6, 1.0), Vm(1000, 1e6, 1.0));
        var result = ReplayRun.Of(cluster, OneHour, [0, 0], new NoMoves());
        Assert.Equal(1, result.OverloadShare, 9);
        Assert.Equal(0.5, result.LostInAll, 9);
        Assert.Equal(0, result.LostByMoves);
        Assert.Equal(55, result.OverloadMinutes, 9);
    }

    [Fact]
    public void A_move_takes_as_long_as_its_memory_and_costs_the_guest_a_tenth_meanwhile()
    {
        // 30 MB at 1 MB/s: 30 s of 3300 s in which it gets 90 %.
        var result = ReplayRun.Of(Cluster([Host(), Host()], Vm(500, 30e6, 1.0)), OneHour, [0], new Scripted((300, new(0, 1))));
        Assert.Equal(1, result.Moves);
        Assert.Equal(0.1 * 30 / 3300, result.LostByMoves, 9);
        // The target promises all and serves a tenth until the guest is there: that is what the experiment counts as overload.
        Assert.Equal(30.0 / (3300 + 30), result.OverloadShare, 9);
    }

    [Fact]
    public void A_move_without_room_for_the_memory_is_not_made_and_told()
    {
        var cluster = Cluster([Host(), Host(memory: 50e6)], Vm(500, 30e6, 0.1), Vm(500, 30e6, 0.1));
        var both = new Scripted((300, new(0, 1)), (300, new(1, 1)));
        var result = ReplayRun.Of(cluster, OneHour, [0, 0], both);
        Assert.Equal((1, 1), (result.Moves, result.RefusedMoves));
        Assert.Equal(2, ReplayRun.Of(cluster, OneHour with { MemoryIsHard = false }, [0, 0], both).Moves);
    }

    [Fact]
    public void Going_back_within_an_hour_is_counted()
    {
        var cluster = Cluster([Host(), Host()], Vm(500, 1e6, 0.5));
        var fourHours = OneHour with { EndSeconds = 4 * 3600 };
        Assert.Equal(1, ReplayRun.Of(cluster, fourHours, [0], new Scripted((300, new(0, 1)), (3600, new(0, 0)))).Returns);
        Assert.Equal(0, ReplayRun.Of(cluster, fourHours, [0], new Scripted((300, new(0, 1)), (3900, new(0, 0)))).Returns);
    }

    [Fact]
    public void Idle_VMs_vanish_only_where_the_rules_say_so()
    {
        var cluster = Cluster([Host()], Vm(500, 1e6, 0.5, 0.5, 0, 0, 0.5), Vm(500, 1e6, 0.5));
        Assert.Equal(2, ReplayRun.Of(cluster, OneHour, [0, 0], new NoMoves()).VmsLeft);
        Assert.Equal(1, ReplayRun.Of(cluster, OneHour with { IdleVmsVanish = true }, [0, 0], new NoMoves()).VmsLeft);
    }

    [Fact]
    public void Waking_a_host_costs_its_full_power_and_the_copy_waits_for_it()
    {
        var cluster = Cluster([Host(), Host()], Vm(500, 30e6, 1.0));
        var move = new Scripted((300, new(0, 1)));
        var plain = ReplayRun.Of(cluster, OneHour, [0], move);
        var waking = ReplayRun.Of(cluster, OneHour with { WakeSeconds = 60 }, [0], move);
        Assert.True(waking.EnergyKwh >= plain.EnergyKwh + 200 * 60 / 3.6e6);
        Assert.Equal(0.1 * 90 / 3300, waking.LostByMoves, 9);
    }

    /// <summary>Two worlds whose loads differ from some moment on: until then a policy that looks must see the same in both.</summary>
    [Fact]
    public void A_policy_sees_the_past_and_nothing_else()
    {
        var seen = new List<string>[] { [], [] };
        foreach (var world in new[] { 0, 1 })
        {
            double[] load = [0.1, 0.2, 0.3, 0.4, world == 0 ? 0.5 : 0.9, 0.1];
            ReplayRun.Of(Cluster([Host()], Vm(500, 1e6, load)), OneHour, [0], new Looking(seen[world]));
        }
        // Ticks at 300, 600 and 900 s come before the difference, which begins after the value of 900 s.
        Assert.Equal(seen[0].Take(3), seen[1].Take(3));
        Assert.NotEqual(seen[0][3], seen[1][3]);
        Assert.Equal("0.3 0.2", seen[0][1]);
    }

    private sealed class Looking(List<string> seen) : IReplayPolicy
    {
        public IReadOnlyList<ReplayMove> Decide(ReplayView view)
        {
            seen.Add(string.Join(' ', view.History(0).ToArray().Select(share => share.ToString("0.0", null))));
            return [];
        }
    }

    [Fact]
    public void What_cannot_be_replayed_is_refused_with_a_reason()
    {
        var cluster = Cluster([Host()], Vm(500, 1e6, 0.5));
        Assert.Equal("replay-placement-bad", Code(() => ReplayRun.Of(cluster, OneHour, [7], new NoMoves())));
        Assert.Equal("replay-load-missing",
            Code(() => ReplayRun.Of(Cluster([Host()], Vm(500, 1e6)), OneHour, [0], new NoMoves())));
        Assert.Equal("power-curve-bad", Code(() => new PowerCurve(100)));
    }

    private static string Code(Func<object> refused) => Assert.Throws<RefusedException>(refused).Reasons[0].Code;

    [Fact]
    public void Power_is_linear_between_the_values_given()
    {
        var curve = new PowerCurve(100, 150, 160);
        Assert.Equal([100, 125, 150, 155, 160, 160, 100], new[] { 0, 0.25, 0.5, 0.75, 1, 1.2, -1 }.Select(curve.At));
    }
}
