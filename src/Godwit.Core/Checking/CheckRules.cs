using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;

namespace Godwit.Core.Checking;

/// <summary>What the store says at one moment, as far as it can be wrong.</summary>
public sealed record StoreWords
{
    public required IReadOnlyList<Vm> Vms { get; init; }
    public IReadOnlyDictionary<VmId, IReadOnlyList<Refusal>> Frozen { get; init; } = new Dictionary<VmId, IReadOnlyList<Refusal>>();
    public IReadOnlyList<ReservedRoom> Reservations { get; init; } = [];
    public IReadOnlyList<OpenOperation> Open { get; init; } = [];
    /// <summary>Moves that ended with nobody knowing where the guest is.</summary>
    public IReadOnlyList<Migration.Migration> Doubtful { get; init; } = [];
    /// <summary>One sentence for each break of the audit's chain; empty: whole, or not looked at.</summary>
    public IReadOnlyList<string> AuditProblems { get; init; } = [];
    /// <summary>Whether what is to be restarted has a place if hosts die; null: not looked at.</summary>
    public SpareVerdict? Spare { get; init; }
    /// <summary>Hosts that were not turned off or on as they should have been, with one sentence each.</summary>
    public IReadOnlyList<(HostId Host, string Problem)> PowerProblems { get; init; } = [];
}

public sealed record ReservedRoom(string Operation, VmId Vm, HostId Host, long Bytes);

/// <param name="IsRun">A task of this server sees to it.</param>
public sealed record OpenOperation(string Id, VmId Vm, string VmName, bool IsMove, bool IsRun);

/// <summary>
/// Orphans and leaks, by what store and hosts say. Pure. What may be repaired here without a person is only what no copy
/// of a guest and no disk can be behind; a host that is silent is told, and nothing is concluded from its silence.
/// </summary>
public static class CheckRules
{
    public static IReadOnlyList<Finding> Findings(StoreWords store, IReadOnlyList<Testimony> hosts)
    {
        var names = store.Vms.ToDictionary(v => v.Spec.Id, v => v.Spec.Name);
        string NameOf(VmId? vm) => vm is { } id ? names.GetValueOrDefault(id, id.Value) : "";
        var found = new List<Finding>();
        found.AddRange(store.Frozen.OrderBy(f => f.Key.Value, StringComparer.Ordinal).SelectMany(f => f.Value.Select(reason =>
            new Finding("vm-frozen", null, NameOf(f.Key), reason.Cause, reason.Fix))));
        found.AddRange(hosts.Where(h => h.IsSilent).Select(h => new Finding("host-silent", h.Host, h.Host.Value,
            $"{h.Host} does not answer: {h.Silence}", "start its agent; what lies there is not known until then")));
        foreach (var host in hosts.Where(h => h.Inventory is not null)) found.AddRange(OfHost(host, names, NameOf));
        found.AddRange(Unnamed(store, hosts));
        found.AddRange(OfStore(store, NameOf));
        found.AddRange(store.PowerProblems.Select(p => new Finding("power-failed", p.Host, p.Host.Value, $"{p.Host}: {p.Problem}",
            $"look at the host and its hooks; gone once 'godwit host standby {p.Host}' or 'godwit host wake {p.Host}' went well")));
        found.AddRange((store.Spare?.Gaps ?? []).Select(gap => new Finding("ha-no-spare", null, string.Join("+", gap.Lost),
            $"if {string.Join(" and ", gap.Lost)} died, {string.Join(", ", gap.Homeless.Take(5))}"
            + $"{(gap.Homeless.Count > 5 ? $" and {gap.Homeless.Count - 5} more" : "")} could not be started again: {gap.Why}",
            "add memory or a host, stop something, or mark fewer VMs ha")));
        return found;
    }

