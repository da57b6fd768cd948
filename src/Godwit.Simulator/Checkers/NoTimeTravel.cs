using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Checkers;

/// <summary>
/// R2: once the target has run, the source copy never runs again. A guest goes on from exactly where it last stood
/// still, or begins a new life from its disk, which has every write it was told was done (R4).
/// </summary>
public sealed class NoTimeTravel : IChecker
{
    private readonly Dictionary<string, GuestState> _latest = [];
    private int _seen;

    public void AfterStep(World world)
    {
        for (; _seen < world.Ledger.Facts.Count; _seen++) Judge(world.Ledger.Facts[_seen]);
    }

    public Task AtEndAsync(World world) => Task.CompletedTask;

    private void Judge(GuestFact fact)
    {
        var latest = _latest.GetValueOrDefault(fact.Vm);
        switch (fact.Kind)
        {
            case GuestFactKind.Torn:
                throw Broken(fact, "its memory was run by another process since its devices were saved");
            case GuestFactKind.Corrupt:
                throw Broken(fact, "it runs from a stream that no source sent");
            case GuestFactKind.Runs when fact.State.Life < latest.Life:
                throw Broken(fact, $"it runs {fact.State}, but {latest} came after");
            case GuestFactKind.Runs when fact.State.Life == latest.Life
                && (fact.State.Runs != latest.Runs + 1 || fact.State.Counter != latest.Counter):
                throw Broken(fact, $"it runs {fact.State}, but stood still at {latest}");
            case GuestFactKind.Runs when fact.State.Life > latest.Life && fact.State.Counter < latest.Counter:
                throw new BrokenPromiseException("R4, no lost write",
                    $"{fact.Vm} boots from a disk with {fact.State.Counter}, but {latest.Counter} was written");
            case GuestFactKind.Reverted: // What was written since is given up by whoever said so.
                _latest[fact.Vm] = latest with { Counter = Math.Min(latest.Counter, fact.State.Counter) };
                break;
            case GuestFactKind.Runs or GuestFactKind.Stops:
                _latest[fact.Vm] = fact.State;
                break;
            case GuestFactKind.Gone when fact.State.Life == latest.Life && fact.State.Runs == latest.Runs:
                _latest[fact.Vm] = fact.State with { Counter = Math.Max(fact.State.Counter, latest.Counter) };
                break;
        }
    }

    private static BrokenPromiseException Broken(GuestFact fact, string how) => new("R2, no time travel",
        $"{fact.Vm} on {fact.Copy.Host.Name}, pid {fact.Copy.Process.Pid}: {how}");
}
