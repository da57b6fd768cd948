using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Consolidation;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Replay;
using Godwit.Server.Balancing;
using Godwit.Server.Store;

namespace Godwit.Server.Replaying;

/// <summary>
/// The time machine: the cluster's own recorded load, replayed through each mode of the balancer and through consolidation, to tell
/// before one is enabled what it would have done. Moves nothing and writes nothing.
/// </summary>
public sealed class ReplayVerbs(Stores stores, BalanceVerbs balance, TimeProvider time)
{
    private const int HoursMax = 30 * 24, WattsMax = 100_000, MovesKnownMax = 10_000;
    private const int PointsMin = 6;
    private const double WakeSeconds = 120;
    private static readonly TimeSpan searchMax = TimeSpan.FromMinutes(2);
    /// <summary>It takes a processor for seconds: one at a time.</summary>
    private int underWay;

    public async Task<ClusterReplay> RunAsync(ReplayWish wish, CancellationToken leave)
    {
        Check(wish);
        if (Interlocked.Exchange(ref underWay, 1) == 1)
            throw new RefusedException("replay-under-way", "another replay is being computed", "try again when it has ended");
        try
        {
            using var limit = new CancellationTokenSource(searchMax, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, leave);
            var past = await PastAsync(wish);
            var settings = await stores.Balancer.SettingsAsync();
            try
            {
                return past.View with { Modes = Replayed(past, settings, either.Token) };
            }
            catch (OperationCanceledException) when (limit.IsCancellationRequested && !leave.IsCancellationRequested)
            {
                throw new RefusedException("replay-too-large",
                    $"this replay takes more than {searchMax.TotalMinutes:0} min: {past.View.Vms} VMs over {wish.Hours} h",
                    "take fewer hours: --hours 6");
            }
        }
        finally
        {
            Volatile.Write(ref underWay, 0);
        }
    }

    private static IReadOnlyList<ReplayedMode> Replayed(Past past, BalancerSettings settings, CancellationToken stop)
    {
        var (from, step) = (past.View.From, past.View.StepSeconds);
        // A pause by itself, and modes of single VMs, are of today: the question is what the mode would do.
        var plain = settings with { PausedBecause = null, VmModes = new Dictionary<VmId, BalanceMode>() };
        ReplayedMode Balancer(ReplayedPolicy name, BalanceMode mode) => Told(name, past, past.Rules with { EmptyHostsSleep = false },
            new BalancerInReplay(plain with { Mode = mode }, past.Today, from, step, stop), stop);
        return
        [
            Balancer(ReplayedPolicy.Off, BalanceMode.Off),
            Balancer(ReplayedPolicy.Partial, BalanceMode.Partial),
            Balancer(ReplayedPolicy.Automatic, BalanceMode.Automatic),
            Told(ReplayedPolicy.Consolidation, past, past.Rules with { WakeSeconds = WakeSeconds },
                new ConsolidationInReplay(new ConsolidationPolicy()), stop),
        ];
    }

    private static ReplayedMode Told(
        ReplayedPolicy name, Past past, ReplayRules rules, IReplayPolicy policy, CancellationToken stop)
    {
        var result = ReplayRun.Of(past.Cluster, rules, past.FirstHosts, policy, stop);
        return new ReplayedMode(name, result.EnergyKwh, result.Moves, result.MovesThatHurt, result.Returns, result.RefusedMoves,
            result.OverloadMinutes, result.LostInAll,
            name == ReplayedPolicy.Consolidation ? result.MeanActiveHosts : past.Cluster.Hosts.Count);
    }

