using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Vms;

namespace Godwit.Server.Store;

/// <summary>
/// Proofs that hosts are off, what left such hosts, and what is being recovered. A VM gets another owner because of a
/// fenced host here and nowhere else, and only in a transaction that finds the proof.
/// </summary>
public sealed class FenceStore(Database database, TimeProvider time)
{
    /// <summary>Ended recoveries and old proofs beyond these are forgotten.</summary>
    public const int KeptMax = 1_000;
    private const int DropEvery = 100;

    /// <summary>Null: the host is not proved to be off, or is back since.</summary>
    public Task<FenceProof?> InForceAsync(HostId host) => database.RunAsync(work => InForce(work, host));

    /// <summary>
    /// Durable on return: from now on nothing is asked of the host, and its VMs may get another home. A person's word is refused
    /// where the host answers. A hook's is not: the host may have answered just before it went off, or already be up again,
    /// and while a recovery goes on nothing is begun there.
    /// </summary>
    public Task<Refusal?> ProveAsync(FenceProof proof) => database.RunAsync<Refusal?>(work => Prove(work, proof));

    /// <summary>
    /// What is counted on of its watchdog, durable on return and before the agent is granted anything under it. False where
    /// that is not <paramref name="before"/> any more, or it is its fence no more.
    /// </summary>
    public Task<bool> SaveWatchdogAsync(HostId id, WatchdogNote? before, WatchdogNote? note) => database.RunAsync(work =>
    {
        if (HostStore.Find(work, id) is not { Fence: WatchdogRules.FenceName } host || host.Watchdog != before) return false;
        HostStore.SaveWatchdog(work, id, note);
        if (note?.Confirmed != (before?.Confirmed ?? false) && note is not null)
            Say(work, note.Confirmed
                ? new Happening("watchdog-armed", FormattableString.Invariant(
                    $"{id} resets itself within {note.TimeoutSeconds} s when it has no lease, and is taken to be off after ")
                    + FormattableString.Invariant($"{WatchdogRules.ProofAfter(note).TotalSeconds:0} s of silence"), Host: id.Value)
                : new Happening("watchdog-not-armed", $"{id} answers and its watchdog is not armed: its silence proves nothing",
                    Host: id.Value));
        return true;
    });

    /// <summary>VMs it does not yet know to be another host's, with their epochs there.</summary>
    public Task<List<Departure>> DeparturesAsync(HostId host) => database.RunAsync(work => Departures(work, host));

    /// <summary>
    /// It has durably refused everything older than <paramref name="told"/>: the proof is no longer in force, the next answer
    /// counts. False where more left it meanwhile, or its recovery goes on.
    /// </summary>
    public Task<bool> WelcomeAsync(HostId host, IReadOnlyCollection<Departure> told) => database.RunAsync(work =>
    {
        if (Active(work, host) is not null || Departures(work, host).Except(told).Any()) return false;
        work.Execute("DELETE FROM departures WHERE host = @host", ("@host", host.Value));
        if (work.Execute("UPDATE hosts SET fenced = NULL WHERE id = @host AND fenced IS NOT NULL", ("@host", host.Value)) == 0) return true;
        Say(work, new Happening("host-back", told.Count == 0 ? $"{host} is back after it was fenced; nothing had left it"
            : $"{host} is back after it was fenced, and knows that {told.Count} of its VMs are elsewhere", Host: host.Value));
        return true;
    });

    /// <summary>Begins it, or takes over the one that goes on where its VMs are not chosen yet; or why not.</summary>
    /// <param name="word">A person's word, recorded in the same transaction.</param>
    public Task<(HostRecovery? Recovery, Refusal? Refusal)> BeginAsync(HostRecovery wished, FenceProof? word) =>
        database.RunAsync<(HostRecovery?, Refusal?)>(work =>
        {
            if (PowerStore.WhyClosed(work, wished.Host) is { } standby) return (null, standby);
            var active = Active(work, wished.Host);
            if (active is not null && wished.IsAutomatic) return (active, null);
            if (active?.Vms is not null)
                return (null, new Refusal("recovery-under-way", $"{wished.Host} is being recovered already ({active.Id})",
                    $"wait for it: 'godwit host show {wished.Host}'"));
            if (word is not null && Prove(work, word) is { } refusal) return (null, refusal);
            var begun = active is null ? wished : active with
            {
                Scope = wished.Scope > active.Scope ? wished.Scope : active.Scope, By = wished.By, IsAutomatic = false,
            };
            if (active is not null) Save(work, begun);
            else Insert(work, begun);
            return (begun, null);
        });

