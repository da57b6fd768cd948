using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;

namespace Godwit.Core.Inventory;

/// <summary>
/// All that one host has written down and all that lies on it, as its agent found it: enough to rebuild the server's
/// record from, and to tell what is left over. Says what is, decides nothing.
/// </summary>
public sealed record HostInventory
{
    /// <summary>Each VM the host has a record of, also those it owns no longer.</summary>
    public required IReadOnlyList<VmHolding> Vms { get; init; }
    /// <summary>Moves it has not settled, and of each VM those of the newest epoch. Empty where only leaks were asked for.</summary>
    public IReadOnlyList<MoveHolding> Moves { get; init; } = [];
    /// <summary>VMs whose record is there and cannot be read: it may say anything.</summary>
    public IReadOnlyList<UnreadableRecord> Unreadable { get; init; } = [];
    /// <summary>Plain files of its pools. Empty where only leaks were asked for.</summary>
    public IReadOnlyList<PoolFile> Files { get; init; } = [];
    /// <summary>There were more than the agent tells.</summary>
    public bool FilesLeftOff { get; init; }
    public IReadOnlyList<Leak> Leaks { get; init; } = [];
    /// <summary>Hosts whose certificates it refuses, by the server's word.</summary>
    public IReadOnlyList<DeniedHost> Denied { get; init; } = [];
    /// <summary>Its copy of what people have set. None where only leaks were asked for.</summary>
    public KeptNotes Notes { get; init; } = KeptNotes.None;
}

/// <summary>One VM by one host's durable record and by what runs there.</summary>
/// <param name="IsOwner">The host holds the token of <paramref name="Epoch"/>. False: it is a candidate, or let the VM go.</param>
/// <param name="HasProcess">A QEMU of it lives there, as owner's or not.</param>
/// <param name="Note">The host's own words; of a saved VM the name of its file.</param>
/// <param name="MemoryFile">The file in the pool of its first disk that some of its memory still lies in, while it runs.</param>
public sealed record VmHolding(VmSpec Spec, Epoch Epoch, bool IsOwner, VmState State, bool HasProcess, string? Note = null,
    string? MemoryFile = null);

/// <param name="NewEpoch">The epoch the target takes on with the token.</param>
/// <param name="Peer">The other side; null for a refresh, and where the record does not say.</param>
/// <param name="IsSettled">Its last word is written: nothing of it goes on at this host.</param>
public sealed record MoveHolding(
    MoveId Move, VmId Vm, MoveSide Side, MoveStanding Standing, Epoch NewEpoch, HostId? Peer, bool IsSettled);

/// <summary>A host's part in a move.</summary>
public enum MoveSide { Source, Target, Refresh }

public sealed record UnreadableRecord(VmId Vm, string Why);

/// <param name="VirtualBytes">Of a template: the disk a guest sees. Null for other files, and where it cannot be told.</param>
public sealed record PoolFile(string Pool, string File, long Bytes, long? VirtualBytes = null);

/// <summary>The highest epoch a host knows of a VM, and whether it owns it with that one.</summary>
public readonly record struct VmEpoch(VmId Vm, Epoch Epoch, bool IsOwner);
