using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Checkers;

/// <summary>
/// R5: a live guest that QEMU stopped for the switch-over goes on, or its token has left, within 2 s and the time to act,
/// as long as its agent and its QEMU are well. After the token only proof ends the wait (DOUBT, shown as such).
/// </summary>
public sealed class BoundedPause : IChecker
{
    /// <summary>The guard's 2 s, its orders to QEMU, and room for a host under load.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    private readonly Dictionary<SimQemu, TimeSpan> _standing = [];
    private int _seen;

    public void AfterStep(World world)
    {
        for (; _seen < world.Ledger.Facts.Count; _seen++) Note(world.Ledger.Facts[_seen]);
        if (_standing.Count == 0) return;
        foreach (var (copy, since) in _standing)
        {
            if (world.Loop.Now - since <= Limit) continue;
            var well = Max(since, Max(world.Agents[copy.Host.Name].TroubledAt, copy.Process.StalledAt));
            if (copy.HasSentAll) _standing.Remove(copy);
            else if (copy.Process.IsStalled || world.Agents[copy.Host.Name].IsTroubled) _standing[copy] = world.Loop.Now;
            else if (world.Loop.Now - well <= Limit) _standing[copy] = well;
            else throw new BrokenPromiseException("R5, bounded pause",
                $"{copy.Options.Name} stands still on {copy.Host.Name} since {since}, and nobody acts");
        }
    }

    public Task AtEndAsync(World world) => Task.CompletedTask;

    private void Note(GuestFact fact)
    {
        if (fact.Kind == GuestFactKind.Stops && fact.Copy.RunState == "finish-migrate") _standing[fact.Copy] = fact.At;
        else if (fact.Kind is GuestFactKind.Runs or GuestFactKind.Gone or GuestFactKind.PowersOff) _standing.Remove(fact.Copy);
    }

    private static TimeSpan Max(TimeSpan one, TimeSpan other) => one > other ? one : other;
}
