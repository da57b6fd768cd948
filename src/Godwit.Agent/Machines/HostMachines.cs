using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Machines;

/// <summary>
/// The VMs of this host: their records and QEMUs, and how a QEMU begins, becomes the owner's and ends. What people ask
/// for (start, stop, pause) is <see cref="MachineLife"/>; finding it all again after a restart is
/// <see cref="MachineAdoption"/>.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "A SemaphoreSlim whose wait handle nobody takes holds nothing.")]
public sealed partial class HostMachines(
    HostLayout layout, IDisk disk, IProcesses processes, INetwork network, TimeProvider time, ILogger<HostMachines> log)
{
    private const int WatchTriesMax = 1000;
    /// <summary>A VM has at most two QEMUs; numbers skip one now and then.</summary>
    private const int TidiedBack = 3;
    private static readonly TimeSpan WatchPause = TimeSpan.FromSeconds(10);
    private readonly Lock _lock = new();
    private readonly Dictionary<VmId, Machine> _machines = [];
    private readonly SemaphoreSlim _making = new(1, 1);

    public HostLayout Layout { get; } = layout;
    public Taps Taps { get; } = new(processes, disk);
    internal OwnerRecords Records { get; } = new(disk, layout);
    internal QemuLauncher Launcher { get; } = new(processes, network, disk, time, layout);
    internal IProcesses Processes { get; } = processes;
    internal IDisk Disk { get; } = disk;
    internal INetwork Network { get; } = network;
    internal TimeProvider Time { get; } = time;
    internal ILogger Log { get; } = log;
    internal SafetyRules Rules { get; init; } = SafetyRules.All;
    /// <summary>Null where a QEMU may be started on this host now; else why not.</summary>
    internal Func<Refusal?> WhyNoGuest { get; init; } = () => null;

    /// <summary>All VMs this host has a record of, also those it owns no longer; by id.</summary>
    public IReadOnlyList<Machine> All
    {
        get { lock (_lock) return [.. _machines.Values.OrderBy(m => m.Id.Value, StringComparer.Ordinal)]; }
    }

    /// <summary>Null where this host knows nothing of it.</summary>
    public Machine? Find(VmId vm)
    {
        lock (_lock) return _machines.GetValueOrDefault(vm);
    }

    /// <summary>Throws <see cref="RefusedException"/> (<c>vm-not-here</c>).</summary>
    public Machine Get(VmId vm) => Find(vm) ?? throw new RefusedException("vm-not-here",
        $"this host has no VM {vm}", "'godwit vm show' tells where it is");

    /// <summary>
    /// A QEMU of this VM that waits for an incoming stream, with its taps. Not owner: recorded as a candidate for
    /// <paramref name="epoch"/>, the one the token will carry. <c>RamOf</c> shares memory with an incarnation that is
    /// here (refresh). A saved VM comes back this way too, under the epoch it was saved with or the next. Takes the
    /// gate itself. Throws <see cref="RefusedException"/> with nothing left behind.
    /// </summary>
    public async Task<QemuInstance> LaunchIncomingAsync(
        VmSpec spec, Epoch epoch, IncomingWish wish, CancellationToken cancel)
    {
        VmSpecRules.Check(spec);
        DemandGuestMayBegin();
        var machine = await FindOrMakeAsync(new OwnerRecord
        {
            Spec = spec, Epoch = new Epoch(epoch.Value - 1), IsOwner = false, Wanted = wish.Wanted,
        });
        using var gate = await machine.EnterAsync();
        var comesBack = wish.RamOf is null && epoch <= machine.Epoch.Next() && machine.Record is { IsOwner: true, Wanted: VmState.Saved };
        if (epoch < machine.Epoch || (epoch == machine.Epoch && !comesBack)) throw Stale(machine, epoch);
        var alive = machine.Record.Instances.Where(i => Processes.IsAlive(i.Process)).ToList();
        if (alive.Exists(i => i.Incarnation != machine.Record.Current) || (wish.RamOf is null && alive.Count > 0))
            throw new RefusedException("vm-already-here",
                $"{spec.Name} has a QEMU on this host already (process {alive[0].Process.Pid})",
                "'godwit migration list' shows the move it belongs to; 'godwit migration repair' settles it");
        // It powered itself off, or died, since the order was given: its memory is gone with it.
        if (wish.RamOf is not null && !alive.Exists(i => i.RamOf == wish.RamOf))
            throw new RefusedException("vm-not-running", $"{spec.Name} is not running here any more",
                "start it, or move it with --mode cold");
        if (wish.RamOf is null && !comesBack && machine.Record.IsOwner && epoch == machine.Epoch.Next())
            throw new RefusedException("vm-already-here", $"{spec.Name} is this host's own already", "choose another target");

        // An owner two epochs back was declared dead meanwhile, and learns it here.
        if (wish.RamOf is null && !comesBack) await ChangeAsync(machine, r => r with
        {
            Spec = spec, Epoch = new Epoch(epoch.Value - 1), IsOwner = false, Current = null, Wanted = wish.Wanted, Note = null,
        });
        return await LaunchAsync(machine, incoming: true, wish, cancel);
    }

    /// <summary>
    /// Durable: this host owns the VM with <paramref name="epoch"/>, in this QEMU. Safe to repeat. Throws
    /// <see cref="RefusedException"/> (<c>epoch-stale</c>) where a newer epoch is known here.
    /// </summary>
    /// <param name="memoryFile">The saved state that part of its memory still lies in.</param>
    public async Task AdoptAsOwnerAsync(
        Machine machine, QemuInstance instance, Epoch epoch, VmState wanted, string? memoryFile = null)
    {
        if (epoch < machine.Epoch || (epoch == machine.Epoch && !machine.Record.IsOwner)) throw Stale(machine, epoch);
        Invariant.Holds(machine.Record.Instances.Any(i => i.Incarnation == instance.Incarnation));
        await ChangeAsync(machine, r => r with
        {
            IsOwner = true, Epoch = epoch, Current = instance.Incarnation, Wanted = wanted, Note = null, RanUnder = epoch,
            MemoryFile = memoryFile,
        });
    }

    /// <summary>
    /// Durable: another host owns the VM with <paramref name="epoch"/>. The QEMUs here stay until dropped, the record
    /// for good: it is what refuses a late command of an older epoch.
    /// </summary>
    public async Task DisownAsync(Machine machine, Epoch epoch, string note)
    {
        if (epoch < machine.Epoch) throw Stale(machine, epoch);
        await ChangeAsync(machine, r => r with
        {
            IsOwner = false, Epoch = epoch, Current = null, Wanted = VmState.Stopped, Note = note,
        });
    }

    /// <summary>
    /// Kills this QEMU with proof (<see cref="IOException"/> without it), then removes its taps, files and memory
    /// (unless another incarnation maps it) and its line in the record. Safe to repeat.
    /// </summary>
    public async Task DropAsync(Machine machine, QemuInstance instance)
    {
        await instance.KillAsync();
        await BuryAsync(machine, instance.Record, r => r);
    }

    /// <summary>Kills this QEMU with proof; the VM is then recorded as crashed, for <paramref name="reason"/>.</summary>
    public async Task EndAsCrashedAsync(Machine machine, QemuInstance? instance, string reason)
    {
        if (instance is not null)
        {
            await instance.KillAsync();
            await BuryAsync(machine, instance.Record, r => r with { Wanted = VmState.Crashed, Note = reason });
        }
        else if (machine.Record.CurrentInstance is { } silent) // It may live and not answer.
        {
            await QemuInstance.KillAsync(Processes, machine.Home, silent);
            await BuryAsync(machine, silent, r => r with { Wanted = VmState.Crashed, Note = reason });
        }
        else await ChangeAsync(machine, r => r with { Wanted = VmState.Crashed, Current = null, Note = reason });
    }

    /// <summary>From now on this move alone decides about the VM's QEMUs. Throws where another one does.</summary>
    public void Hold(Machine machine, MoveId move)
    {
        lock (_lock)
        {
            RefuseIfHeld(machine, unlessBy: move);
            // An adopted move began when all was here.
            if (machine.HeldBy != move && machine.Record.MemoryFrom != move.Value) RefuseIfArriving(machine);
            machine.HeldBy = move;
        }
    }

    /// <summary>From now on only the save decides about the VM's QEMU. Throws where a move, or another save, does.</summary>
    public void HoldForSave(Machine machine)
    {
        lock (_lock)
        {
            RefuseIfHeld(machine);
            RefuseIfArriving(machine);
            machine.IsBeingSaved = true;
        }
    }

    /// <summary>The save is over, one way or the other.</summary>
    public async Task ReleaseFromSaveAsync(Machine machine)
    {
        lock (_lock) machine.IsBeingSaved = false;
        await SettleOrLaterAsync(machine);
    }

    /// <summary>The move is over: what happened meanwhile (a power-off, a crash) is dealt with now.</summary>
    public async Task ReleaseAsync(Machine machine, MoveId move)
    {
        lock (_lock)
        {
            if (machine.HeldBy != move) return;
            machine.HeldBy = null;
        }
        await SettleOrLaterAsync(machine);
    }

    /// <summary>A disk that fails now may work in a while: what is left of a QEMU is tidied up then. Nobody else would.</summary>
    private async Task SettleOrLaterAsync(Machine machine)
    {
        if (!await TrySettleAsync(machine)) _ = SettleLaterAsync(machine);
    }

    private async Task SettleLaterAsync(Machine machine)
    {
        for (var attempt = 1; attempt < WatchTriesMax; attempt++)
        {
            await Task.Delay(WatchPause, Time);
            if (Find(machine.Id) != machine || await TrySettleAsync(machine)) return;
        }
    }

    private async Task<bool> TrySettleAsync(Machine machine)
    {
        try
        {
            using (await machine.EnterAsync()) await MachineLife.SettleAsync(this, machine);
            return true;
        }
        catch (IOException failed)
        {
            WatchFailed(machine.Id.Value, failed.Message);
            return false;
        }
    }

    /// <summary>
    /// One sentence for each file of its disks that the VM's own uid, the one that will open them, cannot open here.
    /// </summary>
    public async Task<IReadOnlyList<string>> UnreachableDisksAsync(VmSpec spec, CancellationToken cancel)
    {
        List<string> unreachable = [];
        foreach (var (pool, file, write) in spec.Disks.SelectMany(FilesOf))
        {
            var whyNot = Layout.Pools.TryGetValue(pool, out var place)
                ? await Disk.WhyNotOpenableAsync(Path.Combine(place.Directory, file), spec.Uid, write, cancel)
                : $"this host has no pool '{pool}'";
            if (whyNot is not null) unreachable.Add($"{pool}/{file}: {whyNot}");
        }
        return unreachable;
    }

    private static IEnumerable<(string Pool, string File, bool Write)> FilesOf(DiskSpec disk)
    {
        yield return (disk.Pool, disk.File, true);
        if (disk.BackingFile is { } backing) yield return (disk.Pool, backing, false);
    }

    internal static void RefuseIfHeld(Machine machine, MoveId? unlessBy = null)
    {
        if (machine.HeldBy is { } holder && holder != unlessBy)
            throw new RefusedException("move-under-way", $"{machine.Spec.Name} is being moved ({holder})",
                $"wait for it ('godwit migration show {holder}'), or cancel it ('godwit migration cancel {holder}')");
        if (machine.IsBeingSaved)
            throw new RefusedException("save-under-way", $"{machine.Spec.Name} is being saved", "wait until it is, then resume it");
    }

    /// <summary>What QEMU would send of it, or a copy that maps its memory, would lack what is still in the file.</summary>
    private static void RefuseIfArriving(Machine machine)
    {
        if (machine.Record.MemoryElsewhere is { } where) throw new RefusedException("memory-arriving",
            $"part of the memory of {machine.Spec.Name} is still {where}", "wait some seconds and try again");
    }

    internal static RefusedException Stale(Machine machine, Epoch epoch) => new("epoch-stale",
        $"the order for {machine.Spec.Name} is of epoch {epoch}, this host knows epoch {machine.Epoch}",
        "nothing was changed; look again where the VM is ('godwit vm show')");

    internal async Task<Machine> FindOrMakeAsync(OwnerRecord first)
    {
        await _making.WaitAsync();
        try
        {
            if (Find(first.Spec.Id) is { } there) return there;
            await Records.WriteAsync(first, CancellationToken.None);
            return Add(first);
        }
        finally { _making.Release(); }
    }

    internal Machine Add(OwnerRecord record)
    {
        var machine = new Machine(VmHome.On(Layout, record.Spec.Id), record);
        lock (_lock) _machines.Add(machine.Id, machine);
        return machine;
    }

    internal void Remove(Machine machine)
    {
        Records.Forget(machine.Id);
        Disk.DeleteDirectory(machine.Home.Run);
        lock (_lock) _machines.Remove(machine.Id);
    }

    /// <summary>Durable on return, and only then seen by others.</summary>
    internal async Task ChangeAsync(Machine machine, Func<OwnerRecord, OwnerRecord> change)
    {
        await machine.RecordOrder.WaitAsync();
        try
        {
            var before = machine.Record;
            var next = change(before);
            if (next.Current is null) next = next with { MemoryFile = null };
            if (next.Instances.Count == 0) next = next with { MemoryFrom = null };
            if (next == before) return;
            await Records.WriteAsync(next, CancellationToken.None);
            machine.Record = next;
            if (before.MemoryFile is { } past && next.MemoryFile is null) ForgetMemoryFile(before.Spec, past);
        }
        finally { machine.RecordOrder.Release(); }
    }

    /// <summary>The guest has run since: the file is the past, whether the guest still runs or not.</summary>
    private void ForgetMemoryFile(VmSpec spec, string file)
    {
        try { MemoryFile.Delete(Disk, Layout, spec, file); }
        catch (Exception left) when (left is IOException or UnauthorizedAccessException or RefusedException)
        {
            FileStayed(spec.Id.Value, file, left.Message);
        }
    }

    /// <summary>Asked before anything is written down, and once more beside the launch.</summary>
    internal void DemandGuestMayBegin()
    {
        if (WhyNoGuest() is { } refusal) throw new RefusedException([refusal]);
    }

    /// <summary>A QEMU with its taps, recorded, watched, its vCPUs stopped. Nothing is left behind if it fails.</summary>
    internal async Task<QemuInstance> LaunchAsync(
        Machine machine, bool incoming, IncomingWish wish, CancellationToken cancel)
    {
        Check(wish);
        DemandGuestMayBegin();
        // Recorded before the process is there: what a crash leaves between here and the next line is found by number.
        await ChangeAsync(machine, r => r with { LastIncarnation = NextIncarnation(r) });
        var incarnation = machine.Record.LastIncarnation;
        var launch = new QemuLaunch
        {
            Spec = machine.Spec, Home = machine.Home, Incarnation = incarnation, RamOf = wish.RamOf ?? incarnation,
            Incoming = incoming, QemuPath = wish.QemuPath ?? DefaultQemu(), Cpus = wish.Cpus,
            Taps = Machines.Taps.NamesOf(machine.Spec, incarnation), LoadsFile = wish.FromFile, Isolated = wish.Isolated,
            OnHugetlbfs = Disk.FileSystemOf(VmHome.VmsIn(Layout.RunDirectory)) == "hugetlbfs",
            StartsStopped = !incoming || Rules.Keeps(SafetyRule.TargetStartsStopped),
        };
        QemuInstance? instance = null;
        try
        {
            // Up from the start: a QEMU whose vCPUs stand still sends nothing, and "up" costs nothing in the pause.
            await Taps.CreateAsync(machine.Spec, launch.Taps, up: true, wish.Isolated, cancel);
            instance = await Launcher.LaunchAsync(launch, cancel);
            await ChangeAsync(machine, r => r with { Instances = [.. r.Instances, instance.Record] });
            Attach(machine, instance);
            return instance;
        }
        catch (Exception)
        {
            if (instance is not null)
            {
                await instance.KillAsync();
                await instance.DisposeAsync();
            }
            await RemoveLeavingsAsync(machine, incarnation, launch.RamOf, launch.Taps);
            throw;
        }
    }

    internal void Attach(Machine machine, QemuInstance instance)
    {
        lock (_lock)
        {
            machine.Instances = [.. machine.Instances.Where(i => i.Incarnation != instance.Incarnation)
                .Append(instance).OrderBy(i => i.Incarnation)];
        }
        _ = WatchAsync(machine, instance);
    }

    /// <summary>What is left of a QEMU whose process is proved gone. <paramref name="change"/> goes into the same write.</summary>
    internal async Task BuryAsync(Machine machine, InstanceRecord gone, Func<OwnerRecord, OwnerRecord> change)
    {
        Invariant.Holds(!Processes.IsAlive(gone.Process));
        await ChangeAsync(machine, r => change(r with
        {
            Instances = [.. r.Instances.Where(i => i.Incarnation != gone.Incarnation)],
            Current = r.Current == gone.Incarnation ? null : r.Current,
        }));
        QemuInstance? instance;
        lock (_lock)
        {
            instance = machine.Instances.FirstOrDefault(i => i.Incarnation == gone.Incarnation);
            machine.Instances = [.. machine.Instances.Where(i => i.Incarnation != gone.Incarnation)];
        }
        if (instance is not null) await instance.DisposeAsync();
        await RemoveLeavingsAsync(machine, gone.Incarnation, gone.RamOf, gone.Taps);
    }

    /// <summary>
    /// What a former agent made for an incarnation, when it ended before the QEMU was there or between its burial and
    /// the removal of what it left. Left alone where a QEMU that lives may use the same names.
    /// </summary>
    internal async Task TidyAsync(Machine machine)
    {
        var last = machine.Record.LastIncarnation;
        for (var number = Math.Max(1, last - TidiedBack); number <= last; number++)
        {
            if (machine.Record.Instances.Any(i => i.Incarnation % 2 == number % 2)) continue;
            await RemoveLeavingsAsync(machine, number, number, Machines.Taps.NamesOf(machine.Spec, number));
        }
    }

    private async Task RemoveLeavingsAsync(Machine machine, int incarnation, int ramOf, IReadOnlyList<string> taps)
    {
        foreach (var file in machine.Home.FilesOf(incarnation)) Disk.DeleteFile(file);
        Processes.RemoveShare(QemuCommandLine.ShareName(machine.Id, incarnation));
        if (machine.Record.Instances.All(i => i.RamOf != ramOf)) Disk.DeleteMemory(machine.Home.Ram(ramOf));
        try { await Taps.DeleteAsync(taps, CancellationToken.None); }
        catch (IOException stuck) { TapsStayed(machine.Id.Value, stuck.Message); } // Replaced when the number comes up again.
        if (machine.Record.Instances.Count == 0) Disk.DeleteDirectory(machine.Home.Run);
    }

    /// <summary>Runs until the QEMU is gone, its guest powers off, or its monitor breaks; never faults.</summary>
    private async Task WatchAsync(Machine machine, QemuInstance instance)
    {
        for (var attempt = 1; !await TryWatchAsync(machine, instance) && attempt < WatchTriesMax; attempt++)
            await Task.Delay(WatchPause, Time); // A disk that failed: what is left of the QEMU is tidied up later.
    }

    /// <summary>
    /// A QEMU that does not answer a new agent has no monitor here that would tell of its end, which frees taps and memory all the same.
    /// </summary>
    internal async Task WatchSilentAsync(Machine machine, ProcessHandle process)
    {
        await Processes.WaitForExitAsync(process, CancellationToken.None);
        if (machine.HeldBy is null) await SettleOrLaterAsync(machine); // Else it is settled as its move lets go of it.
    }

    private async Task<bool> TryWatchAsync(Machine machine, QemuInstance instance)
    {
        try
        {
            var exit = instance.WaitForExitAsync(CancellationToken.None);
            await Joining.AnyAsync(exit, instance.PoweredOff, instance.Qmp.Closed);
            if (!exit.IsCompleted && !instance.PoweredOff.IsCompleted && instance.IsAlive)
            {
                MonitorLost(machine.Id.Value, instance.Process.Pid, await instance.Qmp.Closed);
                if (await MachineAdoption.ReconnectAsync(this, machine, instance.Record) is not null) return true; // It is watched anew.
                await exit; // A killed QEMU's monitor closes before the kernel is through with its memory: it may just be ending.
            }
            using (await machine.EnterAsync()) await MachineLife.SettleAsync(this, machine);
            if (machine.HeldBy is not null || !instance.PoweredOff.IsCompleted) return true;
            await exit; // Powered off and not yet ended (its kill had no proof): its end still frees taps and memory.
            using (await machine.EnterAsync()) await MachineLife.SettleAsync(this, machine);
            return true;
        }
        catch (Exception failed) // Nobody awaits this; it is tried again.
        {
            WatchFailed(machine.Id.Value, failed.Message);
            return false;
        }
    }

    /// <summary>Never the parity of one that lives: the parity tells their taps apart.</summary>
    private static int NextIncarnation(OwnerRecord record)
    {
        var next = record.LastIncarnation + 1;
        return record.Instances.Any(i => i.Incarnation % 2 == next % 2) ? next + 1 : next;
    }

    /// <summary>Both come from a person: only QEMUs this host was told of are started, and only processors by number.</summary>
    private void Check(IncomingWish wish)
    {
        if (wish.QemuPath is not null && !Layout.QemuPaths.Contains(wish.QemuPath))
            throw new RefusedException("qemu-unknown", $"this host does not know a QEMU {wish.QemuPath}",
                $"it has {string.Join(", ", Layout.QemuPaths)}; give its agent another one with --qemu PATH");
        if (wish.Cpus is not null && !VmRules.IsCpuList(wish.Cpus))
            throw new RefusedException("cpus-invalid", $"'{wish.Cpus}' is not a list of processors", "write 0-3 or 0,2,4-7");
    }

    private string DefaultQemu() => Layout.QemuPaths.Count > 0 ? Layout.QemuPaths[0] : throw new RefusedException(
        "qemu-missing", "this host has no QEMU", "install qemu-system-x86, or name one with --qemu PATH");

    [LoggerMessage(LogLevel.Warning, "{Vm}: taps stayed behind: {Why}")]
    private partial void TapsStayed(string vm, string why);
    [LoggerMessage(LogLevel.Warning, "{Vm}: its saved state {File}, of no use any more, stayed behind: {Why}")]
    private partial void FileStayed(string vm, string file, string why);
    [LoggerMessage(LogLevel.Warning, "{Vm}: the monitor of process {Pid} broke ({Why}); connecting again")]
    private partial void MonitorLost(string vm, int pid, string why);
    [LoggerMessage(LogLevel.Error, "{Vm}: dealing with the end of its QEMU failed: {Why}")]
    private partial void WatchFailed(string vm, string why);
}

/// <param name="RamOf">Map this incarnation's memory instead of new memory: a refresh.</param>
/// <param name="QemuPath">Another QEMU than the host's first.</param>
/// <param name="Cpus">Host processors ("0-3").</param>
/// <param name="Wanted">What the VM becomes with the token: Running or Paused.</param>
/// <param name="FromFile">A saved state is loaded; no other host has to do with it.</param>
/// <param name="Isolated">For a rehearsal: taps on no bridge, disks that cannot be written.</param>
public sealed record IncomingWish(
    int? RamOf = null, string? QemuPath = null, string? Cpus = null, VmState Wanted = VmState.Running, bool FromFile = false,
    bool Isolated = false);
