using System.Text.RegularExpressions;
using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Core.Vms;

namespace Godwit.Core.Rebuild;

/// <summary>What a new record of the cluster says, and what it cannot say.</summary>
public sealed record RebuildPlan
{
    public required IReadOnlyList<Testimony> Hosts { get; init; }
    public required IReadOnlyList<PlannedVm> Vms { get; init; }
    public required IReadOnlyList<PlannedTemplate> Templates { get; init; }
    public required IReadOnlyList<LeftOut> LeftOut { get; init; }
    public required DenyList Denied { get; init; }
    /// <summary>The newest copy any host has of what people had set; of version 0 where no host has one.</summary>
    public KeptNotes Notes { get; init; } = KeptNotes.None;
}

/// <param name="Frozen">Why nothing may be ordered for it; empty: it is as usual.</param>
/// <param name="Moves">Those without an end go on.</param>
public sealed record PlannedVm(Vm Vm, IReadOnlyList<Refusal> Frozen, IReadOnlyList<Migration.Migration> Moves);

/// <param name="SeenBy">Hosts whose pool of that name holds the file.</param>
public sealed record PlannedTemplate(
    string Name, string Pool, IReadOnlyList<HostId> SeenBy, string File, string Format, string Sha256, long VirtualBytes, long FileBytes)
{
    public int Version { get; init; } = 1;
    public string? By { get; init; }
    public string? Note { get; init; }
    /// <summary>Null: nobody knows.</summary>
    public DateTimeOffset? CreatedAt { get; init; }
    /// <summary>Nobody knew its name, so it is called by its content.</summary>
    public bool IsNameless { get; init; }
}

/// <param name="Thing">A VM's id, <c>pool/file</c>, or a word for what only the old store knew.</param>
public sealed record LeftOut(string Thing, string Why);

/// <summary>From what hosts say to the record of a whole cluster. Pure; the same words give the same plan.</summary>
public static partial class RebuildRules
{
    /// <summary>What no host knows, by name: a person should not have to find out one by one.</summary>
    private static readonly LeftOut[] OnlyTheStoreKnew =
    [
        new("users and tokens", "make them anew: godwit user create, godwit token create (the local socket needs none)"),
        new("join tokens", "make new ones: godwit host token"),
        new("the audit before now", "it begins anew with a row that says so; the old head is named there where it was kept"),
        new("past moves and events", "they are gone"),
    ];

    /// <summary>What hosts keep a copy of, where none had one.</summary>
    private static readonly LeftOut[] Unnoted =
    [
        new("rules, policies, tags and marks", "no host had a copy: set them anew (godwit rule, cluster policy, vm set, host set)"),
        new("cordons", "every host is ready again: godwit host cordon HOST where one was not"),
        new("names of templates without a clone", "they get a name made of their content's hash"),
    ];

    /// <param name="store">VMs of an older store that is at hand; empty: it is lost.</param>
    /// <param name="storeIsLost">Nothing of the old store is kept.</param>
    public static RebuildPlan Plan(IReadOnlyList<Testimony> hosts, IReadOnlyList<Vm> store, bool storeIsLost, DateTimeOffset now)
    {
        var (planned, leftOut) = (new List<PlannedVm>(), new List<LeftOut>());
        var stored = store.ToDictionary(v => v.Spec.Id);
        foreach (var id in VmClaims.Named(hosts))
        {
            var verdict = Ownership.Decide(VmClaims.Of(id, hosts), now);
            if (verdict is not null) planned.Add(Merge(verdict, stored.GetValueOrDefault(id), now));
            else if (stored.GetValueOrDefault(id) is null) leftOut.Add(new(id.Value, WhyNothing(id, hosts)));
        }
        var named = planned.Select(p => p.Vm.Spec.Id).ToHashSet();
        planned.AddRange(store.Where(v => !named.Contains(v.Spec.Id)).Select(Unheard));
        var vms = Distinct(planned, leftOut);
        var templates = Templates(hosts, vms);
        leftOut.AddRange(FilesOfNobody(hosts, vms));
        var notes = hosts.Select(h => h.Inventory?.Notes ?? KeptNotes.None).MaxBy(n => n.Version) ?? KeptNotes.None;
        if (storeIsLost) leftOut.AddRange(notes.Version > 0 ? OnlyTheStoreKnew : [.. OnlyTheStoreKnew, .. Unnoted]);
        return new RebuildPlan
        {
            Hosts = hosts, Vms = vms, Templates = templates, LeftOut = leftOut, Notes = notes,
            Denied = new DenyList(hosts.Where(h => h.Inventory is not null).SelectMany(h => h.Inventory!.Denied)
                .GroupBy(d => d.Host).Select(g => g.MaxBy(d => d.BeganUntil)!)),
        };
    }

