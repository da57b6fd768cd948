using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;

namespace Godwit.Server.Agents;

/// <summary>
/// What an agent says of all that lies on its host, as our records: a word we do not know is an
/// <see cref="InvalidDataException"/>.
/// </summary>
public static class InventoryFromAgent
{
    public static VmEpoch Record(Contracts.VmEpoch known) => new(new VmId(known.VmId), new Epoch(known.Epoch), known.IsOwner);

    public static HostInventory Record(Contracts.HostInventory inventory) => new()
    {
        Vms = [.. inventory.Vms.Select(Record)],
        Moves = [.. inventory.Moves.Select(Record)],
        Unreadable = [.. inventory.Unreadable.Select(u => new UnreadableRecord(new VmId(u.VmId), u.Why))],
        Files =
        [
            .. inventory.Files.Select(f => new PoolFile(f.Pool, f.File, f.Bytes, f.HasVirtualBytes ? f.VirtualBytes : null)),
        ],
        FilesLeftOff = inventory.FilesLeftOff,
        Notes = inventory.Notes is { } notes ? new KeptNotes(notes.Version, notes.Document) : KeptNotes.None,
        Leaks = [.. inventory.Leaks.Select(Record)],
        Denied =
        [
            .. inventory.Denied.Select(d => new DeniedHost(new HostId(d.Host), (d.BeganUntil
                ?? throw new InvalidDataException("a denied host without a moment")).ToDateTimeOffset())),
        ],
    };

    public static Leak Record(Contracts.Leak leak) =>
        new(Known<LeakKind>((int)leak.Kind), leak.HasVmId ? new VmId(leak.VmId) : null, leak.Thing, leak.What);

    public static Contracts.Leak Message(Leak leak)
    {
        var message = new Contracts.Leak { Kind = (Contracts.LeakKind)((int)leak.Kind + 1), Thing = leak.Thing, What = leak.What };
        if (leak.Vm is { } vm) message.VmId = vm.Value;
        return message;
    }

    private static VmHolding Record(Contracts.VmHolding holding) => new(
        FromAgent.Record(holding.Spec ?? throw new InvalidDataException("a VM without its description")), new Epoch(holding.Epoch),
        holding.IsOwner, Known<VmState>((int)holding.State), holding.HasProcess, holding.HasNote ? holding.Note : null,
        holding.HasMemoryFile ? holding.MemoryFile : null);

    private static MoveHolding Record(Contracts.MoveHolding move) => new(
        new MoveId(move.MoveId), new VmId(move.VmId), Known<MoveSide>((int)move.Side), Known<MoveStanding>((int)move.Standing),
        new Epoch(move.NewEpoch), move.HasPeer ? new HostId(move.Peer) : null, move.IsSettled);

    /// <summary>On the wire every enum is ours plus one, because 0 means "not said" there.</summary>
    private static T Known<T>(int wire) where T : struct, Enum
    {
        var value = (T)Enum.ToObject(typeof(T), wire - 1);
        return Enum.IsDefined(value) ? value : throw new InvalidDataException(
            $"{typeof(T).Name} {wire} is not a word this server knows; server and agent are of different versions");
    }
}
