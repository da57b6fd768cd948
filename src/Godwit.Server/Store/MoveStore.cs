using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Server.Store;

/// <summary>Moves: what the story intends, before it does it.</summary>
public sealed class MoveStore(Database database, TimeProvider time) : IMigrationJournal
{
    public const int ListMax = 1_000, EndedKeptMax = 10_000;
    private const int DropEvery = 100;

    public async Task<Migration> ReadAsync(MoveId move) => await FindAsync(move)
        ?? throw new InvariantBrokenException($"move {move} is in the store");

    public Task<Migration?> FindAsync(MoveId move) => database.RunAsync(work => Find(work, move));

    /// <summary>Newest first.</summary>
    public Task<List<Migration>> ListAsync(VmId? vm, bool activeOnly, int limit) => database.RunAsync(work => work.Query(
        $"""
        SELECT doc, cancel_requested FROM migrations
        WHERE (@vm IS NULL OR vm = @vm) AND (@active = 0 OR ended = 0) ORDER BY seq DESC LIMIT @limit
        """,
        Read, ("@vm", vm?.Value), ("@active", activeOnly ? 1 : 0), ("@limit", Math.Clamp(limit, 1, ListMax))));

    /// <summary>Null where it never moved, as far as is remembered.</summary>
    public async Task<Migration?> NewestAsync(VmId vm) => (await ListAsync(vm, activeOnly: false, limit: 1)).FirstOrDefault();

    /// <summary>All that have not ended, in the order they were asked for.</summary>
    public Task<List<Migration>> UnfinishedAsync() => database.RunAsync(work => work.Query(
        "SELECT doc, cancel_requested FROM migrations WHERE ended = 0 ORDER BY seq", Read));

    /// <summary>Where moves that go on bring their VMs.</summary>
    internal static Dictionary<VmId, HostId> OpenTargets(Work work) => work.Query(
        "SELECT doc, cancel_requested FROM migrations WHERE ended = 0 ORDER BY seq", Read)
        .Where(move => move.Target != move.Source).DistinctBy(move => move.Vm).ToDictionary(move => move.Vm, move => move.Target);

    /// <summary>An ended move stays as it ended. A cancel that was asked for is never forgotten by a save.</summary>
    public Task SaveAsync(Migration migration) => database.RunAsync(work =>
    {
        var before = Find(work, migration.Id) ?? throw new InvariantBrokenException($"move {migration.Id} is in the store");
        Invariant.Holds(before.End is null || before.End == migration.End);
        work.Execute("UPDATE migrations SET phase = @phase, ended = @ended, doc = @doc WHERE id = @id",
            ("@phase", Fields.Word(migration.Phase)), ("@ended", migration.End is null ? 0 : 1),
            ("@doc", Fields.Doc(migration)), ("@id", migration.Id.Value));
        var now = time.GetUtcNow();
        if (migration.End is not null && before.End is null)
        {
            OperationStore.EndWithMove(work, migration.Id, now);
            EventStore.Append(work, Ended(migration), now);
        }
        else if (migration.Phase != before.Phase)
        {
            EventStore.Append(work, new Happening("move-phase", $"{migration.VmName}: {Fields.Word(migration.Phase)}",
                migration.VmName, migration.Source.Value, migration.Id.Value), now);
        }
    });

    /// <summary>Durable, so that a restarted server does not forget; null where there is no such move.</summary>
    public Task<Migration?> RequestCancelAsync(MoveId move) => database.RunAsync(work =>
    {
        work.Execute("UPDATE migrations SET cancel_requested = 1 WHERE id = @id AND ended = 0", ("@id", move.Value));
        return Find(work, move);
    });

    /// <summary>Moves whose end left their VM where nobody can prove it to be, and that had this host as a side.</summary>
    public Task<List<Migration>> InDoubtAsync(HostId host) => database.RunAsync(work => work.Query(
        """
        SELECT m.doc, m.cancel_requested FROM migrations m JOIN vms v ON v.id = m.vm
        WHERE m.ended = 1 AND v.state = @unknown ORDER BY m.seq DESC LIMIT @limit
        """,
        Read, ("@unknown", Fields.Word(VmState.Unknown)), ("@limit", ListMax))
        .Where(m => m.End == MoveEnd.NeedsOperator && (m.Source == host || m.Target == host)).ToList());

