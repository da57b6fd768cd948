using Godwit.Core;
using Godwit.Core.Hosts;

namespace Godwit.Server.Store;

/// <summary>RAM set aside for an operation, in one transaction with the test for room.</summary>
internal static class Reservations
{
    /// <summary>Null, or why there is no room. Idempotent by operation.</summary>
    public static Refusal? Reserve(Work work, string operation, VmId vm, HostId host, long bytes)
    {
        var there = work.Query("SELECT host FROM reservations WHERE operation = @op", r => r.GetString(0), ("@op", operation));
        if (there.Count > 0 && there[0] == host.Value) return null;
        Invariant.Holds(there.Count == 0); // One operation has one target for life.

        if (HostStore.Find(work, host) is not { } record)
            return new Refusal("host-not-found", $"there is no host {host}", "see 'godwit host list'");
        if (FenceStore.IsClosed(work, host))
            return new Refusal("host-fenced", $"{host} is fenced, or about to be: nothing is begun there",
                $"'godwit host recover {host}' brings its VMs back elsewhere; once it is back itself, ask again");
        if (PowerStore.WhyClosed(work, host) is { } off) return off;
        var overcommit = PlacementStore.Policy(work).MemoryOvercommit;
        if (Admission.Check(host, record.Facts!.MemoryBytes, PromisedBytes(work, host), bytes, overcommit) is { } full) return full;
        work.Execute("INSERT INTO reservations (operation, vm, host, bytes) VALUES (@op, @vm, @host, @bytes)",
            ("@op", operation), ("@vm", vm.Value), ("@host", host.Value), ("@bytes", bytes));
        return null;
    }

    public static void Release(Work work, string operation) =>
        work.Execute("DELETE FROM reservations WHERE operation = @op", ("@op", operation));

    /// <summary>Guests with memory there (a guest nobody can place counts as there), and reservations; no guest twice.</summary>
    public static long PromisedBytes(Work work, HostId host) =>
        work.Number(
            """
            SELECT SUM(memory_bytes + @overhead) FROM vms
            WHERE owner = @host AND state IN ('running', 'paused', 'unknown')
              AND NOT EXISTS (SELECT 1 FROM reservations WHERE reservations.vm = vms.id AND reservations.host = @host)
            """, ("@overhead", Host.QemuOverheadBytes), ("@host", host.Value))
        + work.Number("SELECT SUM(bytes) FROM reservations WHERE host = @host", ("@host", host.Value));
}
