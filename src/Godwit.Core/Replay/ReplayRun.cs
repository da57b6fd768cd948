namespace Godwit.Core.Replay;

/// <summary>
/// Replays recorded load through a policy: what would have happened, in moves, in overload and in energy, before it is allowed to
/// happen. Between two moments (a tick, the end of a move) power is taken as linear; a host without work draws nothing.
/// Pure: the same input gives the same figures.
/// </summary>
public sealed class ReplayRun
{
    /// <summary>Going back to a host sooner than this counts as to and fro.</summary>
    public const double ReturnSeconds = 3600;
    private const double JoulesPerKwh = 3.6e6;

    private readonly ReplayWorld world;
    private readonly ReplayMeter meter;
    private readonly ReplayHurts hurts;
    private readonly List<Flight> flights = [];
    private readonly List<(int From, double At)>[] left;
    private double joules, lookedAt;
    private int moves, refused, returns;

    private readonly record struct Flight(ReplayMove Move, double EndsAt);

    private ReplayRun(ReplayCluster cluster, ReplayRules rules, IReadOnlyList<int> firstHosts)
    {
        meter = new(cluster.Hosts.Count, cluster.Vms.Count);
        world = new(cluster, rules, firstHosts, meter);
        hurts = new(world);
        left = new List<(int, double)>[cluster.Vms.Count];
        for (var v = 0; v < left.Length; v++) left[v] = [];
    }

    /// <param name="firstHosts">Where each VM is before the first tick.</param>
    public static ReplayResult Of(
        ReplayCluster cluster, ReplayRules rules, IReadOnlyList<int> firstHosts, IReplayPolicy policy, CancellationToken stop = default)
    {
        if (firstHosts.Count != cluster.Vms.Count || firstHosts.Any(h => h < 0 || h >= cluster.Hosts.Count))
            throw new RefusedException("replay-placement-bad", "the first placement does not name a host for every VM",
                "give one host number for each VM, in the VMs' order");
        if (cluster.Vms.Any(vm => vm.Load.Length == 0))
            throw new RefusedException("replay-load-missing", "a VM has no recorded load", "leave out VMs without a record");
        return new ReplayRun(cluster, rules, firstHosts).Run(policy, stop);
    }

    private ReplayResult Run(IReplayPolicy policy, CancellationToken stop)
    {
        var rules = world.Rules;
        var view = new ReplayView(world);
        for (var tick = rules.FirstTickSeconds; tick < rules.EndSeconds; tick += rules.TickSeconds)
        {
            stop.ThrowIfCancellationRequested();
            LandUntil(tick);
            LookAt(tick, isTick: true);
            hurts.Look();
            foreach (var move in policy.Decide(view)) Start(move);
        }
        LandUntil(double.PositiveInfinity);
        return new ReplayResult
        {
            EnergyKwh = joules / JoulesPerKwh, Moves = moves, RefusedMoves = refused, OverloadShare = meter.OverloadShare,
            LostByMoves = meter.LostByMoves, LostInAll = meter.LostInAll, OverloadMinutes = meter.OverloadSeconds / 60,
            MeanActiveHosts = lookedAt > rules.FirstTickSeconds ? meter.ActiveSeconds / (lookedAt - rules.FirstTickSeconds) : 0,
            Sleeps = meter.Sleeps, VmsLeft = world.HostOf.Count(h => h >= 0), Returns = returns,
            MovesThatHurt = hurts.Count(),
        };
    }

    private void LandUntil(double moment)
    {
        while (flights.Count > 0)
        {
            var ends = flights.Min(flight => flight.EndsAt);
            if (ends >= moment) return;
            LookAt(ends, isTick: false);
            foreach (var flight in flights)
                if (flight.EndsAt == ends)
                {
                    hurts.Watch(flight.Move, world.HostOf[flight.Move.Vm]);
                    world.Land(flight.Move);
                }
            flights.RemoveAll(flight => flight.EndsAt == ends);
            LookAt(ends, isTick: false);
        }
    }

    private void LookAt(double moment, bool isTick)
    {
        world.Now = moment;
        world.TakeRequests();
        if (isTick) world.TakeHistory();
        var seconds = moment - lookedAt;
        for (var h = 0; h < world.On.Length; h++)
        {
            world.Serve(h);
            if (seconds <= 0 || (world.UsedBefore[h] == 0 && world.Rules.EmptyHostsSleep)) continue;
            var power = world.Cluster.Hosts[h].Power;
            var (from, to) = (power.At(world.Share(world.UsedBefore[h], h)), power.At(world.Share(world.Used[h], h)));
            joules += (from + (to - from) / 2) * seconds;
        }
        if (world.Rules.IdleVmsVanish) world.RemoveIdle();
        lookedAt = moment;
    }

    private void Start(ReplayMove move)
    {
        if (world.HostOf[move.Vm] < 0 || world.HostOf[move.Vm] == move.To
            || (world.Rules.MemoryIsHard && !world.HasMemoryFor(move.Vm, move.To)))
        {
            refused++;
            return;
        }
        var wakes = world.On[move.To].Count == 0 ? world.Rules.WakeSeconds : 0;
        joules += wakes * world.Cluster.Hosts[move.To].Power.Full;
        Remember(move);
        world.Start(move);
        moves++;
        flights.Add(new(move, world.Now + (wakes + world.Cluster.Vms[move.Vm].MemoryBytes / world.Rules.CopyBytesPerSecond)));
    }

    private void Remember(ReplayMove move)
    {
        var leaves = left[move.Vm];
        leaves.RemoveAll(leave => world.Now - leave.At >= ReturnSeconds);
        if (leaves.Any(leave => leave.From == move.To)) returns++;
        leaves.Add((world.HostOf[move.Vm], world.Now));
    }
}
