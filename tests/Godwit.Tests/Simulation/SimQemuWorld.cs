using Godwit.Agent.Machines;
using Godwit.Conformance;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Qemu;

namespace Godwit.Tests.Simulation;

/// <summary>The simulated hosts, as a conformance scenario sees them.</summary>
internal sealed class SimQemuWorld(SimLoop loop, SimProcess a, SimProcess b) : IQemuWorld
{
    private readonly SimPrograms _programs = new(new GuestLedger(loop));

    public TimeProvider Clock => a.Host.Clock;

    public HostPlace Host(string name)
    {
        var process = Process(name);
        return new HostPlace(new SimProcesses(process.Host, _programs), process.Network, process.Host.Disk, new HostLayout
        {
            RunDirectory = "/run/godwit", StateDirectory = "/var/lib/godwit", QemuPaths = ["/usr/bin/qemu-system-x86_64"],
            Pools = new Dictionary<string, PoolPlace> { ["shared"] = new(SimStorage.Directory, DirectIo: true) },
        });
    }

    /// <summary>The simulated guest needs no boot sector: it is that guest.</summary>
    public Task MakeDiskAsync(string file, int ownerUid, byte[] bootSector)
    {
        a.Host.Storage.Create($"{SimStorage.Directory}/{file}", TalkingGuest.Bytes);
        return Task.CompletedTask;
    }

    public void Stall(string host, ProcessHandle process) => Find(host, process)?.Stall();

    public void Continue(string host, ProcessHandle process) => Find(host, process)?.Continue();

    private SimProcess? Find(string host, ProcessHandle process) => Process(host).Host.Find(process.Pid, process.StartTicks);

    private SimProcess Process(string host) => host == "a" ? a : b;
}
