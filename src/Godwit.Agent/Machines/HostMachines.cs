using Godwit.Core;
using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>The VMs of this host: what may run here, what does, and their beginnings and ends.</summary>
public sealed class HostMachines
{
    /// <summary>Null where this host knows nothing of it.</summary>
    public Machine? Find(VmId vm) => throw new NotSupportedException("skeleton");

    /// <summary>Throws <see cref="RefusedException"/> (<c>vm-not-here</c>).</summary>
    public Machine Get(VmId vm) => throw new NotSupportedException("skeleton");

    /// <summary>
    /// A QEMU of this VM that waits for an incoming stream, with taps (down) and run directory. Not owner: it is
    /// recorded as a candidate. <paramref name="wish"/>.RamOf shares memory with an incarnation that is here (refresh).
    /// Safe to repeat only after <see cref="DropAsync"/>. The caller holds the gate of an existing machine.
    /// </summary>
    public Task<QemuInstance> LaunchIncomingAsync(
        VmSpec spec, Epoch epoch, IncomingWish wish, CancellationToken cancel) =>
        throw new NotSupportedException("skeleton");

    /// <summary>Durable: this host owns the VM with <paramref name="epoch"/>, in this QEMU. Refuses an older epoch.</summary>
    public Task AdoptAsOwnerAsync(Machine machine, QemuInstance instance, Epoch epoch, VmState wanted) =>
        throw new NotSupportedException("skeleton");

    /// <summary>Durable: this host owns the VM no longer; the note says why. Its QEMUs stay until dropped.</summary>
    public Task DisownAsync(Machine machine, Epoch epoch, string note) => throw new NotSupportedException("skeleton");

    /// <summary>
    /// Kills this QEMU with proof, removes its taps, files and memory (unless shared with another incarnation), then
    /// its line in the record; the record itself goes with the last QEMU of a VM this host does not own.
    /// </summary>
    public Task DropAsync(Machine machine, QemuInstance instance) => throw new NotSupportedException("skeleton");
}

/// <param name="RamOf">Map this incarnation's memory instead of new memory: a refresh.</param>
/// <param name="QemuPath">Another QEMU than the host's first.</param>
/// <param name="Cpus">Host processors ("0-3").</param>
/// <param name="Wanted">What the VM becomes with the token: Running or Paused.</param>
public sealed record IncomingWish(
    int? RamOf = null, string? QemuPath = null, string? Cpus = null, VmState Wanted = VmState.Running);
