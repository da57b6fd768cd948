using Godwit.Core.Loads;
using Google.Protobuf.WellKnownTypes;

namespace Godwit.Agent.Rpc;

/// <summary>Loads in the words a server understands. The way back is in the server's <c>LoadFromAgent</c>.</summary>
public static class LoadToServer
{
    public static Contracts.HostLoad Message(HostLoad load)
    {
        var message = new Contracts.HostLoad
        {
            At = Timestamp.FromDateTimeOffset(load.At), SpanSeconds = load.SpanSeconds, CpuCores = load.CpuCores,
            StealCores = load.StealCores, MemoryUsedBytes = load.MemoryUsedBytes,
            Links = { load.Links.Select(Message) }, Vms = { load.Vms.Select(Message) },
        };
        if (load.CpuPressure is { } cpu) message.CpuPressure = cpu;
        if (load.MemoryPressure is { } memory) message.MemoryPressure = memory;
        if (load.Agent is { } agent)
            message.Agent = new Contracts.AgentCounts
            {
                Qemus = agent.Qemus, MovesOpen = agent.MovesOpen, MemoryLooks = agent.MemoryLooks,
                MemoryLookSeconds = agent.MemoryLookSeconds, JournalWrites = agent.JournalWrites,
            };
        return message;
    }

    private static Contracts.LinkLoad Message(LinkLoad link) => new()
    {
        Interface = link.Interface, ReceivedBytesPerSecond = link.ReceivedBytesPerSecond, SentBytesPerSecond = link.SentBytesPerSecond,
    };

    private static Contracts.VmLoad Message(VmLoad vm) => new()
    {
        VmId = vm.Vm.Value, CpuCores = vm.CpuCores, WaitCores = vm.WaitCores, MemoryTouchedBytes = vm.MemoryTouchedBytes,
        NetworkBytesPerSecond = vm.NetworkBytesPerSecond, DiskBytesPerSecond = vm.DiskBytesPerSecond,
        DirtyBytesPerSecond = vm.DirtyBytesPerSecond,
    };
}
