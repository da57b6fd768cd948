using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Checkers;

/// <summary>R1: the vCPUs of a VM never run in two QEMUs at once.</summary>
public sealed class OneRunningGuest : IChecker
{
    private int _seen;

    public void AfterStep(World world)
    {
        for (; _seen < world.Ledger.Facts.Count; _seen++)
        {
            var fact = world.Ledger.Facts[_seen];
            if (fact.Kind != GuestFactKind.Runs) continue;
            var running = world.Ledger.Alive.Where(q => q.Options.Name == fact.Vm && q.IsRunning).ToList();
            if (running.Count > 1)
                throw new BrokenPromiseException("R1, one runner",
                    $"{fact.Vm} runs in {string.Join(" and ", running.Select(q => $"{q.Host.Name} pid {q.Process.Pid}"))}");
        }
    }

    public Task AtEndAsync(World world) => Task.CompletedTask;
}
