namespace Godwit.Core.Replay;

/// <summary>
/// Which moves should not have been made: for half an hour after each, what the guests of both hosts are not given is compared with
/// what they would not be given had it stayed. The load is the same in both, so that nothing else is blamed on the move.
/// </summary>
internal sealed class ReplayHurts(ReplayWorld world)
{
    public const double WatchedSeconds = 1800;

    private readonly List<Watched> watched = [];
    private int hurt;

    private sealed class Watched(int vm, int from, int to, double since)
    {
        public readonly int Vm = vm, From = from, To = to;
        public readonly double Since = since;
        public double With, Without;
        public int Looks;
    }

    public void Watch(ReplayMove move, int from) => watched.Add(new(move.Vm, from, move.To, world.Now));

    /// <summary>At a tick.</summary>
    public void Look()
    {
        foreach (var move in watched)
        {
            // Moved on, or on its way: another move's matter.
            if (world.HostOf[move.Vm] != move.To || world.IsMoving[move.Vm]) continue;
            var (there, here, load) = (Asked(move.To), Asked(move.From), world.Request[move.Vm]);
            move.With += Missing(there, move.To) + Missing(here, move.From);
            move.Without += Missing(there - load, move.To) + Missing(here + load, move.From);
            move.Looks++;
        }
        hurt += watched.RemoveAll(move => world.Now - move.Since >= WatchedSeconds && IsHurt(move));
        watched.RemoveAll(move => world.Now - move.Since >= WatchedSeconds);
    }

    /// <summary>With those that are still watched.</summary>
    public int Count() => hurt + watched.Count(IsHurt);

    private bool IsHurt(Watched move) => move.With > move.Without + world.Rules.HurtNoise * move.Looks;

    private double Asked(int host)
    {
        var asked = 0.0;
        foreach (var vm in world.On[host])
            if (world.HostOf[vm] == host) asked += world.Request[vm];
        return asked;
    }

    private double Missing(double asked, int host) => Math.Max(0, asked - world.Cluster.Hosts[host].Cpu);
}
