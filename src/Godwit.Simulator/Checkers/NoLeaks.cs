using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Simulator.Cluster;

namespace Godwit.Simulator.Checkers;

/// <summary>R6: nothing is left behind: no second QEMU, no tap without one, no memory file, no reservation.</summary>
public sealed class NoLeaks : IChecker
{
    public void AfterStep(World world) { }

    public async Task AtEndAsync(World world)
    {
        var doubtful = (await world.Server.AskAsync(c => c.Stores.Moves.ListAsync(null, activeOnly: false, limit: 1000)))
            .Where(m => m.End == MoveEnd.NeedsOperator).Select(m => m.VmName).ToHashSet();
        foreach (var copies in world.Ledger.Alive.GroupBy(q => q.Options.Name).Where(g => g.Count() > 1 && !doubtful.Contains(g.Key)))
            throw Broken($"{copies.Key} has {copies.Count()} QEMUs: "
                + string.Join(", ", copies.Select(q => $"{q.Host.Name} pid {q.Process.Pid} {q.RunState}")));

        foreach (var host in world.Agents.Values.Select(a => a.Host))
        {
            var used = world.Ledger.Alive.Where(q => q.Host == host).ToList();
            var taps = host.Devices.Taps.Except(used.SelectMany(q => q.Options.Taps)).ToList();
            if (taps.Count > 0) throw Broken($"{host.Name} has taps without a QEMU: {string.Join(", ", taps)}");
            var memory = host.RamFiles.Keys.Except(used.Select(q => q.Options.MemoryPath)).ToList();
            if (used.FirstOrDefault(q => q.Ram.Arriving is not null) is { } waiting)
                throw Broken($"{waiting.Options.Name} still lacks {waiting.Ram.Arriving!.Missing} pages of its memory");
            if (memory.Count > 0) throw Broken($"{host.Name} keeps memory files of nobody: {string.Join(", ", memory)}");
        }
        if (doubtful.Count == 0) await DemandAgreementAsync(world);
        // A move in doubt keeps its room at the target: the guest may be there.
        var reserved = await world.Server.AskAsync(c => c.Stores.Database.RunAsync(w => w.Query(
            "SELECT vms.name FROM reservations JOIN vms ON vms.id = reservations.vm", row => row.GetString(0))));
        if (reserved.Except(doubtful).ToList() is { Count: > 0 } left) throw Broken($"reservations are left for {string.Join(", ", left)}");
    }

    /// <summary>Where nothing is left the shipped finder of leaks finds nothing: what it takes for one, a repair would remove.</summary>
    private static async Task DemandAgreementAsync(World world)
    {
        foreach (var agent in world.Agents.Values.Where(a => a.Serving is not null))
        {
            var (serving, process) = (agent.Serving!, agent.Process!);
            var inventory = await process.Context.CallAsync(() => serving.TakeInventoryAsync(leaksOnly: true, CancellationToken.None));
            // An agent that dies around a record's first or last write leaves an empty directory: a repair removes it, it holds nothing.
            var leaks = inventory.Leaks.Where(l => l.Kind != LeakKind.RecordDirectory).ToList();
            if (leaks.Count > 0) throw Broken($"{agent.Host.Name} says: {leaks[0].What}");
        }
    }

    private static BrokenPromiseException Broken(string how) => new("R6, nothing leaks", how);
}
