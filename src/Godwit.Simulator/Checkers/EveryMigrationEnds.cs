using Godwit.Core.Hosts;
using Godwit.Simulator.Cluster;

namespace Godwit.Simulator.Checkers;

/// <summary>R6: once everything works again, every move, every recovery and every other operation ends.</summary>
public sealed class EveryMigrationEnds : IChecker
{
    public void AfterStep(World world) { }

    public async Task AtEndAsync(World world)
    {
        var moves = await world.Server.AskAsync(c => c.Stores.Moves.UnfinishedAsync());
        if (moves.Count > 0)
            throw new BrokenPromiseException("R6, every operation ends",
                string.Join("; ", moves.Select(m => $"{m.Id} of {m.VmName} is still {m.Phase}")));
        foreach (var promised in world.Promised)
            if (await world.Server.AskAsync(c => c.Stores.Moves.FindAsync(promised)) is null)
                throw new BrokenPromiseException("R6, every operation ends", $"{promised} was promised, and the store knows nothing of it");
        var operations = await world.Server.AskAsync(c => c.Stores.Operations.UnfinishedAsync());
        if (operations.Count > 0)
            throw new BrokenPromiseException("R6, every operation ends",
                string.Join("; ", operations.Select(o => $"{o.Kind} {o.Id} of {o.VmName} has not ended")));
        foreach (var recovery in await world.Server.AskAsync(c => c.Stores.Fences.UnfinishedAsync()))
            throw new BrokenPromiseException("R6, every operation ends", $"recovery {recovery.Id} of {recovery.Host} has not ended");
        foreach (var host in await world.Server.AskAsync(c => c.Stores.Hosts.ListAsync()))
            if (host.State == HostState.Fenced)
                throw new BrokenPromiseException("R6, every operation ends", $"{host.Id} is back for long, and still counts as fenced");
    }
}
