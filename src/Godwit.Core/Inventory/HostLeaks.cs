using System.Text.RegularExpressions;

namespace Godwit.Core.Inventory;

/// <summary>
/// What of a host's things belongs to nobody. Pure; asked by the agent when it takes its inventory, and again before it
/// removes anything. Where a QEMU lives that no record names, nothing of its VM counts as left over: it may be in use.
/// </summary>
public static partial class HostLeaks
{
    /// <summary>More are not told: the first of each kind show where they come from.</summary>
    public const int ToldMax = 1_000;

    public static IReadOnlyList<Leak> Of(HostThings things)
    {
        var records = things.Records.ToDictionary(r => r.Vm);
        var strangers = things.Processes
            .Where(p => !records.TryGetValue(p.Vm, out var record) || record.Instances.All(i => i.Incarnation != p.Incarnation)).ToList();
        var untouchable = strangers.Select(p => p.Vm).Concat(things.Unreadable).ToHashSet();
        var found = strangers.Select(p => new Leak(LeakKind.Process, p.Vm, $"{p.Pid}",
            $"process {p.Pid} is a QEMU of {p.Vm} (incarnation {p.Incarnation}) that no record of this host names")).ToList();
        found.AddRange(things.Records.Where(r => !r.IsOwner && !r.IsHeld).SelectMany(r => r.Instances.Where(i => i.IsAlive).Select(i =>
            new Leak(LeakKind.Copy, r.Vm, $"{i.Pid}",
                $"process {i.Pid} is a copy of {r.Vm} that another host owns, and no move holds it"))));

        var taps = things.Records.SelectMany(r => r.Instances).SelectMany(i => i.Taps).ToHashSet(StringComparer.Ordinal);
        found.AddRange(things.Taps.Where(t => !taps.Contains(t) && TapForm().IsMatch(t))
            .Select(t => (Tap: t, Vm: new VmId($"vm-{t[1..13]}"))).Where(t => !untouchable.Contains(t.Vm))
            .Select(t => new Leak(LeakKind.Tap, t.Vm, t.Tap, $"tap {t.Tap} belongs to no QEMU of {t.Vm}")));
        found.AddRange(things.MemoryFiles.Where(m => !untouchable.Contains(m.Vm)
                && (!records.TryGetValue(m.Vm, out var record) || record.Instances.All(i => i.RamOf != m.RamOf)))
            .Select(m => new Leak(LeakKind.Memory, m.Vm, m.Path, $"{m.Path} is memory that no QEMU of {m.Vm} maps")));
        found.AddRange(things.RunDirectories.Where(vm => !records.ContainsKey(vm) && !untouchable.Contains(vm))
            .Select(vm => new Leak(LeakKind.RunDirectory, vm, vm.Value, $"{vm} has a run directory and no record")));
        found.AddRange(things.EmptyRecordDirectories.Where(vm => !records.ContainsKey(vm) && !untouchable.Contains(vm))
            .Select(vm => new Leak(LeakKind.RecordDirectory, vm, vm.Value, $"{vm} has a directory for its record and no record in it")));
        found.AddRange(things.Shares.Select(s => (Share: s, Match: ShareForm().Match(s))).Where(s => s.Match.Success)
            .Select(s => (s.Share, Vm: new VmId(s.Match.Groups["vm"].Value), Number: s.Match.Groups["n"].Value))
            .Where(s => !untouchable.Contains(s.Vm) && (!records.TryGetValue(s.Vm, out var record)
                || record.Instances.All(i => FormattableString.Invariant($"{i.Incarnation}") != s.Number)))
            .Select(s => new Leak(LeakKind.Share, s.Vm, s.Share, $"cgroup {s.Share} belongs to no QEMU of {s.Vm}")));
        found.AddRange(things.IdleTickets.Select(move =>
            new Leak(LeakKind.Ticket, null, move.Value, $"a link for {move} is waited for, and that move is over here")));
        return [.. found.OrderBy(l => l.Kind).ThenBy(l => l.Thing, StringComparer.Ordinal).Take(ToldMax)];
    }

    /// <summary>A copy of the guest may be behind these: nobody but its own move's proof ends it.</summary>
    public static bool MayBeRemoved(LeakKind kind) => kind is not (LeakKind.Process or LeakKind.Copy);

    [GeneratedRegex("^t[0-9a-f]{12}[0-9a-f][ab]\\z", RegexOptions.CultureInvariant)]
    private static partial Regex TapForm();

    [GeneratedRegex("^(?<vm>vm-[0-9a-f]{12})-(?<n>[0-9]{1,6})\\z", RegexOptions.CultureInvariant)]
    private static partial Regex ShareForm();
}

/// <summary>What lies on a host, by name, beside what its records say of it.</summary>
public sealed record HostThings
{
    public required IReadOnlyList<RecordThing> Records { get; init; }
    /// <summary>VMs whose record cannot be read.</summary>
    public IReadOnlyList<VmId> Unreadable { get; init; } = [];
    /// <summary>QEMUs with a monitor in the agent's run directory.</summary>
    public IReadOnlyList<ProcessThing> Processes { get; init; } = [];
    /// <summary>All network interfaces, ours or not.</summary>
    public IReadOnlyList<string> Taps { get; init; } = [];
    public IReadOnlyList<MemoryThing> MemoryFiles { get; init; } = [];
    public IReadOnlyList<VmId> RunDirectories { get; init; } = [];
    public IReadOnlyList<VmId> EmptyRecordDirectories { get; init; } = [];
    public IReadOnlyList<string> Shares { get; init; } = [];
    /// <summary>Moves a link is waited for that have ended here.</summary>
    public IReadOnlyList<MoveId> IdleTickets { get; init; } = [];
}

/// <param name="IsHeld">A move decides about it now.</param>
public sealed record RecordThing(VmId Vm, bool IsOwner, bool IsHeld, IReadOnlyList<InstanceThing> Instances);
public sealed record InstanceThing(int Incarnation, int RamOf, int Pid, bool IsAlive, IReadOnlyList<string> Taps);
public sealed record ProcessThing(int Pid, VmId Vm, int Incarnation);
public sealed record MemoryThing(VmId Vm, int RamOf, string Path);