    public async Task<HostRecovery> ReadAsync(string id) => await database.RunAsync(work => Find(work, id))
        ?? throw new InvariantBrokenException($"recovery {id} is in the store");

    public Task<HostRecovery?> NewestAsync(HostId host) => database.RunAsync(work => work.Query(
        "SELECT doc FROM recoveries WHERE host = @host ORDER BY seq DESC LIMIT 1", Read, ("@host", host.Value)).FirstOrDefault());

    public Task<List<HostRecovery>> UnfinishedAsync() => database.RunAsync(work =>
        work.Query("SELECT doc FROM recoveries WHERE ended = 0 ORDER BY seq", Read));

    /// <summary>Its newest recovery failed, and it has not answered since.</summary>
    public Task<bool> GaveUpAsync(HostId host) => database.RunAsync(work => work.Query(
        "SELECT doc, answered FROM recoveries WHERE host = @host ORDER BY seq DESC LIMIT 1",
        row => (Recovery: Read(row), Answered: row.GetInt64(1) != 0), ("@host", host.Value))
        .Any(newest => newest is { Recovery.End: RecoveryEnd.NeedsOperator, Answered: false }));

    /// <summary>As it stands now, changed: a person may have taken it over since it was read.</summary>
    public Task<HostRecovery> ChangeAsync(string id, Func<HostRecovery, HostRecovery> change, Happening? happening = null) =>
        database.RunAsync(work =>
        {
            var before = Find(work, id) ?? throw new InvariantBrokenException($"recovery {id} is in the store");
            Invariant.Holds(before.End is null);
            var after = change(before);
            Save(work, after);
            if (happening is not null) Say(work, happening);
            return after;
        });

    /// <summary>VMs marked <c>ha</c> by each host whose loss takes them along, or has: see <see cref="NeededBy"/>.</summary>
    public Task<ILookup<HostId, VmId>> HaVmsAsync() => database.RunAsync(work => VmStore.List(work).Where(vm => vm.Ha)
        .SelectMany(vm => NeededBy(work, vm).Distinct().Select(host => (Host: host, Vm: vm.Spec.Id)))
        .ToLookup(pair => pair.Host, pair => pair.Vm));

    /// <summary>
    /// Where it runs, or may: its owner, and the sides of an open move; and the host it still has memory on. Of one that crashed because
    /// such a host was lost, that one.
    /// </summary>
    private static IEnumerable<HostId> NeededBy(Work work, Vm vm)
    {
        if (!HaRules.IsToRun(vm)) return MoveStore.LostWith(work, vm) is { } lost ? [lost] : [];
        var hosts = MoveStore.OpenSidesOf(work, vm.Spec.Id).Append(vm.Owner);
        // Once that is off, the VM is ended first, and is then one that was lost with it.
        return MoveStore.FollowsFrom(work, vm) is { } from && InForce(work, from) is null ? hosts.Append(from) : hosts;
    }

    /// <summary>
    /// Chooses which VMs this recovery is about, once: those of the host, those whose move has it as a side, and those that lost part of
    /// their memory with it. Throws <see cref="InvariantBrokenException"/> without a proof.
    /// </summary>
    public Task<HostRecovery> PlanAsync(string id) => database.RunAsync(work =>
    {
        var recovery = Find(work, id) ?? throw new InvariantBrokenException($"recovery {id} is in the store");
        if (recovery.Vms is not null) return recovery;
        Invariant.Holds(InForce(work, recovery.Host) is not null);
        var touched = VmStore.List(work).Where(vm =>
            vm.Owner == recovery.Host || MoveStore.OpenSidesOf(work, vm.Spec.Id).Contains(recovery.Host)
            || MoveStore.LostWith(work, vm) == recovery.Host);
        var planned = recovery with
        {
            Vms = [.. HaRules.Order(touched.Where(vm => HaRules.IsWanted(vm, recovery.Scope)))
                .Select(vm => new RecoveredVm(vm.Spec.Id, vm.Spec.Name, HaRules.IsToRun(vm)
                    || MoveStore.IsBetweenStopAndStart(work, vm) || MoveStore.LostWith(work, vm) is not null))],
        };
        Save(work, planned);
        return planned;
    });