    /// <summary>Moves that are done, and whose source never said so: it may still hold its copy, in doubt.</summary>
    public async Task<IReadOnlyList<Migration>> LeftUntoldAsync() =>
        [.. (await ListAsync(null, activeOnly: false, ListMax)).Where(LeavesUntold)];

    internal static bool LeavesUntold(Migration move) => move is { End: MoveEnd.Done, Receipt: null, Mode: not MoveMode.Cold };

    /// <summary>The newest moves of their VMs, where they ended before all memory had followed: see <see cref="Migration.Late"/>.</summary>
    public Task<List<Migration>> LateAsync() => database.RunAsync(work => work.Query(
        $"""
        SELECT doc, cancel_requested FROM migrations AS m
        WHERE ended = 1 AND doc LIKE '%"late":"%' AND seq = (SELECT MAX(seq) FROM migrations WHERE vm = m.vm) ORDER BY seq LIMIT {ListMax}
        """, Read).Where(move => move.Late is not null).ToList());

    /// <summary>
    /// The host whose loss took part of the memory of this VM, which was to run and is crashed since; null: there is none, or it has
    /// begun anew, or was stopped.
    /// </summary>
    internal static HostId? LostWith(Work work, Vm vm) => vm.State == VmState.Crashed
        ? SourceOfLate(work, vm, LateMemory.Lost) : null;

    /// <summary>The host that part of a VM's memory may still be on, although its move there has ended, by a person's wish.</summary>
    internal static HostId? FollowsFrom(Work work, Vm vm) => SourceOfLate(work, vm, LateMemory.Unwatched);

    private static HostId? SourceOfLate(Work work, Vm vm, LateMemory late) =>
        NewestOf(work, vm.Spec.Id) is { End: MoveEnd.Done } move && move.Late == late && move.Epoch.Next() == vm.Epoch ? move.Source : null;

    /// <summary>An ended move goes on: its record is as before its end. For <see cref="OperationStore.ReopenMoveAsync"/>.</summary>
    internal static Migration? Reopen(Work work, MoveId id, HostId? fenced)
    {
        if (Find(work, id) is not { } move) return null;
        var again = move with
        {
            End = null, Reason = null, EndedAt = null, Progress = null, CancelRequested = false,
            Repairs = move.Repairs + 1, Fenced = fenced ?? move.Fenced,
        };
        work.Execute("UPDATE migrations SET ended = 0, cancel_requested = 0, doc = @doc WHERE id = @id",
            ("@doc", Fields.Doc(again)), ("@id", id.Value));
        return again;
    }

    internal static Migration? NewestOf(Work work, VmId vm) => work.Query(
        "SELECT doc, cancel_requested FROM migrations WHERE vm = @vm ORDER BY seq DESC LIMIT 1", Read, ("@vm", vm.Value)).FirstOrDefault();

    internal static bool IsNewest(Work work, Migration move) => work.Query(
        "SELECT id FROM migrations WHERE vm = @vm ORDER BY seq DESC LIMIT 1", row => row.GetString(0),
        ("@vm", move.Vm.Value)).FirstOrDefault() == move.Id.Value;

    /// <summary>Every epoch a VM was moved from, of the moves that are remembered.</summary>
    internal static List<Epoch> EpochsOf(Work work, VmId vm) => work.Query(
        "SELECT doc, cancel_requested FROM migrations WHERE vm = @vm ORDER BY seq DESC LIMIT 20", Read, ("@vm", vm.Value))
        .ConvertAll(move => move.Epoch);

    /// <summary>
    /// Both hosts of its newest move, where that goes on or ended without anybody knowing where the guest is: only then it may
    /// be elsewhere than the record says.
    /// </summary>
    internal static IReadOnlyList<HostId> OpenSidesOf(Work work, VmId vm) => NewestOf(work, vm) is { } move
        && (move.End is null || (move.End == MoveEnd.NeedsOperator && VmStore.Find(work, vm) is { State: VmState.Unknown }))
            ? [move.Source, move.Target] : [];

