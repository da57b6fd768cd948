using Godwit.Core.Consolidation;
using Godwit.Core.Replay;
using Xunit;

namespace Godwit.Tests.Consolidation;

public sealed class ConsolidationTests
{
    private static readonly ConsolidationPolicy Policy = new();
    private const double HostCpu = 1000;

    /// <summary>Hosts of 1000 units; VMs whose load has been the same for long.</summary>
    private static ConsolidationPicture Picture(
        int hosts, (int Host, double Load)[] vms, double memory = double.PositiveInfinity, double vmMemory = 1,
        Func<int, bool>? isFixed = null, Func<int, bool>? isClosed = null, Dictionary<int, int[]>? left = null)
    {
        var loads = new LoadWindows(vms.Length, Policy);
        for (var v = 0; v < vms.Length; v++)
            loads.Set(v, Enumerable.Repeat(vms[v].Load / HostCpu, Policy.WindowPoints).ToArray(), HostCpu, 0.1);
        return new ConsolidationPicture
        {
            NowSeconds = 7200, HostCpu = Of(hosts, HostCpu), HostCore = Of(hosts, HostCpu), HostMemoryBytes = Of(hosts, memory),
            IdleWatts = Of(hosts, 100), FullWatts = Of(hosts, 200),
            IsClosed = [.. Enumerable.Range(0, hosts).Select(isClosed ?? (_ => false))],
            TookAt = Of(hosts, double.NegativeInfinity),
            HostOf = [.. vms.Select(vm => vm.Host)],
            VmMemoryBytes = Of(vms.Length, vmMemory), IsFixed = [.. Enumerable.Range(0, vms.Length).Select(isFixed ?? (_ => false))],
            LeftLately = [.. Enumerable.Range(0, vms.Length).Select(v => left?.GetValueOrDefault(v) ?? [])], Loads = loads,
        };
    }

    private static double[] Of(int count, double value) => [.. Enumerable.Repeat(value, count)];

    private static (int, double)[] OneEach(int hosts, double load) => [.. Enumerable.Range(0, hosts).Select(h => (h, load))];

    [Fact]
    public void A_cluster_that_was_never_packed_ends_on_as_few_hosts_as_carry_it()
    {
        var vms = OneEach(20, 100);
        var plan = PlanConsolidation.Of(Picture(20, vms), Policy);
        // 2000 units, and what VMs of which little is known may come to want: three hosts; each VM that moves, moves once.
        Assert.Equal(17, plan.Emptied.Count);
        Assert.Equal(17, plan.Moves.Count);
        var after = new double[20];
        for (var v = 0; v < vms.Length; v++) after[plan.Moves.FirstOrDefault(m => m.Vm == v, new(v, v, v, default)).To] += 100;
        Assert.All(after, load => Assert.True(load <= 950, $"{load}"));
    }

    [Fact]
    public void Memory_is_kept_and_decides_how_many_hosts_are_needed()
    {
        var plan = PlanConsolidation.Of(Picture(20, OneEach(20, 10), memory: 4, vmMemory: 1), Policy);
        var on = Enumerable.Range(0, 20).Select(v => plan.Moves.FirstOrDefault(m => m.Vm == v, new(v, v, v, default)).To)
            .GroupBy(host => host).ToList();
        Assert.All(on, host => Assert.True(host.Count() <= 4));
        Assert.InRange(on.Count, 5, 6);
    }

    [Fact]
    public void An_overloaded_host_gives_away_the_one_VM_that_suffices_and_takes_least()
    {
        (int, double)[] vms = [(0, 600), (0, 300), (0, 250), (0, 20), (1, 300)];
        var move = Assert.Single(PlanConsolidation.Of(Picture(3, vms), Policy).Moves);
        Assert.Equal((2, 0, 1, ConsolidationGoal.Relieve), (move.Vm, move.From, move.To, move.Goal));
    }

    [Fact]
    public void Where_no_awake_host_has_room_one_is_woken()
    {
        (int, double)[] vms = [(0, 800), (0, 300), (1, 780)];
        var plan = PlanConsolidation.Of(Picture(3, vms), Policy);
        Assert.Equal([2], plan.Woken);
        Assert.Equal(2, Assert.Single(plan.Moves).To);
    }

    [Fact]
    public void What_may_not_move_stays_and_closed_hosts_take_nothing()
    {
        var vms = OneEach(6, 50);
        var plan = PlanConsolidation.Of(Picture(6, vms, isFixed: v => v == 3, isClosed: h => h == 0), Policy);
        Assert.NotEmpty(plan.Moves);
        Assert.DoesNotContain(plan.Moves, move => move.Vm == 3 || move.To == 0);
    }

    [Fact]
    public void A_VM_does_not_go_back_to_a_host_that_it_left_lately()
    {
        (int, double)[] vms = [(0, 600), (0, 300), (0, 250), (1, 100)];
        var left = new Dictionary<int, int[]> { [0] = [1], [1] = [1], [2] = [1] };
        var plan = PlanConsolidation.Of(Picture(2, vms, left: left), Policy);
        Assert.Empty(plan.Moves);
    }

