using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Store;

namespace Godwit.Server.Fencing;

/// <summary>
/// Lazy moves that a person had end before all memory was there, looked at while a host is silent. Where the source is proved to be off,
/// the guest can never have the rest: it is ended as crashed, as the move would have done it, and recovered with that host. Where the
/// target is, nobody wants that memory any more: the source lets it go. Each step is safe to repeat.
/// </summary>
public sealed class LateMemories(Stores stores, AgentDirectory agents)
{
    /// <param name="fenced">All hosts that are proved to be off.</param>
    public async Task RoundAsync(IReadOnlySet<HostId> fenced, CancellationToken stopping)
    {
        foreach (var move in await stores.Moves.LateAsync())
        {
            try
            {
                if (fenced.Contains(move.Target)) await LetGoAsync(move, fenced, stopping);
                else await LookAsync(move, fenced.Contains(move.Source), stopping);
            }
            catch (Exception not) when (not is AgentUnreachableException or RefusedException) { } // Looked at again in the next round.
        }
    }

    private async Task LetGoAsync(Migration move, IReadOnlySet<HostId> fenced, CancellationToken stopping)
    {
        if (move.Late != LateMemory.Unwatched) return;
        if (!fenced.Contains(move.Source)) await agents.Of(move.Source).CleanMoveAsync(move.AtAgents, stopping);
        await stores.Moves.SaveAsync(move with { Late = null });
    }

    private async Task LookAsync(Migration move, bool isSourceOff, CancellationToken stopping)
    {
        if (await stores.Vms.FindAsync(move.Vm) is not { } vm || vm.Owner != move.Target || vm.Epoch != move.Epoch.Next()) return;
        if (vm.State is VmState.Crashed or VmState.Stopped || await stores.Operations.HolderAsync(move.Vm) is not null) return;
        var target = agents.Of(move.Target);
        if (!(await target.QueryMoveAsync(move.AtAgents, stopping)).MemoryArriving)
        {
            // It was ended, and the next report says so; or the last of its memory had come, and it is as any other.
            if ((await target.ListVmsAsync(stopping)).Any(report => report.Spec.Id == move.Vm && report.State != VmState.Crashed))
                await stores.Moves.SaveAsync(move with { Late = null });
            return;
        }
        if (!isSourceOff) return;
        if (HaRules.IsToRun(vm)) move = await MarkLostAsync(move, vm);
        await target.EndLostVmAsync(move.Vm, vm.Epoch, move.LostWords, stopping);
    }

    /// <summary>Durable before it is ended: from then on it is to be recovered with the host that had its memory.</summary>
    private async Task<Migration> MarkLostAsync(Migration move, Vm vm)
    {
        if (move.Late == LateMemory.Lost) return move;
        var marked = move with { Late = LateMemory.Lost, Warnings = [.. move.Warnings, $"it was ended: {move.LostWords}"] };
        await stores.Moves.SaveAsync(marked);
        await stores.Events.AppendAsync(new Happening("vm-memory-lost", $"{move.VmName} is ended on {move.Target}: {move.LostWords}"
            + (vm.Ha ? "" : $"; it has no HA: 'godwit vm start {move.VmName}' boots it from its disk"), move.VmName, move.Target.Value));
        return marked;
    }
}
