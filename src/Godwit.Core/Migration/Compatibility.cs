using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Core.Migration;

/// <summary>
/// Can this VM run there? Pure. Returns every reason at once, each with its fix, so that nobody mends one to meet the next.
/// </summary>
public static class Compatibility
{
    /// <summary>Above this the guest's clock and the certificates' lifetimes are judged differently on both hosts.</summary>
    public static readonly TimeSpan ClockOffsetMax = TimeSpan.FromSeconds(1);
    private const long SlowLinkBytesPerSecond = 50 << 20;

    /// <param name="asking">From the first question to the last answer: so much later the target may have read its clock.</param>
    public static IReadOnlyList<Refusal> Check(
        Vm vm, Migration move, SourceFacts source, TargetFacts target, TimeSpan asking = default)
    {
        var refresh = move.Mode == MoveMode.Refresh;
        return new[]
        {
            SamePlace(move),
            RightState(vm, move, source),
            StorageWorks(move, source),
            JournalAnswers(move.Source, source.JournalSilentSeconds),
            refresh ? null : JournalAnswers(move.Target, target.Host.JournalSilentSeconds),
            Blocked(source),
            Accelerators(vm, target),
            MachineKnown(vm, move, target),
            CpuOffered(vm, target),
            DisplayShown(vm, move, target),
            QemuNotOlder(source, target, move),
            RoomForReading(move, source),
            refresh ? null : RoomForMemory(vm, target),
            refresh ? null : RoomForRamFile(vm, target),
            refresh ? null : NotThereAlready(vm, target, move),
            refresh ? null : ClocksAgree(source, target, move, asking),
        }.OfType<Refusal>().Concat(Disks(move, target)).Concat(Bridges(move, target))
            .Concat(refresh ? [] : Certificates(vm, move, source, target)).ToList();
    }

    /// <summary>For a stopped VM: where it could be started.</summary>
    public static IReadOnlyList<Refusal> CheckCold(Vm vm, Migration move, TargetFacts target) =>
        new[]
        {
            SamePlace(move),
            JournalAnswers(move.Target, target.Host.JournalSilentSeconds),
            vm.State is VmState.Running or VmState.Paused or VmState.Stopped or VmState.Crashed ? null
                : new Refusal("vm-state", $"{move.VmName} is {vm.State.ToString().ToLowerInvariant()}",
                    vm.State == VmState.Saved ? "bring it back with 'godwit vm resume' first" : "wait until its host answers"),
            Accelerators(vm, target), MachineKnown(vm, move, target), CpuOffered(vm, target), DisplayShown(vm, move, target),
            RoomForMemory(vm, target), RoomForRamFile(vm, target), NotThereAlready(vm, target, move),
        }.OfType<Refusal>().Concat(Disks(move, target)).Concat(Bridges(move, target)).ToList();

    /// <summary>Same machine for the guest, line by line; QEMU itself does not notice an extra device at the target.</summary>
    public static Refusal? CheckDevices(IReadOnlyList<string> source, IReadOnlyList<string> target)
    {
        var lacking = source.Except(target).ToList();
        var extra = target.Except(source).ToList();
        return lacking.Count == 0 && extra.Count == 0 ? null : new Refusal("devices-differ",
            $"the target's machine is not the same: lacks [{string.Join(", ", lacking)}], has extra [{string.Join(", ", extra)}]",
            "unplug what was added while the VM ran, or restart the VM so that both sides are built from its record");
    }

    private static Refusal? SamePlace(Migration move) =>
        move.Mode != MoveMode.Refresh && move.Source == move.Target
            ? new("same-host", $"{move.VmName} is on {move.Source} already",
                "name another host, or use 'godwit vm refresh' for a new process on the same host")
            : null;

    private static Refusal? RightState(Vm vm, Migration move, SourceFacts source) =>
        source.Epoch != vm.Epoch ? new("owner-differs",
            $"{move.Source} holds epoch {source.Epoch} of {move.VmName}, the record says {vm.Epoch}",
            "wait for the host's next report, or look at 'godwit vm show'")
        : source.State is VmState.Running or VmState.Paused ? null
        : new("vm-not-running", $"{move.VmName} is {source.State.ToString().ToLowerInvariant()}",
            "a stopped VM moves with --mode cold; a saved one with 'godwit vm resume --host'");

