using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Vms;

namespace Godwit.Server.Store;

/// <summary>VMs for which nothing is ordered, and why; and hosts whose word is still to come since the store was rebuilt.</summary>
public sealed class FreezeStore(Database database, TimeProvider time)
{
    /// <summary>More say nothing new: the first tell what is wrong.</summary>
    private const int ReasonsMax = 8;

    public Task<List<FrozenVm>> ListAsync() => database.RunAsync(work =>
        work.Query("SELECT vm, since, doc FROM frozen_vms ORDER BY vm", Read));

    public Task<FrozenVm?> FindAsync(VmId vm) => database.RunAsync(work => Find(work, vm));

    /// <summary>
    /// Freezes it, or adds the reason, unless its record changed since <paramref name="known"/> was read: then what was
    /// compared is no longer so. False where nothing was changed.
    /// </summary>
    /// <param name="evenIfBusy">False: what is being done may explain it.</param>
    public Task<bool> FreezeAsync(KnownVm known, Refusal reason, HostId host, bool evenIfBusy) => database.RunAsync(work =>
    {
        var id = known.Vm.Spec.Id;
        var asRead = work.Number(
            """
            SELECT COUNT(*) FROM vms WHERE id = @id AND rev = @rev
              AND (@busy = 1 OR NOT EXISTS (SELECT 1 FROM operations WHERE operations.vm = vms.id AND ended = 0))
            """, ("@id", id.Value), ("@rev", known.Rev), ("@busy", evenIfBusy ? 1 : 0));
        if (asRead == 0) return false;
        var before = Find(work, id)?.Reasons ?? [];
        if (before.Count >= ReasonsMax || before.Any(r => r.Code == reason.Code && r.Cause == reason.Cause)) return false;
        Put(work, id, [.. before, reason], time.GetUtcNow());
        EventStore.Append(work, new Happening("vm-frozen", $"{known.Vm.Spec.Name} is frozen: {reason.Cause}", known.Vm.Spec.Name,
            host.Value),
            time.GetUtcNow());
        return true;
    });

    /// <summary>Settled: the record as it is from now on, and nothing frozen. Makes the VM where the store does not know it.</summary>
    /// <returns>Null, or why it cannot be.</returns>
    public Task<Refusal?> SettleAsync(Vm vm, string why) => database.RunAsync<Refusal?>(work =>
    {
        var id = vm.Spec.Id;
        if (work.Number("SELECT COUNT(*) FROM operations WHERE vm = @id AND ended = 0", ("@id", id.Value)) > 0)
            return new Refusal("vm-busy", $"something is being done with {vm.Spec.Name}", "wait until it has ended: 'godwit vm show'");
        if (VmStore.Find(work, id) is null)
        {
            if (!VmStore.IsFree(work, vm.Spec.Uid, vm.Spec.Nics.Select(n => n.Mac)))
                return new Refusal("numbers-taken", $"another VM has the uid or a network address of {vm.Spec.Name}",
                    "look at both on their hosts: one of them must go");
            if (VmStore.Insert(work, vm) is { } refusal) return refusal;
        }
        VmStore.Settle(work, vm);
        Lift(work, id);
        EventStore.Append(work, new Happening("vm-settled", $"{vm.Spec.Name} is on {vm.Owner} with epoch {vm.Epoch}: {why}",
            vm.Spec.Name, vm.Owner.Value), time.GetUtcNow());
        return null;
    });

    public Task<List<HostId>> AwaitedAsync() => database.RunAsync(work =>
        work.Query("SELECT host FROM awaited_hosts ORDER BY host", row => new HostId(row.GetString(0))));

    public Task ArrivedAsync(HostId host) => database.RunAsync(work =>
        work.Execute("DELETE FROM awaited_hosts WHERE host = @host", ("@host", host.Value)));

    internal static FrozenVm? Find(Work work, VmId vm) => work.Query(
        "SELECT vm, since, doc FROM frozen_vms WHERE vm = @vm", Read, ("@vm", vm.Value)).FirstOrDefault();

    internal static void Put(Work work, VmId vm, IReadOnlyList<Refusal> reasons, DateTimeOffset at) => work.Execute(
        "INSERT INTO frozen_vms (vm, since, doc) VALUES (@vm, @at, @doc) ON CONFLICT (vm) DO UPDATE SET doc = excluded.doc",
        ("@vm", vm.Value), ("@at", Fields.Time(at)), ("@doc", Fields.Doc(reasons)));

    internal static void Lift(Work work, VmId vm) => work.Execute("DELETE FROM frozen_vms WHERE vm = @vm", ("@vm", vm.Value));

    internal static void Await(Work work, HostId host, DateTimeOffset at) => work.Execute(
        "INSERT INTO awaited_hosts (host, since) VALUES (@host, @at) ON CONFLICT (host) DO NOTHING",
        ("@host", host.Value), ("@at", Fields.Time(at)));

    private static FrozenVm Read(DbDataReader row) =>
        new(new VmId(row.GetString(0)), row.Time(1), row.Doc<IReadOnlyList<Refusal>>(2));
}

/// <param name="Reasons">Every one at once, with what to do.</param>
public sealed record FrozenVm(VmId Vm, DateTimeOffset Since, IReadOnlyList<Refusal> Reasons);
