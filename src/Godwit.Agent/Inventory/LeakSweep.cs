using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Inventory;

namespace Godwit.Agent.Inventory;

/// <summary>
/// Removes what belongs to nobody, and looks again right before: the server's list is as old as its question. Nothing is
/// removed while a start or a move of that VM may be making it, and a process never is.
/// </summary>
internal sealed class LeakSweep(HostMachines machines, LinkTickets tickets, HostLook look)
{
    public async Task<IReadOnlyList<Leak>> RunAsync(IReadOnlyList<Leak> asked, CancellationToken cancel)
    {
        var gone = new List<Leak>();
        foreach (var ofVm in asked.Take(HostLeaks.ToldMax).Where(l => HostLeaks.MayBeRemoved(l.Kind)).GroupBy(l => l.Vm))
        {
            cancel.ThrowIfCancellationRequested();
            var machine = ofVm.Key is { } vm ? machines.Find(vm) : null;
            if (machine is null) await RemoveAsync([.. ofVm], null, gone, cancel);
            else
                using (await machine.EnterAsync())
                    if (machine.HeldBy is null) await RemoveAsync([.. ofVm], machine, gone, cancel);
        }
        return gone;
    }

    /// <param name="machine">Null: no record is here. Its gate is held where there is one.</param>
    private async Task RemoveAsync(IReadOnlyList<Leak> asked, Machine? machine, List<Leak> gone, CancellationToken cancel)
    {
        var still = HostLeaks.Of(await look.TakeAsync(cancel)).Select(l => (l.Kind, l.Thing)).ToHashSet();
        foreach (var leak in asked.Where(l => still.Contains((l.Kind, l.Thing))))
        {
            if (machine is null && leak.Vm is { } vm && machines.Find(vm) is not null) continue; // It was made this moment.
            switch (leak.Kind)
            {
                case LeakKind.Tap: await machines.Taps.DeleteAsync([leak.Thing], cancel); break;
                case LeakKind.Memory: machines.Disk.DeleteMemory(leak.Thing); break;
                case LeakKind.RunDirectory: DeleteRunDirectory(leak.Vm!.Value); break;
                case LeakKind.RecordDirectory: machines.Records.Forget(leak.Vm!.Value); break;
                case LeakKind.Share: machines.Processes.RemoveShare(leak.Thing); break;
                case LeakKind.Ticket: tickets.Forget(new MoveId(leak.Thing)); break;
                default: continue;
            }
            gone.Add(leak);
        }
    }

    private void DeleteRunDirectory(VmId vm)
    {
        var run = VmHome.On(machines.Layout, vm).Run;
        foreach (var file in machines.Disk.List(run)) machines.Disk.DeleteFile(Path.Combine(run, file));
        machines.Disk.DeleteDirectory(run);
    }
}
