using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;

namespace Godwit.Server.Store;

/// <summary>VMs: what they are, who owns them, what was last known of them.</summary>
public sealed class VmStore(Database database, TimeProvider time)
{
    public const int VmsMax = 10_000;

    public Task<List<Vm>> ListAsync(HostId? owner = null) => database.RunAsync(work => owner is { } host
        ? work.Query($"SELECT {Columns} FROM vms WHERE owner = @owner ORDER BY name LIMIT {VmsMax}", Read, ("@owner", host.Value))
        : List(work));

    internal static List<Vm> List(Work work) => work.Query($"SELECT {Columns} FROM vms ORDER BY name LIMIT {VmsMax}", Read);

    /// <summary>False where there is no such VM.</summary>
    public Task<bool> SetHaAsync(VmId id, bool ha) => database.RunAsync(work =>
    {
        if (Find(work, id) is not { } vm) return false;
        if (work.Execute("UPDATE vms SET ha = @ha, rev = rev + 1 WHERE id = @id AND ha <> @ha", ("@ha", ha ? 1 : 0), ("@id", id.Value)) > 0)
            EventStore.Append(work, new Happening("vm-ha", ha
                ? $"{vm.Spec.Name} is started elsewhere by itself once its host is proved to be off"
                : $"{vm.Spec.Name} is no longer started elsewhere by itself", vm.Spec.Name), time.GetUtcNow());
        return true;
    });

    /// <summary>Tags, pin and priority as <paramref name="change"/> leaves them; null where there is no such VM.</summary>
    /// <param name="change">May throw <see cref="RefusedException"/>: nothing is changed then.</param>
    public Task<Vm?> SetPlacementAsync(VmId id, Func<Vm, Vm> change) => database.RunAsync(work =>
    {
        if (Find(work, id) is not { } before) return null;
        var after = change(before);
        var changed = work.Execute(
            """
            UPDATE vms SET tags = @tags, pinned = @pinned, priority = @priority, rev = rev + 1
            WHERE id = @id AND (tags <> @tags OR pinned <> @pinned OR priority <> @priority)
            """,
            ("@tags", Fields.Tags(after.Tags)), ("@pinned", after.IsPinned ? 1 : 0), ("@priority", after.Priority), ("@id", id.Value));
        if (changed > 0)
            EventStore.Append(work, new Happening("vm-placement", $"{after.Spec.Name}: "
                + (after.IsPinned ? $"pinned to {after.Owner}" : "not pinned") + $", priority {VmPriority.Word(after.Priority)}, "
                + (after.Tags.Count == 0 ? "no tags" : $"tagged {string.Join(", ", after.Tags)}"), after.Spec.Name), time.GetUtcNow());
        return after;
    });

    /// <summary>What every move of it keeps from now on; of a VM that is gone nothing is kept.</summary>
    public Task SetMoveLimitsAsync(VmId id, Func<MoveLimits, MoveLimits> change) => database.RunAsync(work =>
    {
        if (Find(work, id) is not { } vm) return;
        var (before, after) = (vm.MoveLimits ?? new MoveLimits(), change(vm.MoveLimits ?? new MoveLimits()));
        if (before == after) return;
        var words = after.InWords();
        work.Execute("UPDATE vms SET move_limits = @limits, rev = rev + 1 WHERE id = @id",
            ("@limits", words.Length == 0 ? null : Fields.Doc(after)), ("@id", id.Value));
        EventStore.Append(work, new Happening("vm-limits", words.Length == 0 ? $"moves of {vm.Spec.Name} keep the usual limits"
            : $"moves of {vm.Spec.Name} keep, unless told otherwise: {words}", vm.Spec.Name), time.GetUtcNow());
    });

    /// <summary>The VM with its snapshots as <paramref name="change"/> leaves them, for the operation that holds it.</summary>
    public Task<Vm> SetSnapshotsAsync(VmId id, Func<IReadOnlyList<VmSnapshot>, IEnumerable<VmSnapshot>> change) =>
        database.RunAsync(work =>
        {
            SetSnapshots(work, id, change);
            return Find(work, id)!;
        });

    internal static void SetSnapshots(Work work, VmId id, Func<IReadOnlyList<VmSnapshot>, IEnumerable<VmSnapshot>> change)
    {
        if (Find(work, id) is not { } vm) return;
        var after = change(vm.Snapshots).ToList();
        work.Execute("UPDATE vms SET snapshots = @snapshots, rev = rev + 1 WHERE id = @id",
            ("@snapshots", after.Count == 0 ? null : Fields.Doc(after)), ("@id", id.Value));
    }