    /// <summary>What the guest has written is in QEMU's hands until its storage takes it: it stays where that can be repaired.</summary>
    private static Refusal? StorageWorks(Migration move, SourceFacts source) => !source.StorageFailed ? null
        : new("storage-failed", $"QEMU stopped {move.VmName} because its storage failed or is full on {move.Source}",
            $"repair the storage or make room, then 'godwit vm resume {move.VmName}', then move it");

    /// <summary>The hand-over stands on what both agents have written down.</summary>
    internal static Refusal? JournalAnswers(HostId host, double silentSeconds) => silentSeconds <= 0 ? null
        : new("journal-hangs", $"the journal of {host} has not answered for {silentSeconds:0} s: its disk hangs",
            "look at the disk of its agent's state directory (dmesg, multipath -ll, smartctl); guests that run there go on");

    private static Refusal? Blocked(SourceFacts source) => source.Blockers.Count == 0 ? null
        : new("qemu-blocks", $"QEMU refuses to migrate it: {string.Join("; ", source.Blockers)}",
            "remove the device named, or move it with --mode cold");

    private static Refusal? Accelerators(Vm vm, TargetFacts target) => target.Host.Accelerator == vm.Spec.Accelerator ? null
        : new("accelerator-differs",
            $"the VM runs with {vm.Spec.Accelerator}, the target offers {target.Host.Accelerator} ({target.Host.AcceleratorReason})",
            "choose a host with the same accelerator: KVM and TCG are never mixed for one VM");

    private static Refusal? MachineKnown(Vm vm, Migration move, TargetFacts target)
    {
        var qemus = ChosenQemus(move, target);
        return qemus.Any(q => q.MachineTypes.Contains(vm.Spec.MachineType)) ? null
            : new("machine-type-missing",
                $"no QEMU there knows machine {vm.Spec.MachineType} (found {Versions(qemus)})",
                "install the QEMU version the VM was started with, or a newer one");
    }

    private static Refusal? CpuOffered(Vm vm, TargetFacts target) => target.MissingCpuFeatures.Count == 0 ? null
        : new("cpu-features-missing",
            $"CPU model {vm.Spec.CpuModel} needs what the target lacks: {string.Join(", ", target.MissingCpuFeatures)}",
            "choose another host, or restart the VM with the cluster's baseline CPU model");

    private static Refusal? DisplayShown(Vm vm, Migration move, TargetFacts target) =>
        vm.Spec.Display == Display.None || ChosenQemus(move, target).Any(qemu => qemu.HasDisplay) ? null
            : new("display-missing", $"{move.VmName} has a display, and no QEMU there can show one",
                "make the target's agent, or its QEMU built without VNC, newer, or choose another host");

    private static Refusal? QemuNotOlder(SourceFacts source, TargetFacts target, Migration move)
    {
        var qemus = ChosenQemus(move, target);
        if (qemus.Count == 0)
            return new("qemu-missing", "the target has no usable QEMU", "install qemu-system-x86 there and restart its agent");
        var best = qemus.Max(q => MajorMinor(q.Version))!;
        // 7.2 and newer were tried in both directions with 7.2 machine types; older ones never.
        return best >= new Version(7, 2) ? null
            : new("qemu-too-old", $"the target has QEMU {Versions(qemus)}, the VM runs on {source.QemuVersion}",
                "upgrade QEMU on the target to 7.2 or later");
    }

    /// <summary>Where guests are promised more than there is, a guest that has used little would take all of its memory to leave.</summary>
    private static Refusal? RoomForReading(Migration move, SourceFacts source) =>
        move.Mode is not (MoveMode.Live or MoveMode.Quick or MoveMode.Hybrid) || source.UntouchedBytes <= source.MemoryAvailableBytes ? null
            : new("source-memory-short",
                $"{move.VmName} has never used {Mib(source.UntouchedBytes)} MiB of its memory; {move.Source} would have to give them as "
                + $"QEMU reads them, and has {Mib(source.MemoryAvailableBytes)} MiB available",
                "move it with --mode lazy, which reads only what is there, or move something away first that has used all of its memory");

    private static Refusal? RoomForMemory(Vm vm, TargetFacts target)
    {
        var needed = vm.Spec.MemoryBytes + Host.QemuOverheadBytes;
        return target.Host.MemoryAvailableBytes >= needed ? null
            : new("memory-short",
                $"it needs {Mib(needed)} MiB with overhead, {Mib(target.Host.MemoryAvailableBytes)} MiB are available there",
                "move something away first, or choose another host");
    }