    /// <summary>
    /// The VM's next home and an epoch above every one that its old one can have been given, with the operation that brings it
    /// there, all or nothing; or why not. From a fenced host only; from any other only where <paramref name="left"/> says that
    /// it durably gave the VM up, or where it stays.
    /// </summary>
    /// <param name="fencedHost">The host whose recovery it is: it may know of the VM also where it does not own it.</param>
    public Task<(Vm? Vm, Refusal? Refusal)> RehomeAsync(
        Operations.Operation operation, HostId fencedHost, HostId to, VmState state, long reserveBytes, Epoch? left) =>
        database.RunAsync<(Vm?, Refusal?)>(work =>
        {
            var vm = VmStore.Find(work, operation.Vm) ?? throw new InvariantBrokenException($"{operation.VmName} is in the store");
            var fenced = InForce(work, vm.Owner) is not null;
            if (!fenced && vm.Owner != to && left is null)
                return (null, new Refusal("host-not-fenced", $"{vm.Owner} is not proved to be off", "fence it first"));
            Reservations.Release(work, operation.Id);
            if (vm.Owner != to && PowerStore.WhyClosed(work, to) is { } off) return (null, off);
            if (reserveBytes > 0 && PlacementStore.WhyNot(work, vm.Spec.Id, to) is { } against) return (null, against);
            if (reserveBytes > 0 && Reservations.Reserve(work, operation.Id, vm.Spec.Id, to, reserveBytes) is { } full) return (null, full);
            var epoch = HaRules.EpochAfter(vm.Epoch, MoveStore.EpochsOf(work, vm.Spec.Id));
            Invariant.Holds(left is null || left == epoch);
            foreach (var host in new[] { vm.Owner, fencedHost }.Distinct().Where(host => host != to && InForce(work, host) is not null))
                work.Execute(
                    """
                    INSERT INTO departures (host, vm, epoch, spec) VALUES (@host, @vm, @epoch, @spec)
                    ON CONFLICT (host, vm) DO UPDATE SET epoch = excluded.epoch, spec = excluded.spec
                    """,
                    ("@host", host.Value), ("@vm", vm.Spec.Id.Value), ("@epoch", epoch.Value), ("@spec", Fields.Doc(vm.Spec)));
            VmStore.RecordOwner(work, vm.Spec.Id, to, epoch, state);
            OperationStore.Save(work, operation with { EpochTaken = true, Host = to });
            return (VmStore.Find(work, vm.Spec.Id), null);
        });

    /// <summary>An ended one stays as it ended.</summary>
    public Task<HostRecovery> EndAsync(string id, RecoveryEnd end, string? reason) => database.RunAsync(work =>
    {
        var before = Find(work, id) ?? throw new InvariantBrokenException($"recovery {id} is in the store");
        if (before.End is not null) return before;
        var ended = before with { End = end, Reason = reason, EndedAt = time.GetUtcNow() };
        Save(work, ended);
        Say(work, new Happening("recovery-ended", end switch
        {
            RecoveryEnd.Done => $"{before.Host}: {before.Vms!.Count} of its VMs were dealt with",
            RecoveryEnd.HostBack => $"{before.Host}: {reason}",
            _ => $"{before.Host} needs a person: {reason}",
        }, Host: before.Host.Value));
        return ended;
    });

    /// <summary>True where nothing may be begun on the host: it is fenced, or about to be.</summary>
    internal static bool IsClosed(Work work, HostId host) => InForce(work, host) is not null || Active(work, host) is not null;

    internal static FenceProof? InForce(Work work, HostId host) => work.Query(
        "SELECT p.doc FROM hosts h JOIN fence_proofs p ON p.id = h.fenced WHERE h.id = @host",
        row => row.Doc<FenceProof>(0), ("@host", host.Value)).FirstOrDefault();

    /// <summary>A host that was removed while VMs had left it, and is added anew, still has to be told.</summary>
    internal static void KeepClosed(Work work, HostId host)
    {
        if (Departures(work, host).Count == 0) return;
        work.Execute(
            """
            UPDATE hosts SET reachable = 0, fenced = (SELECT id FROM fence_proofs WHERE host = @host ORDER BY seq DESC LIMIT 1)
            WHERE id = @host
            """, ("@host", host.Value));
    }

    /// <summary>What could not be done about its silence before may be tried at its next one.</summary>
    internal static void Answered(Work work, HostId host) =>
        work.Execute("UPDATE recoveries SET answered = 1 WHERE host = @host AND ended = 1 AND answered = 0", ("@host", host.Value));

