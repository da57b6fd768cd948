using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Checkers;

/// <summary>
/// R3: no copy of a guest's newest memory is ever ended by us while it is the last one, unless a person wanted that or
/// a fault took another copy first; and at the end a guest that can run does.
/// </summary>
public sealed class NoLostVm : IChecker
{
    private readonly Dictionary<string, GuestState> _newest = [];
    private readonly HashSet<string> _excused = [];
    private int _seen;

    public void AfterStep(World world)
    {
        for (; _seen < world.Ledger.Facts.Count; _seen++) Judge(world, world.Ledger.Facts[_seen]);
    }

    public async Task AtEndAsync(World world)
    {
        foreach (var vm in await world.Server.AskAsync(c => c.Stores.Vms.ListAsync()))
        {
            var name = vm.Spec.Name;
            var running = world.Ledger.Alive.Where(q => q.Options.Name == name && q.IsRunning).ToList();
            if (vm.State == VmState.Running && running.All(q => q.Host.Name != vm.Owner.Value))
                throw Broken(name, $"the record says it runs on {vm.Owner}, and there it does not");
            if (vm.State != VmState.Running && running.Count > 0 && !await NeedsOperatorAsync(world, vm))
                throw Broken(name, $"the record says {vm.State}, and it runs on {running[0].Host.Name}");
            var still = world.Ledger.Alive.FirstOrDefault(q => q.Options.Name == name && IsNewest(q));
            if (running.Count == 0 && still is not null && vm.State is not (VmState.Paused or VmState.Stopped or VmState.Saved)
                && !await NeedsOperatorAsync(world, vm))
                throw Broken(name, $"it could run on {still.Host.Name} ({still.RunState}), and nobody lets it; the record says {vm.State}");
        }
    }

    private void Judge(World world, GuestFact fact)
    {
        if (fact.Kind is GuestFactKind.Runs or GuestFactKind.Stops) _newest[fact.Vm] = fact.State;
        if (fact.Kind is GuestFactKind.Runs) _excused.Remove(fact.Vm);
        if (fact.Kind is GuestFactKind.PowersOff) _excused.Add(fact.Vm);
        // A target that took the token and was struck dead before it ran: nobody can tell that it had not run.
        if (fact is { Kind: GuestFactKind.Gone, End: ProcessEnd.Injected or ProcessEnd.PowerCut }
            && world.Ledger.Alive.Any(q => q.Options.Name == fact.Vm && q.HasSentAll)) _excused.Add(fact.Vm);
        // A lazy move's guest needs both hosts until its memory is there.
        if (fact is { Kind: GuestFactKind.Gone, End: ProcessEnd.PowerCut }
            && world.Ledger.Alive.Any(q => q.Options.Name == fact.Vm && q.Ram.Arriving is not null)) _excused.Add(fact.Vm);
        if (fact.Kind != GuestFactKind.Gone || !Same(fact.State, _newest.GetValueOrDefault(fact.Vm)) || fact.State.IsBlank) return;
        if (fact.End is ProcessEnd.Injected or ProcessEnd.PowerCut)
        {
            _excused.Add(fact.Vm);
            return;
        }
        if (_excused.Contains(fact.Vm) || world.IsWantedGone(fact.Vm, fact.State.Life)) return;
        if (world.Ledger.Alive.Any(q => q.Options.Name == fact.Vm && IsNewest(q))) return;
        throw Broken(fact.Vm, $"{fact.Copy.Host.Name} ended pid {fact.Copy.Process.Pid} ({fact.End}), the last copy of {fact.State}");
    }

    private bool IsNewest(SimQemu copy) =>
        !copy.State.IsBlank && copy.RunState != "shutdown" && Same(copy.State, _newest.GetValueOrDefault(copy.Options.Name));

    private static bool Same(GuestState one, GuestState other) => (one.Life, one.Runs) == (other.Life, other.Runs);

    private static async Task<bool> NeedsOperatorAsync(World world, Vm vm) =>
        (await world.Server.AskAsync(c => c.Stores.Moves.ListAsync(vm.Spec.Id, activeOnly: false, limit: 1)))
            .Any(m => m.End == MoveEnd.NeedsOperator);

    private static BrokenPromiseException Broken(string vm, string how) => new("R3, no lost VM", $"{vm}: {how}");
}
