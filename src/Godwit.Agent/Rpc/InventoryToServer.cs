using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Inventory;
using Google.Protobuf.WellKnownTypes;

namespace Godwit.Agent.Rpc;

/// <summary>What lies on this host, in the words a server understands. The way back is in the server's <c>InventoryFromAgent</c>.</summary>
public static class InventoryToServer
{
    public static Contracts.VmEpoch Message(VmEpoch known) =>
        new() { VmId = known.Vm.Value, Epoch = known.Epoch.Value, IsOwner = known.IsOwner };

    public static Contracts.HostInventory Message(HostInventory inventory) => new()
    {
        Vms = { inventory.Vms.Select(Message) },
        Moves = { inventory.Moves.Select(Message) },
        Unreadable = { inventory.Unreadable.Select(u => new Contracts.UnreadableRecord { VmId = u.Vm.Value, Why = u.Why }) },
        Files = { inventory.Files.Select(Message) },
        FilesLeftOff = inventory.FilesLeftOff,
        Leaks = { inventory.Leaks.Select(Message) },
        Denied = { inventory.Denied.Select(Message) },
        Notes = new Contracts.KeptNotes { Version = inventory.Notes.Version, Document = inventory.Notes.Document },
    };

    public static Contracts.Leak Message(Leak leak)
    {
        var message = new Contracts.Leak { Kind = (Contracts.LeakKind)((int)leak.Kind + 1), Thing = leak.Thing, What = leak.What };
        if (leak.Vm is { } vm) message.VmId = vm.Value;
        return message;
    }

    /// <exception cref="InvalidDataException">A kind this agent does not know.</exception>
    public static Leak Record(Contracts.Leak leak)
    {
        var kind = (LeakKind)((int)leak.Kind - 1);
        if (!System.Enum.IsDefined(kind)) throw new InvalidDataException($"a leak of kind {(int)leak.Kind} is not known to this agent");
        return new Leak(kind, leak.HasVmId ? new VmId(leak.VmId) : null, leak.Thing, leak.What);
    }

    private static Contracts.VmHolding Message(VmHolding holding)
    {
        var message = new Contracts.VmHolding
        {
            Spec = ToServer.Message(holding.Spec),
            Epoch = holding.Epoch.Value,
            IsOwner = holding.IsOwner,
            State = (Contracts.VmState)((int)holding.State + 1),
            HasProcess = holding.HasProcess,
        };
        if (holding.Note is { } note) message.Note = note;
        if (holding.MemoryFile is { } file) message.MemoryFile = file;
        return message;
    }

    private static Contracts.MoveHolding Message(MoveHolding move)
    {
        var message = new Contracts.MoveHolding
        {
            MoveId = move.Move.Value,
            VmId = move.Vm.Value,
            Side = (Contracts.MoveSide)((int)move.Side + 1),
            Standing = (Contracts.MoveStanding)((int)move.Standing + 1),
            NewEpoch = move.NewEpoch.Value,
            IsSettled = move.IsSettled,
        };
        if (move.Peer is { } peer) message.Peer = peer.Value;
        return message;
    }

    private static Contracts.PoolFile Message(PoolFile file)
    {
        var message = new Contracts.PoolFile { Pool = file.Pool, File = file.File, Bytes = file.Bytes };
        if (file.VirtualBytes is { } bytes) message.VirtualBytes = bytes;
        return message;
    }

    private static Contracts.DeniedHost Message(DeniedHost denied) =>
        new() { Host = denied.Host.Value, BeganUntil = Timestamp.FromDateTimeOffset(denied.BeganUntil) };
}