    /// <summary>A store that knows more than the hosts (an owner recorded and not yet heard of there) is not older: it stands.</summary>
    private static PlannedVm Merge(OwnershipVerdict verdict, Vm? stored, DateTimeOffset now)
    {
        var said = new Vm
        {
            Spec = verdict.Spec, Owner = verdict.Owner, Epoch = verdict.Epoch, State = verdict.State, SavedFile = verdict.SavedFile,
            CreatedAt = stored?.CreatedAt ?? now,
        };
        if (stored is null) return new PlannedVm(said, verdict.Frozen, verdict.Moves);
        var ownerless = verdict.Frozen.Any(r => r.Code is "owner-unknown" or "owner-silent" or "owner-lost");
        if (stored.Epoch > verdict.Epoch || (stored.Epoch == verdict.Epoch && ownerless))
            return new PlannedVm(stored, [.. verdict.Frozen.Where(r => r.Code is "record-unreadable" or "copy-elsewhere")], verdict.Moves);
        if (stored.Epoch < verdict.Epoch || stored.Owner == verdict.Owner)
            return new PlannedVm(said with { Spec = said.Spec with { Name = stored.Spec.Name } }, verdict.Frozen, verdict.Moves);
        return new PlannedVm(said with { State = VmState.Unknown }, [new Refusal("two-owners",
            $"the store says that {stored.Spec.Name} is on {stored.Owner} with epoch {stored.Epoch}, {verdict.Owner} says it is its own",
            $"look at both, then: godwit cluster check --adopt {stored.Spec.Name} --on HOST"), .. verdict.Frozen], verdict.Moves);
    }

    private static PlannedVm Unheard(Vm stored) => new(stored, [new Refusal("no-host-knows-it",
        $"no host that answered knows {stored.Spec.Name}: it was never started, or deleted since the store was written",
        $"if its disk is there: godwit cluster check --adopt {stored.Spec.Name} --on {stored.Owner}")], []);

    private static string WhyNothing(VmId id, IReadOnlyList<Testimony> hosts)
    {
        var unreadable = hosts.Where(h => h.Inventory?.Unreadable.Any(u => u.Vm == id) == true).Select(h => h.Host).ToList();
        return unreadable.Count > 0
            ? $"its record on {string.Join(", ", unreadable)} cannot be read; repair it there, then: godwit cluster check --adopt {id}"
            : "only records of hosts it left are there, and no disk: it was deleted";
    }

    /// <summary>Names, uids and addresses are given out once in a cluster. What runs keeps them.</summary>
    private static List<PlannedVm> Distinct(IEnumerable<PlannedVm> planned, List<LeftOut> leftOut)
    {
        var (names, uids, macs) = (new HashSet<string>(StringComparer.Ordinal), new HashSet<int>(),
            new HashSet<string>(StringComparer.Ordinal));
        var kept = new List<PlannedVm>();
        foreach (var vm in planned.OrderBy(p => p.Frozen.Count > 0).ThenBy(p => p.Vm.State is not (VmState.Running or VmState.Paused))
            .ThenBy(p => p.Vm.Spec.Id.Value, StringComparer.Ordinal))
        {
            var spec = vm.Vm.Spec;
            if (!uids.Add(spec.Uid) || spec.Nics.Any(n => macs.Contains(n.Mac)))
            {
                leftOut.Add(new(spec.Id.Value,
                    $"{spec.Name} has the uid or a network address of another VM: it is left as it is on {vm.Vm.Owner}"));
                continue;
            }
            macs.UnionWith(spec.Nics.Select(n => n.Mac));
            var name = names.Add(spec.Name) ? spec.Name : Renamed(spec, names);
            kept.Add(vm with { Vm = vm.Vm with { Spec = spec with { Name = name } } });
        }
        return [.. kept.OrderBy(p => p.Vm.Spec.Name, StringComparer.Ordinal)];
    }

