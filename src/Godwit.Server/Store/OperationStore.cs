using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Checking;
using Godwit.Core.Fencing;
using Godwit.Core.Migration;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Migrations;
using Godwit.Server.Operations;

namespace Godwit.Server.Store;

/// <summary>What is being done with VMs: at most one thing with each, and each request at most once.</summary>
public sealed class OperationStore(Database database, TimeProvider time)
{
    /// <summary>Ended operations and request keys older than these are forgotten.</summary>
    public const int EndedKeptMax = 10_000, RequestsKeptMax = 10_000;
    private const int DropEvery = 100;

    /// <summary>True where the key is new, or was used for the same request; false where it was for another.</summary>
    public Task<bool> RememberRequestAsync(string key, string fingerprint) => database.RunAsync(work =>
    {
        var old = work.Query("SELECT fingerprint FROM requests WHERE request_key = @key", r => r.GetString(0), ("@key", key));
        if (old.Count > 0) return old[0] == fingerprint;
        var seq = work.Number("SELECT MAX(seq) FROM requests") + 1;
        work.Execute("INSERT INTO requests (request_key, seq, fingerprint) VALUES (@key, @seq, @print)",
            ("@key", key), ("@seq", seq), ("@print", fingerprint));
        if (seq % DropEvery == 0) work.Execute("DELETE FROM requests WHERE seq <= @last", ("@last", seq - RequestsKeptMax));
        return true;
    });

    /// <summary>Begins it, unless this request did so before or something else is being done with the VM.</summary>
    /// <param name="requestKey">The client's idempotency key, or null.</param>
    public Task<Begun> BeginAsync(Operation wished, string? requestKey) =>
        database.RunAsync(work => Begin(work, wished, requestKey) ?? new Begun.Now(wished));

    /// <summary>As <see cref="BeginAsync"/>, with the record of a VM that is to be made.</summary>
    /// <returns>Null where its uid or a MAC is taken: ask again with others.</returns>
    public Task<Begun?> BeginCreateAsync(Operation wished, Vm vm, string? requestKey) => database.RunAsync<Begun?>(work =>
    {
        if (Begin(work, wished, requestKey, insert: false) is { } earlier) return earlier;
        if (!VmStore.IsFree(work, vm.Spec.Uid, vm.Spec.Nics.Select(n => n.Mac))) return null;
        if (PowerStore.WhyClosed(work, vm.Owner) is { } off) return new Begun.Refused(off);
        if (VmStore.Insert(work, vm) is { } refusal) return new Begun.Refused(refusal);
        Insert(work, wished, requestKey);
        return new Begun.Now(wished);
    });

    /// <summary>As <see cref="BeginAsync"/>, with the move's record.</summary>
    /// <param name="told">What speaks against it, but does not forbid it.</param>
    public Task<Begun> BeginMoveAsync(
        Operation wished, Migration move, string? requestKey, IReadOnlyList<Refusal>? told = null) => database.RunAsync(work =>
    {
        if (Begin(work, wished, requestKey, insert: false) is { } before) return before;
        if (PowerStore.WhyClosed(work, move.Target) is { } off) return new Begun.Refused(off);
        if (move.Target != move.Source && !wished.IgnoresRules
            && PlacementStore.WhyNot(work, move.Vm, move.Target) is { } against) return new Begun.Refused(against);
        if (Begin(work, wished, requestKey) is { } earlier) return earlier;
        MoveStore.Insert(work, move);
        EventStore.Append(work, new Happening("move-queued",
            $"{move.VmName}: {Fields.Word(move.Mode)} move from {move.Source} to {move.Target}"
            + (told is { Count: > 0 } ? $", although {string.Join("; ", told.Select(t => t.Cause))}" : ""),
            move.VmName, move.Source.Value, move.Id.Value), time.GetUtcNow());
        return new Begun.Now(wished);
    });

    /// <summary>The end of a move that left its VM in doubt is taken back, and the VM is the move's again.</summary>
    public Task<(Migration? Move, Refusal? Refusal)> ReopenMoveAsync(MoveId id, HostId? fenced) =>
        database.RunAsync<(Migration?, Refusal?)>(work =>
        {
            var move = MoveStore.Find(work, id);
            if (MoveRepair.WhyNot(id, move, move is null ? null : VmStore.Find(work, move.Vm), fenced) is { } refusal)
                return (null, refusal);
            if (!MoveStore.IsNewest(work, move!)) return (null, MoveRepair.Superseded(move!));
            var holder = work.Query("SELECT doc FROM operations WHERE vm = @vm AND ended = 0", Read, ("@vm", move!.Vm.Value));
            if (holder.Count > 0) return (null, Vms.VmVerbs.BusyWith(holder[0]).Reasons[0]);
            Reopen(work, move);
            var said = fenced is null ? "" : $"; {fenced} is off by a person's word";
            EventStore.Append(work, new Happening("move-repair", $"{move.VmName}: its move is taken up again{said}",
                move.VmName, move.Source.Value, id.Value), time.GetUtcNow());
            return (MoveStore.Reopen(work, id, fenced), null);
        });