    /// <summary>A cold move goes on that has stopped it, and is to start it again.</summary>
    internal static bool IsBetweenStopAndStart(Work work, Vm vm) => vm.State == VmState.Stopped
        && NewestOf(work, vm.Spec.Id) is { Mode: MoveMode.Cold, End: null, WasRunning: true };

    public Task<bool> IsFencedAsync(HostId host) => database.RunAsync(work => FenceStore.InForce(work, host) is not null);

    public Task<Refusal?> ReserveAsync(MoveId move, HostId host, long bytes) => database.RunAsync(work =>
    {
        var migration = Find(work, move) ?? throw new InvariantBrokenException($"move {move} is in the store");
        if (HostStore.Find(work, host) is { State: Core.Hosts.HostState.Cordoned })
            return new Refusal("host-cordoned", $"{host} is cordoned: it takes no new VMs",
                $"choose another host, or 'godwit host uncordon {host}'");
        return Reservations.Reserve(work, move.Value, migration.Vm, host, bytes);
    });

    public Task ReleaseReservationAsync(MoveId move) => database.RunAsync(work => Reservations.Release(work, move.Value));

    public Task RecordOwnerAsync(VmId vm, HostId owner, Epoch epoch, VmState state) =>
        database.RunAsync(work => VmStore.RecordOwner(work, vm, owner, epoch, state));

    public Task<Vm> ReadVmAsync(VmId vm) => database.RunAsync(work =>
        VmStore.Find(work, vm) ?? throw new InvariantBrokenException($"VM {vm} is in the store while something is done with it"));

    /// <summary>As <see cref="OperationStore.EndAll"/>, for moves; which of them go on hosts say.</summary>
    internal static void EndAll(Work work, string why, DateTimeOffset at)
    {
        foreach (var left in work.Query("SELECT doc, cancel_requested FROM migrations WHERE ended = 0 ORDER BY seq", Read))
            work.Execute("UPDATE migrations SET ended = 1, doc = @doc WHERE id = @id",
                ("@doc", Fields.Doc(left with { End = MoveEnd.NeedsOperator, Reason = why, EndedAt = at })), ("@id", left.Id.Value));
    }

    internal static void Insert(Work work, Migration move)
    {
        var seq = work.Number("SELECT MAX(seq) FROM migrations") + 1;
        work.Execute(
            """
            INSERT INTO migrations (id, seq, vm, phase, ended, cancel_requested, doc)
            VALUES (@id, @seq, @vm, @phase, 0, 0, @doc)
            """,
            ("@id", move.Id.Value), ("@seq", seq), ("@vm", move.Vm.Value), ("@phase", Fields.Word(move.Phase)),
            ("@doc", Fields.Doc(move)));
        if (seq % DropEvery == 0)
            work.Execute("DELETE FROM migrations WHERE ended = 1 AND seq <= @last", ("@last", seq - EndedKeptMax));
    }

    internal static Migration? Find(Work work, MoveId move) => work.Query(
        "SELECT doc, cancel_requested FROM migrations WHERE id = @id", Read, ("@id", move.Value)).FirstOrDefault();

    private static Migration Read(DbDataReader row)
    {
        var move = row.Doc<Migration>(0);
        return row.GetInt64(1) == 0 ? move : move with { CancelRequested = true };
    }

    private static Happening Ended(Migration move) => new("move-ended",
        move.End switch
        {
            MoveEnd.Done when move.Late == LateMemory.Lost => $"{move.VmName} crashed on {move.Target}: {move.LostWords}",
            MoveEnd.Done => $"{move.VmName} is on {move.Target} now{Pause(move)}",
            MoveEnd.Rehearsed => $"{move.VmName} stays on {move.Source}: its move to {move.Target} was rehearsed{Pause(move)}",
            MoveEnd.NeedsOperator => $"{move.VmName}: needs a person: {move.Reason}",
            _ => $"{move.VmName} stays on {move.Source}: {move.Reason}",
        }, move.VmName, move.Source.Value, move.Id.Value);

    private static string Pause(Migration move) => move.Receipt?.PauseMs is { } pause
        ? string.Create(System.Globalization.CultureInfo.InvariantCulture,
            $", {(move.Rehearses ? "would have paused" : "paused")} for {pause:0.#} ms") : "";
}