    /// <summary>By name, or by id.</summary>
    public Task<Vm?> FindAsync(string nameOrId) => database.RunAsync(work => work.Query(
        $"SELECT {Columns} FROM vms WHERE name = @it OR id = @it", Read, ("@it", nameOrId)).FirstOrDefault());

    public Task<Vm?> FindAsync(VmId id) => database.RunAsync(work => Find(work, id));

    /// <summary>What an operation made of it. Only its owner of this epoch may say so (R7).</summary>
    public Task SetStateAsync(VmId id, Epoch epoch, VmState state) =>
        database.RunAsync(work => SetState(work, id, epoch, state, null));

    public Task DeleteAsync(VmId id) => database.RunAsync(work => Delete(work, id));

    public Task<Dictionary<VmId, Epoch>> EpochsAsync() => database.RunAsync(work => work.Query(
        $"SELECT id, epoch FROM vms LIMIT {VmsMax}", row => (Id: new VmId(row.GetString(0)), Epoch: new Epoch(row.GetInt64(1))))
        .ToDictionary(v => v.Id, v => v.Epoch));

    /// <summary>A host's VMs with the number of their last change, and whether something is being done with them.</summary>
    public Task<List<KnownVm>> KnownAsync(HostId owner) => database.RunAsync(work => work.Query(
        $"{SelectKnown} WHERE owner = @owner ORDER BY name LIMIT {VmsMax}", ReadKnown, ("@owner", owner.Value)));

    public Task<KnownVm?> FindKnownAsync(VmId id) => database.RunAsync(work => work.Query(
        $"{SelectKnown} WHERE id = @id", ReadKnown, ("@id", id.Value)).FirstOrDefault());

    /// <summary>
    /// What a host reported, if nothing changed since <paramref name="known"/> was read and nothing is being done with
    /// the VM: a report is older than its arrival.
    /// </summary>
    public Task<bool> AdoptAsync(KnownVm known, Vm reported, Happening happening) => database.RunAsync(work =>
    {
        var changed = work.Execute(
            """
            UPDATE vms SET owner = @owner, epoch = @epoch, state = @state, saved_file = @saved, rev = rev + 1
            WHERE id = @id AND rev = @rev AND epoch <= @epoch
              AND NOT EXISTS (SELECT 1 FROM operations WHERE operations.vm = vms.id AND ended = 0)
            """,
            ("@owner", reported.Owner.Value), ("@epoch", reported.Epoch.Value), ("@state", Fields.Word(reported.State)),
            ("@saved", reported.SavedFile), ("@id", reported.Spec.Id.Value), ("@rev", known.Rev));
        if (changed > 0) EventStore.Append(work, happening, time.GetUtcNow());
        return changed > 0;
    });

    /// <summary>Null, or why it cannot be: the name is taken, there are too many.</summary>
    internal static Refusal? Insert(Work work, Vm vm)
    {
        if (work.Number("SELECT COUNT(*) FROM vms") >= VmsMax)
            return new Refusal("too-many-vms", $"the cluster has {VmsMax} VMs", "delete one with 'godwit vm delete'");
        if (work.Number("SELECT COUNT(*) FROM vms WHERE name = @name", ("@name", vm.Spec.Name)) > 0)
            return new Refusal("name-taken", $"there is a VM {vm.Spec.Name} already",
                "choose another name, or look at it: 'godwit vm show'");
        if (vm.Spec.Template is { } template
            && !TemplateStore.Has(work, template, vm.Spec.TemplateVersion ?? 1))
            return new Refusal("template-not-found", $"the template {vm.Spec.TemplateText()} is not there any more",
                "see 'godwit template list'");
        work.Execute(
            """
            INSERT INTO vms (id, name, owner, epoch, state, rev, memory_bytes, uid, template, template_version, created_at, spec, ha,
              tags, pinned, priority)
            VALUES (@id, @name, @owner, @epoch, @state, 1, @memory, @uid, @template, @version, @created, @spec, @ha,
              @tags, @pinned, @priority)
            """,
            ("@id", vm.Spec.Id.Value), ("@name", vm.Spec.Name), ("@owner", vm.Owner.Value), ("@epoch", vm.Epoch.Value),
            ("@state", Fields.Word(vm.State)), ("@memory", vm.Spec.MemoryBytes), ("@uid", vm.Spec.Uid),
            ("@template", vm.Spec.Template), ("@version", vm.Spec.Template is null ? null : vm.Spec.TemplateVersion ?? 1),
            ("@created", Fields.Time(vm.CreatedAt)), ("@spec", Fields.Doc(vm.Spec)),
            ("@ha", vm.Ha ? 1 : 0), ("@tags", Fields.Tags(vm.Tags)), ("@pinned", vm.IsPinned ? 1 : 0), ("@priority", vm.Priority));
        foreach (var nic in vm.Spec.Nics)
            work.Execute("INSERT INTO nics (mac, vm) VALUES (@mac, @vm)", ("@mac", nic.Mac), ("@vm", vm.Spec.Id.Value));
        return null;
    }

