using Godwit.Core;
using Godwit.Core.Loads;

namespace Godwit.Server.Agents;

/// <summary>What an agent says of its host's load. A host may say anything: what is no number counts as nothing.</summary>
public static class LoadFromAgent
{
    /// <summary>More of either are not listened to.</summary>
    public const int LinksMax = 64, VmsMax = 10_000;
    /// <summary>No agent counts so far; sums of such numbers stay exact.</summary>
    public const long CountMax = 1L << 40;

    public static HostLoad Record(Contracts.HostLoad load) => new()
    {
        At = (load.At ?? throw new InvalidDataException("a load without a moment")).ToDateTimeOffset(),
        SpanSeconds = Rate(load.SpanSeconds), CpuCores = Rate(load.CpuCores), StealCores = Rate(load.StealCores),
        CpuPressure = load.HasCpuPressure ? Math.Min(1, Rate(load.CpuPressure)) : null,
        MemoryPressure = load.HasMemoryPressure ? Math.Min(1, Rate(load.MemoryPressure)) : null,
        MemoryUsedBytes = Math.Max(0, load.MemoryUsedBytes),
        Links =
        [
            .. load.Links.Take(LinksMax).Select(l => new LinkLoad(
                l.Interface, Math.Max(0, l.ReceivedBytesPerSecond), Math.Max(0, l.SentBytesPerSecond))),
        ],
        Vms =
        [
            .. load.Vms.Take(VmsMax).Select(v => new VmLoad(new VmId(v.VmId), Rate(v.CpuCores), Rate(v.WaitCores),
                Math.Max(0, v.MemoryTouchedBytes), Math.Max(0, v.NetworkBytesPerSecond), Math.Max(0, v.DiskBytesPerSecond),
                Math.Max(0, v.DirtyBytesPerSecond))),
        ],
        Agent = load.Agent is { } agent ? new AgentCounts
        {
            Qemus = Math.Clamp(agent.Qemus, 0, VmsMax), MovesOpen = Math.Clamp(agent.MovesOpen, 0, VmsMax),
            MemoryLooks = Math.Clamp(agent.MemoryLooks, 0, CountMax), JournalWrites = Math.Clamp(agent.JournalWrites, 0, CountMax),
            MemoryLookSeconds = Math.Min(CountMax, Rate(agent.MemoryLookSeconds)),
        } : null,
    };

    private static double Rate(double said) => double.IsFinite(said) && said > 0 ? said : 0;
}