    private async Task<Past> PastAsync(ReplayWish wish)
    {
        var now = time.GetUtcNow();
        var slot = LoadStore.SlotOf(now);
        var span = wish.Hours <= LoadStore.FineKept.TotalHours ? LoadStore.Slot : TimeSpan.FromHours(1);
        var picture = await balance.PictureAsync();
        var pinned = (await stores.Vms.ListAsync()).Where(vm => vm.IsPinned).Select(vm => vm.Spec.Id).ToHashSet();
        var hosts = picture.Hosts.Where(host => host.State is HostState.Ready or HostState.Cordoned).ToList();
        var hostNumber = hosts.Select((host, h) => (host.Id, h)).ToDictionary();
        var (vms, records, unrecorded) = (new List<PlacementVm>(), new List<List<LoadRow>>(), 0);
        foreach (var vm in picture.Vms.Where(vm => vm.Host is { } host && hostNumber.ContainsKey(host)))
        {
            var rows = await stores.Loads.HistoryAsync($"vm/{vm.Id}", slot - TimeSpan.FromHours(wish.Hours), slot);
            if (rows.Count == 0) unrecorded++;
            else
            {
                // What was not measured lately is pinned in today's picture; in the past it was measured.
                vms.Add(vm with { IsPinned = pinned.Contains(vm.Id), Heading = null, RecentMoves = [] });
                records.Add(rows);
            }
        }
        var from = records.Count == 0 ? slot : records.Min(rows => rows[0].At);
        var points = (int)((slot - from) / span);
        if (points < PointsMin)
            throw new RefusedException("loads-unrecorded",
                $"loads are recorded every {LoadStore.Slot.TotalMinutes:0} min, and there are {points} records yet, "
                + $"{PointsMin} at least are needed",
                span == LoadStore.Slot ? "try again in half an hour" : "take fewer hours");
        var cluster = new ReplayCluster(
            [.. hosts.Select(host => new ReplayHost(host.Capacity.CpuCores, host.Capacity.CpuCores, host.Capacity.MemoryBytes,
                new PowerCurve(wish.IdleWatts, wish.FullWatts)))],
            [.. vms.Zip(records, (vm, rows) => new ReplayVm(vm.Demand.Vcpus, vm.Demand.MemoryBytes, Load(rows, vm, from, span, points)))],
            span.TotalSeconds);
        var rules = new ReplayRules
        {
            FirstTickSeconds = span.TotalSeconds, TickSeconds = span.TotalSeconds, EndSeconds = points * span.TotalSeconds + 1,
            CopyBytesPerSecond = new BalancePolicy().LinkBytesPerSecond,
        };
        var view = new ClusterReplay(
            from, slot, span.TotalSeconds, hosts.Count, vms.Count, unrecorded, wish.IdleWatts, wish.FullWatts, []);
        return new Past(cluster, rules, [.. await FirstHostsAsync(vms, hostNumber, from)],
            new PlacementView(hosts, vms, picture.Policy), view);
    }

    /// <summary>
    /// A record is known when its span has ended: a value at a moment is that of the time before it. Gaps are 0: it did not run.
    /// </summary>
    private static double[] Load(List<LoadRow> rows, PlacementVm vm, DateTimeOffset from, TimeSpan span, int points)
    {
        var load = new double[points + 1];
        foreach (var row in rows)
            if ((int)((row.At - from) / span) + 1 is var at && at <= points)
                load[at] = (row.CpuMean + row.WaitMean) / Math.Max(1, vm.Demand.Vcpus);
        return load;
    }

    /// <summary>Where each was then: the source of the first move it has made since; where it is if it made none.</summary>
    private async Task<IEnumerable<int>> FirstHostsAsync(List<PlacementVm> vms, Dictionary<HostId, int> hostNumber, DateTimeOffset from)
    {
        var sources = (await stores.Moves.ListAsync(null, activeOnly: false, MovesKnownMax))
            .Where(m => m.End == MoveEnd.Done && m.EndedAt > from && hostNumber.ContainsKey(m.Source))
            .GroupBy(m => m.Vm).ToDictionary(moves => moves.Key, moves => moves.MinBy(m => m.EndedAt)!.Source);
        return vms.Select(vm => hostNumber[sources.TryGetValue(vm.Id, out var source) ? source : vm.Host!.Value]);
    }

    private static void Check(ReplayWish wish)
    {
        if (wish.Hours is < 1 or > HoursMax)
            throw new RefusedException("bad-hours", $"{wish.Hours} hours", $"1 to {HoursMax} are possible; up to 24 are told most finely");
        if (!(wish.IdleWatts >= 0 && wish.FullWatts >= wish.IdleWatts && wish.FullWatts <= WattsMax))
            throw new RefusedException("bad-watts", $"{wish.IdleWatts} W idle and {wish.FullWatts} W at full load",
                $"idle is not above full, and full not above {WattsMax} W");
    }

    private sealed record Past(
        ReplayCluster Cluster, ReplayRules Rules, IReadOnlyList<int> FirstHosts, PlacementView Today, ClusterReplay View);
}

/// <param name="IdleWatts">What a host draws, as nobody has measured it here.</param>
public sealed record ReplayWish(int Hours = 24, double IdleWatts = 100, double FullWatts = 200);

public enum ReplayedPolicy
{
    Off,
    Partial,
    Automatic,
    Consolidation,
}

/// <param name="Unrecorded">VMs without a record in this time: they are not in the replay.</param>
public sealed record ClusterReplay(
    DateTimeOffset From, DateTimeOffset To, double StepSeconds, int Hosts, int Vms, int Unrecorded, double IdleWatts, double FullWatts,
    IReadOnlyList<ReplayedMode> Modes);

/// <summary>What one policy would have done.</summary>
/// <param name="MovesThatHurt">After which guests would have waited longer than without, in the half hour that follows.</param>
/// <param name="Returns">Moves back to a host within an hour of leaving it.</param>
/// <param name="OverloadMinutes">Host-minutes in which guests were given less than they asked for.</param>
/// <param name="LostShare">Of all processing that guests asked for, what they were not given.</param>
/// <param name="MeanHostsOn">Hosts that draw power, on average.</param>
public sealed record ReplayedMode(
    ReplayedPolicy Policy, double EnergyKwh, int Moves, int MovesThatHurt, int Returns, int RefusedMoves, double OverloadMinutes,
    double LostShare, double MeanHostsOn);