    private static IEnumerable<Finding> OfHost(Testimony host, Dictionary<VmId, string> names, Func<VmId?, string> nameOf)
    {
        var inventory = host.Inventory!;
        foreach (var unknown in inventory.Vms.Where(v => v.IsOwner && !names.ContainsKey(v.Spec.Id)))
            yield return new Finding("vm-orphan", host.Host, unknown.Spec.Name,
                $"{host.Host} owns {unknown.Spec.Name} ({unknown.Spec.Id}, epoch {unknown.Epoch}, {Word(unknown.State)}), "
                + "which the store does not know",
                $"take it in: godwit cluster check --adopt {unknown.Spec.Id}");
        foreach (var broken in inventory.Unreadable)
            yield return new Finding("record-unreadable", host.Host, nameOf(broken.Vm),
                broken.Why, "repair or remove that file, then restart the agent");
        foreach (var leak in inventory.Leaks)
        {
            var removable = HostLeaks.MayBeRemoved(leak.Kind);
            yield return new Finding($"leak-{Word(leak.Kind)}", host.Host, leak.Thing, $"{host.Host}: {leak.What}",
                removable ? "--repair removes it, after its agent has looked again"
                : leak.Kind == LeakKind.Copy ? "restart the agent there: its journal says whether the copy may end"
                : "it may be the guest itself: look at it on its console, and end it by hand")
            { CanBeRepaired = removable };
        }
    }

    /// <summary>A VM that was never started has nothing but its disk: no disk is ever removed by a guess.</summary>
    private static IEnumerable<Finding> Unnamed(StoreWords store, IReadOnlyList<Testimony> hosts)
    {
        var named = store.Vms.Select(v => v.Spec)
            .Concat(hosts.Where(h => h.Inventory is not null).SelectMany(h => h.Inventory!.Vms.Select(v => v.Spec)))
            .SelectMany(s => s.Disks).Select(d => (d.Pool, d.File)).ToHashSet();
        var saved = store.Vms.Select(v => v.SavedFile)
            .Concat(hosts.Where(h => h.Inventory is not null).SelectMany(h => h.Inventory!.Vms.Select(v => v.MemoryFile)))
            .OfType<string>().ToHashSet(StringComparer.Ordinal);
        return hosts.Where(h => h.Inventory is not null).SelectMany(h => h.Inventory!.Files.Select(f => (h.Host, File: f)))
            .Where(f => RebuildRules.DiskForm().IsMatch(f.File.File) && !named.Contains((f.File.Pool, f.File.File))
                && !saved.Contains(f.File.File))
            .GroupBy(f => (f.File.Pool, f.File.File)).OrderBy(g => g.Key.Pool, StringComparer.Ordinal)
            .ThenBy(g => g.Key.File, StringComparer.Ordinal)
            .Select(g => new Finding("disk-unnamed", g.First().Host, $"{g.Key.Pool}/{g.Key.File}", FormattableString.Invariant(
                $"{g.Key.Pool}/{g.Key.File} ({g.First().File.Bytes >> 20} MiB) is named by no VM that store or hosts know"),
                "nothing is removed: look whose it was, then delete it by hand"));
    }

    private static IEnumerable<Finding> OfStore(StoreWords store, Func<VmId?, string> nameOf)
    {
        var open = store.Open.Select(o => o.Id).ToHashSet(StringComparer.Ordinal);
        var doubtful = store.Doubtful.Select(m => m.Id.Value).ToHashSet(StringComparer.Ordinal);
        foreach (var room in store.Reservations.Where(r => !open.Contains(r.Operation) && !doubtful.Contains(r.Operation)))
            yield return new Finding("reservation-left", room.Host, room.Operation,
                $"{room.Bytes >> 20} MiB on {room.Host} are set aside for {room.Operation} of {nameOf(room.Vm)}, which has ended",
                "--repair gives them back") { CanBeRepaired = true };
        foreach (var stuck in store.Open.Where(o => !o.IsRun))
            yield return new Finding(stuck.IsMove ? "move-without-runner" : "operation-without-runner", null, stuck.Id,
                $"{stuck.Id} of {stuck.VmName} has not ended, and nothing of this server sees to it",
                "--repair goes on with it, as a restart of the server does") { CanBeRepaired = true };
        foreach (var doubt in store.Doubtful)
            yield return new Finding("move-in-doubt", null, doubt.Id.Value, $"{doubt.VmName}: {doubt.Reason}",
                $"it is asked again when the silent host answers; or: godwit migration repair {doubt.Id}");
        foreach (var problem in store.AuditProblems)
            yield return new Finding("audit-broken", null, "audit",
                problem, "see 'godwit audit verify'; the rows are not changed by anything here");
    }

    private static string Word<T>(T value) where T : struct, Enum =>
        string.Concat(value.ToString().Select((c, i) => char.IsUpper(c) ? (i > 0 ? "-" : "") + char.ToLowerInvariant(c) : $"{c}"));
}
