using System.Text.Json;
using Godwit.Agent.Machines;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Checkers;

/// <summary>
/// R7: an order to start, however often and late it arrives, boots one guest. Each order has an epoch of its own; a
/// second life under the same one is the same order carried out twice, after somebody has stopped the first.
/// </summary>
public sealed class OneBootPerEpoch : IChecker
{
    private readonly HashSet<(string Vm, long Epoch)> _booted = [];
    private int _seen;

    public void AfterStep(World world)
    {
        for (; _seen < world.Ledger.Facts.Count; _seen++) Judge(world.Ledger.Facts[_seen]);
    }

    public Task AtEndAsync(World world) => Task.CompletedTask;

    private void Judge(GuestFact fact)
    {
        if (fact is not { Kind: GuestFactKind.Runs, State.Runs: 1 }) return; // Only a boot is the first run of a life.
        if (EpochAt(fact.Copy) is not { } epoch || _booted.Add((fact.Vm, epoch))) return;
        throw new BrokenPromiseException("R7, commands are idempotent",
            $"{fact.Vm} on {fact.Copy.Host.Name} boots again under epoch {epoch}: an order to start was carried out twice");
    }

    /// <summary>As its owner's record says at this moment.</summary>
    private static long? EpochAt(SimQemu copy)
    {
        var vm = Path.GetFileName(Path.GetDirectoryName(copy.Options.MemoryPath))!;
        var record = copy.Host.Disk.Look($"{SimAgent.Layout.StateDirectory}/vms/{vm}/owner.json");
        return record is null ? null : JsonSerializer.Deserialize(record, OwnerRecordJson.Default.OwnerRecord)?.Epoch.Value;
    }
}
