namespace Godwit.Core.Inventory;

/// <summary>Something on a host that belongs to nothing the host has a record of.</summary>
/// <param name="Vm">Null where its name does not tell.</param>
/// <param name="Thing">What it is called there: a tap, a path, a process id.</param>
/// <param name="What">One sentence for people.</param>
public sealed record Leak(LeakKind Kind, VmId? Vm, string Thing, string What);

public enum LeakKind
{
    /// <summary>A QEMU that no record names. It may be the guest itself: told, never ended.</summary>
    Process,
    /// <summary>A QEMU of a VM that another host owns, held by no move: the host's own restart ends it, by its journal.</summary>
    Copy,
    Tap,
    /// <summary>A guest's memory that no QEMU maps.</summary>
    Memory,
    /// <summary>The sockets and logs of a VM without a record.</summary>
    RunDirectory,
    /// <summary>A cgroup without processes.</summary>
    Share,
    /// <summary>A link is waited for that no move needs any more.</summary>
    Ticket,
    /// <summary>Where a VM's record was: it was forgotten, or never written.</summary>
    RecordDirectory,
}
