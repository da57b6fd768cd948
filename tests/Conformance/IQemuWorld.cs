using Godwit.Agent.Machines;
using Godwit.Core.Ports;

namespace Godwit.Conformance;

/// <summary>Two hosts, "a" and "b", that share a pool: real ones or simulated ones. A scenario cannot tell which.</summary>
internal interface IQemuWorld
{
    TimeProvider Clock { get; }
    HostPlace Host(string name);
    /// <summary>A raw image in the shared pool that begins with <paramref name="bootSector"/>.</summary>
    Task MakeDiskAsync(string file, int ownerUid, byte[] bootSector);
    /// <summary>As SIGSTOP and SIGCONT.</summary>
    void Stall(string host, ProcessHandle process);
    void Continue(string host, ProcessHandle process);
}

/// <summary>What the shipped code needs of a host, and where it keeps things there.</summary>
internal sealed record HostPlace(IProcesses Processes, INetwork Network, IDisk Disk, HostLayout Layout);