    /// <summary>What an operation made of it. Only its owner of this epoch may say so (R7).</summary>
    internal static void SetState(Work work, VmId id, Epoch epoch, VmState state, string? savedFile) => work.Execute(
        "UPDATE vms SET state = @state, saved_file = @saved, rev = rev + 1 WHERE id = @id AND epoch = @epoch",
        ("@state", Fields.Word(state)), ("@saved", savedFile), ("@id", id.Value), ("@epoch", epoch.Value));

    /// <summary>Whose it is by what hosts proved, or by a person's word: the epoch only grows.</summary>
    internal static void Settle(Work work, Vm vm) => work.Execute(
        """
        UPDATE vms SET owner = @owner, epoch = MAX(epoch, @epoch), state = @state, saved_file = @saved, rev = rev + 1 WHERE id = @id
        """,
        ("@owner", vm.Owner.Value), ("@epoch", vm.Epoch.Value), ("@state", Fields.Word(vm.State)), ("@saved", vm.SavedFile),
        ("@id", vm.Spec.Id.Value));

    internal static void Delete(Work work, VmId id)
    {
        FreezeStore.Lift(work, id);
        work.Execute("DELETE FROM nics WHERE vm = @id", ("@id", id.Value));
        work.Execute("DELETE FROM vms WHERE id = @id", ("@id", id.Value));
    }

    internal static bool IsFree(Work work, int uid, IEnumerable<string> macs) =>
        work.Number("SELECT COUNT(*) FROM vms WHERE uid = @uid", ("@uid", uid)) == 0
        && macs.All(mac => work.Number("SELECT COUNT(*) FROM nics WHERE mac = @mac", ("@mac", mac)) == 0);

    internal static Vm? Find(Work work, VmId id) =>
        work.Query($"SELECT {Columns} FROM vms WHERE id = @id", Read, ("@id", id.Value)).FirstOrDefault();

    /// <summary>The guest's new home. Only grows: an older epoch, or another owner of the same, changes nothing.</summary>
    internal static void RecordOwner(Work work, VmId id, HostId owner, Epoch epoch, VmState state) => work.Execute(
        """
        UPDATE vms SET owner = @owner, epoch = @epoch, state = @state, rev = rev + 1
        WHERE id = @id AND (epoch < @epoch OR (epoch = @epoch AND owner = @owner))
        """,
        ("@owner", owner.Value), ("@epoch", epoch.Value), ("@state", Fields.Word(state)), ("@id", id.Value));

    private const string Columns = "spec, owner, epoch, state, saved_file, created_at, ha, tags, pinned, priority, move_limits, snapshots";

    private const string SelectKnown =
        $"""
        SELECT {Columns}, rev, EXISTS (SELECT 1 FROM operations WHERE operations.vm = vms.id AND ended = 0) FROM vms
        """;

    private static KnownVm ReadKnown(DbDataReader row) => new(Read(row), row.GetInt64(12), row.GetInt64(13) != 0);

    private static Vm Read(DbDataReader row) => new()
    {
        Spec = row.Doc<VmSpec>(0),
        Owner = new HostId(row.GetString(1)),
        Epoch = new Epoch(row.GetInt64(2)),
        State = row.Word<VmState>(3),
        SavedFile = row.TextOrNull(4),
        CreatedAt = row.Time(5),
        Ha = row.GetInt64(6) != 0,
        Tags = row.Tags(7),
        IsPinned = row.GetInt64(8) != 0,
        Priority = (int)row.GetInt64(9),
        MoveLimits = row.IsDBNull(10) ? null : row.Doc<MoveLimits>(10),
        Snapshots = row.IsDBNull(11) ? [] : row.Doc<List<VmSnapshot>>(11),
    };
}

/// <param name="Rev">Grows with every change of the record.</param>
/// <param name="IsBusy">An operation goes on: its story, not a report, says what becomes of it.</param>
public sealed record KnownVm(Vm Vm, long Rev, bool IsBusy);