    /// <summary>The request is answered by what somebody else's began, now and whenever it comes again.</summary>
    public Task JoinAsync(Operation operation, string requestKey) => database.RunAsync(work =>
    {
        if (FindByRequest(work, requestKey) is not null) return;
        var seq = work.Number("SELECT MAX(seq) FROM joined_requests") + 1;
        work.Execute("INSERT INTO joined_requests (request_key, seq, operation) VALUES (@key, @seq, @op)",
            ("@key", requestKey), ("@seq", seq), ("@op", operation.Id));
        if (seq % DropEvery == 0) work.Execute("DELETE FROM joined_requests WHERE seq <= @last", ("@last", seq - RequestsKeptMax));
    });

    public Task<Operation?> FindAsync(string id) => database.RunAsync(work =>
        work.Query("SELECT doc FROM operations WHERE id = @id", Read, ("@id", id)).FirstOrDefault());

    /// <summary>The one thing being done with the VM; null: nothing.</summary>
    public Task<Operation?> HolderAsync(VmId vm) => database.RunAsync(work =>
        work.Query("SELECT doc FROM operations WHERE vm = @vm AND ended = 0", Read, ("@vm", vm.Value)).FirstOrDefault());

    public Task<Operation?> FindByRequestAsync(string key) => database.RunAsync(work => FindByRequest(work, key));

    /// <summary>All that have not ended, oldest first.</summary>
    public Task<List<Operation>> UnfinishedAsync() => database.RunAsync(work =>
        work.Query("SELECT doc FROM operations WHERE ended = 0 ORDER BY seq", Read));

    public Task SaveAsync(Operation operation) => database.RunAsync(work => Save(work, operation));

    public Task<Refusal?> ReserveAsync(Operation operation, HostId host, long bytes) =>
        database.RunAsync(work =>
            (operation.Kind is OperationKind.Start or OperationKind.Resume ? DrainStore.WhyNoStart(work, host) : null)
            ?? WhyNoRoomByRules(work, operation, host) ?? Reservations.Reserve(work, operation.Id, operation.Vm, host, bytes));

    /// <summary>What was reserved before may run by now; and what is only restarted was there.</summary>
    private static Refusal? WhyNoRoomByRules(Work work, Operation operation, HostId host) =>
        operation.IgnoresRules || operation.Kind is not (OperationKind.Create or OperationKind.Start or OperationKind.Resume)
            || work.Number("SELECT COUNT(*) FROM reservations WHERE operation = @op", ("@op", operation.Id)) > 0
            ? null : PlacementStore.WhyNot(work, operation.Vm, host);

    public Task<List<ReservedRoom>> ReservationsAsync() => database.RunAsync(work => work.Query(
        "SELECT operation, vm, host, bytes FROM reservations ORDER BY operation",
        row => new ReservedRoom(row.GetString(0), new VmId(row.GetString(1)), new HostId(row.GetString(2)), row.GetInt64(3))));

    /// <summary>Gives back what an operation that has ended had set aside. False: it goes on, or there is nothing.</summary>
    public Task<bool> ReleaseLeftAsync(string operation) => database.RunAsync(work => work.Execute(
        """
        DELETE FROM reservations WHERE operation = @op
          AND NOT EXISTS (SELECT 1 FROM operations WHERE operations.id = @op AND ended = 0)
        """, ("@op", operation)) > 0);

    /// <summary>A saved VM's owner and next epoch, in one transaction with the operation that brings it back.</summary>
    public Task<Vm> RecordResumeAsync(Operation operation, Vm vm, HostId owner, string savedFile) => database.RunAsync(work =>
    {
        VmStore.RecordOwner(work, vm.Spec.Id, owner, vm.Epoch.Next(), VmState.Saved);
        VmStore.SetState(work, vm.Spec.Id, vm.Epoch.Next(), VmState.Saved, savedFile);
        Save(work, operation);
        return VmStore.Find(work, vm.Spec.Id)!;
    });

    /// <summary>The next epoch for a boot, in one transaction with the operation that boots it.</summary>
    public Task<Vm> RecordBootAsync(Operation operation, Vm vm) => database.RunAsync(work =>
    {
        VmStore.RecordOwner(work, vm.Spec.Id, vm.Owner, NextBoot(work, vm), vm.State);
        Save(work, operation);
        return VmStore.Find(work, vm.Spec.Id)!;
    });

    /// <summary>The next epoch; where its last move ended with a host fenced, one that this host cannot have been given either.</summary>
    private static Epoch NextBoot(Work work, Vm vm) => MoveStore.NewestOf(work, vm.Spec.Id) is { Fenced: not null } move
        ? HaRules.EpochAfter(vm.Epoch, [move.Epoch]) : vm.Epoch.Next();

