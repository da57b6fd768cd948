using System.Data.Common;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Godwit.Core;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Power;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Templates;

namespace Godwit.Server.Store;

/// <summary>
/// What people have set, as one document with a version, for the hosts to keep; and from such a document back into a store.
/// </summary>
public sealed class NotesStore(Database database)
{
    private const string Name = "notes";

    /// <summary>As of this moment; a new version if anything is other than it was. Version 0: nothing was ever set.</summary>
    public Task<KeptNotes> CurrentAsync() => database.RunAsync(work =>
    {
        var document = Fields.Doc(Read(work));
        // Without the snapshots' names, which their disks have too, rather than nothing at all.
        if (document.Length > KeptNotes.CharactersMax) document = Fields.Doc(WithoutSnapshots(Read(work)));
        var (version, hash) = Noted(work);
        var now = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(document)));
        if (now == hash || (version == 0 && document == Fields.Doc(new ClusterNotes()))) return new KeptNotes(version, document);
        Note(work, version + 1, now);
        return new KeptNotes(version + 1, document);
    });

    /// <summary>Puts back what a host kept, in a store that nobody uses yet. False where the store knows that and more.</summary>
    /// <param name="answering">These are on, whatever the notes say of them.</param>
    internal static bool Restore(Work work, long version, ClusterNotes notes, IReadOnlyCollection<HostId> answering)
    {
        if (Noted(work).Version >= version) return false;
        work.Execute("DELETE FROM placement_rules");
        foreach (var rule in notes.Rules.Take(PlacementStore.RulesMax))
            work.Execute("INSERT INTO placement_rules (name, doc) VALUES (@name, @doc)", ("@name", rule.Name), ("@doc", Fields.Doc(rule)));
        Put(work, "placement_policy", notes.Policy);
        Put(work, "balancer", notes.Balancer);
        Put(work, "power", notes.Power);
        foreach (var host in notes.Hosts) Restore(work, host, answering.Contains(host.Host));
        foreach (var vm in notes.Vms)
            work.Execute("UPDATE vms SET ha = @ha, tags = @tags, pinned = @pinned, priority = @priority, move_limits = @limits, "
                + "snapshots = @snapshots WHERE id = @id",
                ("@snapshots", vm.Snapshots.Count == 0 ? null : Fields.Doc(vm.Snapshots)),
                ("@limits", vm.MoveLimits is null ? null : Fields.Doc(vm.MoveLimits)),
                ("@ha", vm.Ha ? 1 : 0), ("@tags", Fields.Tags(vm.Tags)), ("@pinned", vm.IsPinned ? 1 : 0),
                ("@priority", vm.Priority), ("@id", vm.Vm.Value));
        Note(work, version, "restored"); // The next look makes a version of its own of it.
        return true;
    }

    private static void Restore(Work work, HostNote note, bool answers)
    {
        work.Execute("UPDATE hosts SET cordoned = @cordoned, fence = @fence, tags = @tags WHERE id = @id",
            ("@cordoned", note.IsCordoned ? 1 : 0), ("@fence", note.Fence), ("@tags", Fields.Tags(note.Tags)), ("@id", note.Host.Value));
        if (note.Power is not { } power) return;
        // Only one that is silent can be off still; one that was on its way there is asked like any other.
        HostStore.SavePower(work, note.Host, power.Phase == PowerPhase.Standby && !answers ? power : power with
        {
            Phase = PowerPhase.On, Drain = null, IsScanned = false, IsHookDone = false, Tries = 0,
        });
    }

    private static ClusterNotes Read(Work work)
    {
        return new ClusterNotes
        {
            Rules = work.Query($"SELECT doc FROM placement_rules ORDER BY name LIMIT {PlacementStore.RulesMax}",
                row => row.Doc<RuleRecord>(0)),
            Policy = One<PlacementPolicy>(work, "placement_policy"),
            Balancer = One<BalancerSettings>(work, "balancer"),
            Power = One<PowerSettings>(work, "power"),
            Hosts = [.. work.Query("SELECT id, cordoned, fence, tags, power FROM hosts ORDER BY id", ReadHost).Where(host =>
                host.IsCordoned || host.Fence is not null || host.Tags.Count > 0 || host.Power is not null)],
            Vms = [.. work.Query("SELECT id, ha, tags, pinned, priority, move_limits, snapshots FROM vms ORDER BY id", ReadVm).Where(vm =>
                vm.Ha || vm.Tags.Count > 0 || vm.IsPinned || vm.Priority != VmPriority.Normal
                || vm.MoveLimits is not null || vm.Snapshots.Count > 0)],
            Templates = [.. work.Query("SELECT doc FROM template_versions ORDER BY name, version", row => row.Doc<Template>(0))
                .Select(t => new TemplateNote(t.Pool, t.File, t.Name)
                {
                    Version = t.Version, By = t.By, Note = t.Note, CreatedAt = t.CreatedAt,
                })],
        };
    }

    private static HostNote ReadHost(DbDataReader row) => new(new HostId(row.GetString(0)))
    {
        IsCordoned = row.GetInt64(1) != 0, Fence = row.TextOrNull(2), Tags = row.Tags(3),
        Power = row.IsDBNull(4) ? null : row.Doc<HostPower>(4),
    };

    private static VmNote ReadVm(DbDataReader row) => new(new VmId(row.GetString(0)))
    {
        Ha = row.GetInt64(1) != 0, Tags = row.Tags(2), IsPinned = row.GetInt64(3) != 0, Priority = (int)row.GetInt64(4),
        MoveLimits = row.IsDBNull(5) ? null : row.Doc<MoveLimits>(5),
        Snapshots = row.IsDBNull(6) ? [] : row.Doc<List<VmSnapshot>>(6),
    };

    private static ClusterNotes WithoutSnapshots(ClusterNotes notes) =>
        notes with { Vms = [.. notes.Vms.Select(vm => vm with { Snapshots = [] })] };

    private static (long Version, string Hash) Noted(Work work) =>
        work.Query("SELECT value FROM meta WHERE name = @name", row => row.GetString(0), ("@name", Name)) is [var value]
            && value.Split(' ') is [var version, var hash] ? (long.Parse(version, CultureInfo.InvariantCulture), hash) : (0, "");

    private static void Note(Work work, long version, string hash)
    {
        work.Execute("DELETE FROM meta WHERE name = @name", ("@name", Name));
        work.Execute("INSERT INTO meta (name, value) VALUES (@name, @value)", ("@name", Name),
            ("@value", string.Create(CultureInfo.InvariantCulture, $"{version} {hash}")));
    }

    private static T? One<T>(Work work, string table) where T : class =>
        work.Query($"SELECT doc FROM {table} WHERE id = 1", row => row.Doc<T>(0)).FirstOrDefault();

    private static void Put<T>(Work work, string table, T? settings) where T : class
    {
        work.Execute($"DELETE FROM {table}");
        if (settings is not null) work.Execute($"INSERT INTO {table} (id, doc) VALUES (1, @doc)", ("@doc", Fields.Doc(settings)));
    }
}