    private static Refusal? RoomForRamFile(Vm vm, TargetFacts target) =>
        target.Host.RamFileSpaceBytes >= vm.Spec.MemoryBytes ? null
            : new("ram-file-space-short",
                $"its RAM file needs {Mib(vm.Spec.MemoryBytes)} MiB, "
                + $"{Mib(target.Host.RamFileSpaceBytes)} MiB are free on the target's tmpfs",
                "raise the size of the tmpfs under the agent's run directory");

    private static Refusal? NotThereAlready(Vm vm, TargetFacts target, Migration move) => !target.AlreadyHere ? null
        : new("vm-already-there", $"a process of {vm.Spec.Name} is on {move.Target} already",
            $"look at it with 'godwit migration list' and 'godwit host show {move.Target}'; it is never killed unasked");

    private static Refusal? ClocksAgree(SourceFacts source, TargetFacts target, Migration move, TimeSpan asking)
    {
        // The source was asked first: the target's clock may be ahead by as long as the asking took, and agree all the same.
        var ahead = target.Host.Clock - source.Clock;
        var offset = ahead < TimeSpan.Zero ? -ahead : ahead > asking ? ahead - asking : TimeSpan.Zero;
        return offset <= ClockOffsetMax ? null
            : new("clock-offset", $"the clocks of {move.Source} and {move.Target} are {offset.TotalSeconds:0.0} s apart (limit 1 s)",
                "let both hosts follow the same time server (chrony), then try again");
    }

    /// <summary>
    /// An open link outlives its certificates, a link that has to be opened again does not: they must hold for twice the time
    /// the move may take. Hosts that show no certificate (simulated ones) are not asked for one.
    /// </summary>
    private static IEnumerable<Refusal> Certificates(Vm vm, Migration move, SourceFacts source, TargetFacts target)
    {
        var needed = 2 * EstimateMax(vm, move);
        return from side in new[]
               {
                   (Host: move.Source, Ends: source.CertificateEnds, source.Clock),
                   (Host: move.Target, Ends: target.Host.Certificate?.NotAfter, target.Host.Clock),
               }
               where side.Ends - side.Clock < needed
               select new Refusal("certificate-short",
                   $"the certificate of {side.Host} holds until {CertificateLife.Text(side.Ends!.Value)} and its clock says "
                   + $"{CertificateLife.Text(side.Clock)}; this move may take {needed.TotalMinutes / 2:0.#} min and wants twice that",
                   $"wait for its renewal ('godwit events'), or let it join again: 'godwit host token --name {side.Host}'");
    }

    /// <summary>Longer than moves take: the whole memory twice at the rate allowed, or at a slow link's where none is set.</summary>
    private static TimeSpan EstimateMax(Vm vm, Migration move)
    {
        var rate = move.Limits.BandwidthBytesPerSecond is > 0 and var limit ? limit : SlowLinkBytesPerSecond;
        return TimeSpan.FromMinutes(1) + TimeSpan.FromSeconds(2.0 * vm.Spec.MemoryBytes / rate);
    }

    private static IEnumerable<Refusal> Disks(Migration move, TargetFacts target) => target.UnreachableDisks.Select(disk =>
        new Refusal("disk-unreachable", $"{move.Target} cannot open {disk}",
            "put the disk on a pool both hosts share; local disks cannot be moved live yet"));

    private static IEnumerable<Refusal> Bridges(Migration move, TargetFacts target) => target.MissingBridges.Select(bridge =>
        new Refusal("bridge-missing", $"{move.Target} has no bridge {bridge}",
            $"create it: ip link add {bridge} type bridge, with its uplink"));

    private static IReadOnlyList<QemuBinary> ChosenQemus(Migration move, TargetFacts target) =>
        move.Refresh?.QemuPath is { } path ? target.Host.Qemus.Where(q => q.Path == path).ToList() : target.Host.Qemus;

    private static string Versions(IReadOnlyList<QemuBinary> qemus) =>
        qemus.Count == 0 ? "none" : string.Join(", ", qemus.Select(q => q.Version));

    private static Version MajorMinor(string version) =>
        Version.TryParse(version, out var v) ? new Version(v.Major, v.Minor) : new Version(0, 0);

    private static long Mib(long bytes) => bytes >> 20;
}