    [Fact]
    public void A_host_is_emptied_whole_or_not_at_all()
    {
        // The VM of 30 would find room, that of 450 does not: nothing moves. In two halves it does.
        (int, double)[] others = [(1, 580), (2, 580), (3, 580), (4, 580)];
        Assert.Empty(PlanConsolidation.Of(Picture(5, [(0, 450), (0, 30), .. others]), Policy).Moves);
        var plan = PlanConsolidation.Of(Picture(5, [(0, 225), (0, 225), (0, 30), .. others]), Policy);
        Assert.Equal([0], plan.Emptied);
        Assert.Equal(3, plan.Moves.Count);
    }

    [Fact]
    public void Peaks_at_different_moments_do_not_need_room_at_the_same_time()
    {
        var loads = new LoadWindows(2, Policy);
        var high = Enumerable.Range(0, Policy.WindowPoints).Select(i => i % 2 == 0 ? 0.8 : 0.2).ToArray();
        loads.Set(0, high, HostCpu, 0.5);
        loads.Set(1, [.. high.Select(share => 1 - share)], HostCpu, 0.5);
        var sums = loads.Of(0).ToArray().Zip(loads.Of(1).ToArray(), (a, b) => a + b).ToArray();
        var (mean, spread) = loads.Reckon(sums, 0);
        Assert.Equal((1000, 0), (Math.Round(mean, 6), Math.Round(spread, 6)));
        Assert.True(loads.Reckon(loads.Of(0), 0).Spread > 150);
    }

    [Fact]
    public void The_newest_load_of_a_VM_counts_little_beside_its_mean_of_hours()
    {
        var loads = new LoadWindows(1, Policy);
        loads.Set(0, [0.9, .. Enumerable.Repeat(0.1, Policy.WindowPoints - 1)], HostCpu, 0.5);
        Assert.InRange(loads.Reckon(loads.Of(0), 0).Mean, 150, 250);
    }

    [Fact]
    public void A_VM_of_which_little_is_known_is_reckoned_with_as_most_are()
    {
        var loads = new LoadWindows(3, Policy);
        loads.Set(0, [], HostCpu, 0.3);
        loads.Set(1, [0.1, 0.1], HostCpu, 0.3);
        loads.Set(2, [.. Enumerable.Repeat(0.1, Policy.WindowPoints)], HostCpu, 0.3);
        Assert.Equal(300, loads.Reckon(loads.Of(0), 0).Mean, 6);
        Assert.InRange(loads.Of(1)[^1], 101, 150);
        Assert.Equal(HostCpu * Policy.TypicalSpread, Math.Sqrt(loads.Untold(0)), 6);
        Assert.True(loads.Untold(0) > loads.Untold(1) && loads.Untold(1) > 2 * loads.Untold(2), $"{loads.Untold(2)}");
    }

    [Fact]
    public void Two_VMs_relieve_a_host_where_they_take_less_to_move_than_the_one_that_suffices()
    {
        // 170 have to go: neither of the small ones is enough by itself.
        var picture = Picture(2, [(0, 900), (0, 140), (0, 130), (1, 10)], isFixed: v => v == 3);
        var policy = Policy with { SpreadsToFit = 0 };
        Assert.Equal([1, 2], PlanConsolidation.Of(picture, policy).Moves.Select(move => move.Vm));
        Assert.Equal([0], PlanConsolidation.Of(picture, policy with { PairFactor = 10 }).Moves.Select(move => move.Vm));
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public void Over_a_replayed_day_nothing_goes_to_and_fro_and_memory_is_never_passed(int seed)
    {
        var cluster = Day(seed);
        int[] first = [.. Enumerable.Range(0, cluster.Vms.Count).Select(v => v % cluster.Hosts.Count)];
        var rules = new ReplayRules { EndSeconds = 6 * 3600 };
        var still = ReplayRun.Of(cluster, rules, first, new NoMoves());
        var packed = ReplayRun.Of(cluster, rules, first, new ConsolidationInReplay(Policy));
        Assert.Equal(0, packed.Returns);
        Assert.Equal(0, packed.RefusedMoves);
        Assert.True(packed.EnergyKwh < 0.6 * still.EnergyKwh, $"{packed.EnergyKwh} {still.EnergyKwh}");
        Assert.True(packed.LostInAll < 0.01, $"{packed.LostInAll}");
        Assert.Equal(packed, ReplayRun.Of(cluster, rules, first, new ConsolidationInReplay(Policy)));
    }

    /// <summary>24 hosts, 60 VMs whose loads wander.</summary>
    private static ReplayCluster Day(int seed)
    {
        var random = new Random(seed);
        var power = new PowerCurve(90, 110, 130);
        var hosts = Enumerable.Range(0, 24).Select(_ => new ReplayHost(4000, 2000, 16e9, power)).ToList();
        var vms = Enumerable.Range(0, 60).Select(_ =>
        {
            var (load, at) = (new double[73], random.NextDouble() * 0.3);
            for (var i = 0; i < load.Length; i++) load[i] = at = Math.Clamp(at + (random.NextDouble() - 0.5) * 0.1, 0, 1);
            return new ReplayVm(1000, (1 + random.Next(4)) * 1e9, load);
        }).ToList();
        return new ReplayCluster(hosts, vms, 300);
    }
}
