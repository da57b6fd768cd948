using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Inventory;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;

namespace Godwit.Server.Rebuild;

/// <summary>Asks hosts for everything, some at a time, each a bounded number of times. Silence is written down as silence.</summary>
internal static class Questioning
{
    private const int AtOnceMax = 16;

    /// <param name="gone">Hosts that a person says are off for good.</param>
    /// <param name="tries">How often a host that does not answer is asked.</param>
    public static async Task<IReadOnlyList<Testimony>> AskAsync(
        IReadOnlyList<(HostId Host, string Endpoint)> hosts, Func<HostId, IHostAgent> agents, bool leaksOnly,
        IReadOnlyCollection<HostId> gone, int tries, TimeProvider time, CancellationToken cancel)
    {
        var said = new List<Testimony>();
        foreach (var batch in hosts.Chunk(AtOnceMax))
            said.AddRange(await Task.WhenAll(batch.Select(h =>
                OneAsync(h.Host, h.Endpoint, agents, leaksOnly, gone, tries, time, cancel)).ToArray()));
        return said;
    }

    private static async Task<Testimony> OneAsync(
        HostId host, string endpoint, Func<HostId, IHostAgent> agents, bool leaksOnly, IReadOnlyCollection<HostId> gone, int tries,
        TimeProvider time, CancellationToken cancel)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var agent = agents(host);
                var facts = await agent.DescribeAsync(cancel);
                return new Testimony(host, endpoint, facts, await agent.TakeInventoryAsync(leaksOnly, cancel));
            }
            catch (Exception silent) when (silent is AgentUnreachableException or RefusedException)
            {
                var why = (silent as AgentUnreachableException)?.Why ?? silent.Message;
                if (attempt >= tries) return new Testimony(host, endpoint, null, null, why, gone.Contains(host));
            }
            await Task.Delay(TimeSpan.FromSeconds(1), time, cancel);
        }
    }

    /// <summary>Of a host that has not been heard: it offers nothing until it is.</summary>
    public static HostFacts NothingKnown(DateTimeOffset now) => new()
    {
        AgentVersion = "?", KernelVersion = "?", Cpus = 0, CpuModelName = "?", CpuFlags = [], Accelerator = Core.Vms.Accelerator.Tcg,
        AcceleratorReason = "it has not answered yet", Qemus = [], MemoryBytes = 0, MemoryAvailableBytes = 0, RamFileSpaceBytes = 0,
        Bridges = [], Pools = [], Links = [], Clock = now,
    };
}