    /// <summary>Its end, what it makes of the VM's record, and its reservation's end, all or nothing.</summary>
    /// <param name="last">More to change in the same transaction; null is nothing.</param>
    public Task<Operation> EndAsync(Operation operation, Happening happening, Action<Work>? last = null) => database.RunAsync(work =>
    {
        last?.Invoke(work);
        Reservations.Release(work, operation.Id);
        var ended = operation with
        {
            EndedAt = time.GetUtcNow(),
            Result = operation.Problem is null ? VmStore.Find(work, operation.Vm) : null,
        };
        Save(work, ended);
        EventStore.Append(work, happening, time.GetUtcNow());
        return ended;
    });

    /// <summary>A move's operation ends with the move.</summary>
    internal static void EndWithMove(Work work, MoveId move, DateTimeOffset at)
    {
        var operation = work.Query("SELECT doc FROM operations WHERE id = @id", Read, ("@id", move.Value)).FirstOrDefault();
        if (operation is { HasEnded: false }) Save(work, operation with { EndedAt = at });
    }

    /// <summary>The operation of a move that goes on again.</summary>
    internal static void Reopen(Work work, Migration move)
    {
        var operation = work.Query("SELECT doc FROM operations WHERE id = @id", Read, ("@id", move.Id.Value)).FirstOrDefault();
        if (operation is not null) Save(work, operation with { EndedAt = null, Problem = null });
        else
            Insert(work, new Operation
            {
                Id = move.Id.Value, Kind = OperationKind.Migrate, Vm = move.Vm, VmName = move.VmName, CreatedAt = move.CreatedAt,
            }, null);
    }

    /// <summary>One that was found, as it stands; ended ones too.</summary>
    internal static void Take(Work work, Operation operation)
    {
        Insert(work, operation, null);
        if (operation.HasEnded) Save(work, operation);
    }

    /// <summary>Whatever goes on in an older store is over: what became of it is asked of the hosts.</summary>
    internal static void EndAll(Work work, Api.ApiProblem why, DateTimeOffset at)
    {
        foreach (var left in work.Query("SELECT doc FROM operations WHERE ended = 0 ORDER BY seq", Read))
            Save(work, left with { EndedAt = at, Problem = why });
        work.Execute("DELETE FROM reservations");
    }

    private static Begun? Begin(Work work, Operation wished, string? requestKey, bool insert = true)
    {
        if (requestKey is not null && FindByRequest(work, requestKey) is { } earlier) return new Begun.Earlier(earlier);
        var holder = work.Query("SELECT doc FROM operations WHERE vm = @vm AND ended = 0", Read, ("@vm", wished.Vm.Value));
        if (holder.Count > 0) return new Begun.Busy(holder[0]);
        if (!insert) return null;
        if (FreezeStore.Find(work, wished.Vm) is { } frozen)
            return new Begun.Refused(StoreAge.Frozen(wished.VmName, frozen.Reasons));
        if (VmStore.Find(work, wished.Vm) is null)
            return new Begun.Refused(new Refusal("vm-not-found", $"the VM {wished.VmName} was deleted", "see 'godwit vm list'"));
        if (wished.Host is { } host && PowerStore.WhyClosed(work, host) is { } off) return new Begun.Refused(off);
        Insert(work, wished, requestKey);
        return null;
    }

    /// <summary>Null, or what goes on for a VM that may come to this host.</summary>
    internal static string? AnyFor(Work work, HostId host) =>
        work.Query("SELECT doc FROM operations WHERE ended = 0 ORDER BY seq", Read).FirstOrDefault(o => o.Host == host) is { } found
            ? $"{Fields.Word(found.Kind)} of {found.VmName}" : null;

    private static void Insert(Work work, Operation operation, string? requestKey)
    {
        var seq = work.Number("SELECT MAX(seq) FROM operations") + 1;
        work.Execute(
            """
            INSERT INTO operations (id, seq, kind, vm, ended, request_key, doc)
            VALUES (@id, @seq, @kind, @vm, 0, @key, @doc)
            """,
            ("@id", operation.Id), ("@seq", seq), ("@kind", Fields.Word(operation.Kind)), ("@vm", operation.Vm.Value),
            ("@key", requestKey), ("@doc", Fields.Doc(operation)));
        if (seq % DropEvery == 0)
            work.Execute("DELETE FROM operations WHERE ended = 1 AND seq <= @last", ("@last", seq - EndedKeptMax));
    }

    internal static void Save(Work work, Operation operation) => work.Execute(
        "UPDATE operations SET ended = @ended, doc = @doc WHERE id = @id",
        ("@ended", operation.HasEnded ? 1 : 0), ("@doc", Fields.Doc(operation)), ("@id", operation.Id));

    private static Operation? FindByRequest(Work work, string key) => work.Query(
        """
        SELECT doc FROM operations WHERE request_key = @key
        UNION ALL SELECT doc FROM operations WHERE id = (SELECT operation FROM joined_requests WHERE request_key = @key)
        """, Read, ("@key", key)).FirstOrDefault();

    private static Operation Read(DbDataReader row) => row.Doc<Operation>(0);
}
