using System.Globalization;
using System.Text.RegularExpressions;

namespace Godwit.Core.Vms;

/// <summary>What may be done with a VM's snapshots, as it is now. Pure; what hosts and disks say comes later.</summary>
public static partial class SnapshotRules
{
    public const int PerVmMax = 32;

    /// <summary>
    /// In the disk's file: <c>NAME.0123456789ab</c>, the end of its operation's id. So the same name made again is another one (a
    /// late order for the first cannot touch it), and never a number, by which QEMU finds snapshots too.
    /// </summary>
    public static string TagOf(string name, string operation) => $"{name}.{operation.Split('-')[^1]}";

    public static bool IsTag(string? tag) => tag is not null && TagForm().IsMatch(tag);

    /// <summary>For who gave none: the first <c>snapshot-N</c> that is free.</summary>
    public static string FreeName(Vm vm) => Enumerable.Range(1, PerVmMax + 1)
        .Select(n => string.Create(CultureInfo.InvariantCulture, $"snapshot-{n}")).First(name => vm.Snapshots.All(s => s.Name != name));

    /// <summary>Every reason at once; empty: it may be made.</summary>
    public static IEnumerable<Refusal> WhyNotMade(Vm vm, string name, string? note)
    {
        if (!Names.IsValid(name))
            yield return new("bad-name", $"'{name}' cannot be a snapshot's name", $"a name is {Names.Rule}");
        if (PersonsNote.WhyNot(note) is { } bad) yield return bad;
        if (vm.Snapshots.Any(s => s.Name == name))
            yield return new("name-taken", $"{vm.Spec.Name} has a snapshot {name} already",
                $"choose another name, or delete that one: 'godwit vm snapshot delete {vm.Spec.Name} {name}'");
        if (vm.Snapshots.Count >= PerVmMax)
            yield return new("too-many-snapshots", $"{vm.Spec.Name} has {PerVmMax} snapshots",
                $"delete one: 'godwit vm snapshot list {vm.Spec.Name}'");
        if (WhyNone(vm.Spec) is { } raw) yield return raw;
        if (vm.State == VmState.Saved)
            yield return new("vm-saved", $"{vm.Spec.Name} is saved: its memory lies in a file and belongs to the disk as it is",
                $"let it go on first: 'godwit vm resume {vm.Spec.Name}'");
    }

    /// <summary>Every reason at once; empty: it may become what it was.</summary>
    public static IEnumerable<Refusal> WhyNotReverted(Vm vm, string name)
    {
        var found = vm.Snapshots.FirstOrDefault(s => s.Name == name);
        if (found is null) yield return NotFound(vm, name);
        else if (!found.IsWhole)
            yield return new("snapshot-unfinished",
                $"making the snapshot {name} of {vm.Spec.Name} broke off: nobody knows what of it is there",
                $"delete it: 'godwit vm snapshot delete {vm.Spec.Name} {name}'");
        if (vm.State is VmState.Running or VmState.Paused)
            yield return new("vm-running", $"{vm.Spec.Name} is {vm.State.ToString().ToLowerInvariant()}: "
                + "its disk cannot become another under its guest",
                $"stop it first ('godwit vm stop {vm.Spec.Name}'), revert, and start it again");
        if (vm.State == VmState.Saved)
            yield return new("vm-saved", $"{vm.Spec.Name} is saved: its memory lies in a file and belongs to the disk as it is",
                $"let it go on and stop it first: 'godwit vm resume {vm.Spec.Name}', 'godwit vm stop {vm.Spec.Name}'");
    }

    public static Refusal NotFound(Vm vm, string name) => new("snapshot-not-found", $"{vm.Spec.Name} has no snapshot {name}",
        $"see 'godwit vm snapshot list {vm.Spec.Name}'");

    /// <summary>Why a VM of this make has no snapshots; null: it may have some.</summary>
    public static Refusal? WhyNone(VmSpec spec)
    {
        if (spec.Disks.Count == 0)
            return new("snapshot-needs-disk", $"{spec.Name} has no disk", "a snapshot is of disks: there is nothing to keep");
        return spec.Disks.FirstOrDefault(d => d.Format != "qcow2") is { } disk
            ? new("snapshot-needs-qcow2",
                $"the disk {disk.Pool}/{disk.File} of {spec.Name} is {disk.Format}, which has no room for snapshots",
                "make the VM anew with a qcow2 disk, as clones and new disks are, or snapshot where the disk's storage can") : null;
    }

    [GeneratedRegex("^[a-z0-9][a-z0-9-]{0,62}\\.[0-9a-f]{12}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex TagForm();
}
