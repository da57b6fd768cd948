using Godwit.Core.Migration;

namespace Godwit.Core.Ports;

/// <summary>Where the story writes what it intends, before it does it. Durable on return.</summary>
public interface IMigrationJournal
{
    Task<Migration.Migration> ReadAsync(MoveId move);
    Task SaveAsync(Migration.Migration migration);
    /// <summary>
    /// Sets RAM aside on the target in one transaction with the test for room; idempotent by move.
    /// Returns null, or the reason there is no room.
    /// </summary>
    Task<Refusal?> ReserveAsync(MoveId move, HostId host, long bytes);
    Task ReleaseReservationAsync(MoveId move);
    /// <summary>The guest's new home. Only grows: an older epoch changes nothing.</summary>
    Task RecordOwnerAsync(VmId vm, HostId owner, Epoch epoch, Vms.VmState state);
    Task<Vms.Vm> ReadVmAsync(VmId vm);
    /// <summary>It is proved that nothing runs on this host any more, and it was not welcomed back since.</summary>
    Task<bool> IsFencedAsync(HostId host);
}