    private static string Renamed(VmSpec spec, HashSet<string> names)
    {
        var name = $"{spec.Name[..Math.Min(spec.Name.Length, 50)].TrimEnd('-')}-{spec.Id.Value[^12..]}";
        names.Add(name);
        return name;
    }

    private static List<PlannedTemplate> Templates(IReadOnlyList<Testimony> hosts, IReadOnlyList<PlannedVm> vms)
    {
        var clones = vms.Where(v => v.Vm.Spec.Template is not null).SelectMany(v => v.Vm.Spec.Disks
            .Where(d => d.BackingFile is not null)
            .Select(d => (File: d.BackingFile!, Name: v.Vm.Spec.Template!, Version: v.Vm.Spec.TemplateVersion ?? 1)))
            .ToLookup(c => c.File, c => (c.Name, c.Version));
        var found = hosts.Where(h => h.Inventory is not null).SelectMany(h => h.Inventory!.Files.Select(f => (h.Host, File: f)))
            .Select(f => (f.Host, f.File, Match: TemplateForm().Match(f.File.File))).Where(f => f.Match.Success && f.File.VirtualBytes > 0)
            .GroupBy(f => (f.File.Pool, f.File.File)).OrderBy(g => g.Key.Pool, StringComparer.Ordinal)
            .ThenBy(g => g.Key.File, StringComparer.Ordinal);
        var (made, names) = (new List<PlannedTemplate>(), new HashSet<(string, int)>());
        foreach (var group in found)
        {
            var (first, sha) = (group.First(), group.First().Match.Groups["sha"].Value);
            // Two names, or versions, may be the same content: each is a template of its own.
            var nameless = ($"image-{sha[..12]}", 1);
            var wanted = clones[group.Key.File].Distinct().Where(n => !names.Contains(n)).DefaultIfEmpty(nameless);
            foreach (var (name, version) in wanted.Where(names.Add))
                made.Add(new PlannedTemplate(name, group.Key.Pool, [.. group.Select(g => g.Host)], group.Key.File,
                    first.Match.Groups["format"].Value, sha, first.File.VirtualBytes!.Value, first.File.Bytes)
                {
                    Version = version, IsNameless = (name, version) == nameless,
                });
        }
        return made;
    }

    /// <summary>A VM that was never started is known to no host: its disk is all there is.</summary>
    private static IEnumerable<LeftOut> FilesOfNobody(IReadOnlyList<Testimony> hosts, IReadOnlyList<PlannedVm> vms)
    {
        var used = vms.SelectMany(v => v.Vm.Spec.Disks.Select(d => (d.Pool, d.File))
            .Append((v.Vm.Spec.Disks.Count > 0 ? v.Vm.Spec.Disks[0].Pool : "", v.Vm.SavedFile ?? "")))
            .Concat(hosts.Where(h => h.Inventory is not null).SelectMany(h => h.Inventory!.Vms).Where(v => v.MemoryFile is not null)
                .Select(v => (v.Spec.Disks[0].Pool, v.MemoryFile!))).ToHashSet();
        return hosts.Where(h => h.Inventory is not null).SelectMany(h => h.Inventory!.Files)
            .Where(f => DiskForm().IsMatch(f.File) && !used.Contains((f.Pool, f.File))).Select(f => (f.Pool, f.File, f.Bytes)).Distinct()
            .Select(f => new LeftOut($"{f.Pool}/{f.File}", FormattableString.Invariant(
                $"no VM that is known names this file ({f.Bytes >> 20} MiB): it is of one that was never started, or was deleted")));
    }

    [GeneratedRegex("^template-(?<sha>[0-9a-f]{64})\\.(?<format>qcow2|raw)\\z", RegexOptions.CultureInvariant)]
    private static partial Regex TemplateForm();

    [GeneratedRegex("^vm-[0-9a-f]{12}-[a-z0-9.-]+\\z", RegexOptions.CultureInvariant)]
    internal static partial Regex DiskForm();
}