    internal static HostRecovery? Active(Work work, HostId host) => work.Query(
        "SELECT doc FROM recoveries WHERE host = @host AND ended = 0", Read, ("@host", host.Value)).FirstOrDefault();

    private Refusal? Prove(Work work, FenceProof proof)
    {
        var host = HostStore.Find(work, proof.Host);
        if (host is null) return new Refusal("host-not-found", $"there is no host {proof.Host}", "see 'godwit host list'");
        if (proof.Kind == FenceKind.Person && host.Answers)
            return new Refusal("host-answers", $"{proof.Host} answers, so it is not off",
                $"empty it by moving its VMs, or turn it off first; what it runs: 'godwit vm list --host {proof.Host}'");
        if (proof.Kind == FenceKind.Watchdog
            && (host.Answers || host is not { Fence: WatchdogRules.FenceName, Watchdog.Confirmed: true }))
            return new Refusal("watchdog-not-armed", $"{proof.Host} answers, or its watchdog is not counted on any more",
                $"see 'godwit host show {proof.Host}'");
        var seq = work.Number("SELECT MAX(seq) FROM fence_proofs") + 1;
        work.Execute("INSERT INTO fence_proofs (id, seq, host, doc) VALUES (@id, @seq, @host, @doc)",
            ("@id", proof.Id), ("@seq", seq), ("@host", proof.Host.Value), ("@doc", Fields.Doc(proof)));
        work.Execute("UPDATE hosts SET fenced = @id, reachable = 0 WHERE id = @host", ("@id", proof.Id), ("@host", proof.Host.Value));
        if (seq % DropEvery == 0)
            work.Execute(
                "DELETE FROM fence_proofs WHERE seq <= @last AND id NOT IN (SELECT fenced FROM hosts WHERE fenced IS NOT NULL)",
                ("@last", seq - KeptMax));
        Say(work, new Happening("host-fenced", $"{proof.Host} is proved to be off {proof.Sentence}", Host: proof.Host.Value));
        return null;
    }

    private void Insert(Work work, HostRecovery recovery)
    {
        var seq = work.Number("SELECT MAX(seq) FROM recoveries") + 1;
        work.Execute("INSERT INTO recoveries (id, seq, host, ended, answered, doc) VALUES (@id, @seq, @host, 0, 0, @doc)",
            ("@id", recovery.Id), ("@seq", seq), ("@host", recovery.Host.Value), ("@doc", Fields.Doc(recovery)));
        if (seq % DropEvery == 0)
            work.Execute("DELETE FROM recoveries WHERE ended = 1 AND seq <= @last", ("@last", seq - KeptMax));
        Say(work, new Happening("recovery-begun", recovery.Scope == RecoveryScope.FenceOnly
            ? $"{recovery.Host} is to be fenced, for {recovery.By}"
            : $"the VMs of {recovery.Host} are to be brought back elsewhere, for {recovery.By}", Host: recovery.Host.Value));
    }

    private static void Save(Work work, HostRecovery recovery) => work.Execute(
        "UPDATE recoveries SET ended = @ended, doc = @doc WHERE id = @id",
        ("@ended", recovery.End is null ? 0 : 1), ("@doc", Fields.Doc(recovery)), ("@id", recovery.Id));

    private static HostRecovery? Find(Work work, string id) =>
        work.Query("SELECT doc FROM recoveries WHERE id = @id", Read, ("@id", id)).FirstOrDefault();

    private static List<Departure> Departures(Work work, HostId host) => work.Query(
        "SELECT vm, epoch, spec FROM departures WHERE host = @host ORDER BY vm",
        row => new Departure(new VmId(row.GetString(0)), new Epoch(row.GetInt64(1))) { Spec = row.Doc<VmSpec>(2) }, ("@host", host.Value));

    private static HostRecovery Read(DbDataReader row) => row.Doc<HostRecovery>(0);

    private void Say(Work work, Happening happening) => EventStore.Append(work, happening, time.GetUtcNow());
}

/// <summary>A VM that left a fenced host. Equal by VM and epoch.</summary>
public sealed record Departure(VmId Vm, Epoch Epoch)
{
    public required VmSpec Spec { get; init; }

    public bool Equals(Departure? other) => other is not null && other.Vm == Vm && other.Epoch == Epoch;
    public override int GetHashCode() => HashCode.Combine(Vm, Epoch);
}
