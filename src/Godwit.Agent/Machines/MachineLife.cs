using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Machines;

/// <summary>
/// What people ask of a VM on its host: start, stop, pause, forget, console, and how it is. Each order names the
/// epoch it was given under; what is wanted is durable before it is done, so an agent that starts again finishes it.
/// </summary>
public sealed partial class MachineLife(HostMachines machines)
{
    /// <summary>QEMU's monitor shares its main loop: a shorter wait would prove nothing.</summary>
    private static readonly TimeSpan QmpDeadline = TimeSpan.FromSeconds(15);
    /// <summary>
    /// Of a QEMU that may wait for its guest's memory in its main loop: who asks for all VMs of this host must have an answer about the
    /// others, and not take the host to be silent.
    /// </summary>
    private static readonly TimeSpan ArrivingDeadline = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan PowerdownWaitMax = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan RepeatedIoWait = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// Boots the VM, or finds it running. Owner record first, then the vCPUs: no guest runs that this host would not
    /// know of after a power cut.
    /// </summary>
    public async Task<VmReport> StartAsync(VmSpec spec, Epoch epoch, CancellationToken cancel)
    {
        VmSpecRules.Check(spec);
        var machine = await machines.FindOrMakeAsync(new OwnerRecord
        {
            Spec = spec, Epoch = epoch, IsOwner = true, Wanted = VmState.Stopped,
        });
        using (await machine.EnterAsync())
        {
            await SettleAsync(machines, machine);
            var record = machine.Record;
            if (machines.Rules.Keeps(SafetyRule.EpochChecked)
                && (epoch < record.Epoch || (epoch == record.Epoch && !record.IsOwner))) throw HostMachines.Stale(machine, epoch);
            HostMachines.RefuseIfHeld(machine);
            if (record.Wanted == VmState.Saved && epoch == record.Epoch) throw new RefusedException("vm-saved",
                $"{spec.Name} is saved: booting it would lose the memory that was saved", "use 'godwit vm resume'");
            var alive = record.Instances.FirstOrDefault(i => machines.Processes.IsAlive(i.Process));
            if (alive is not null && record.IsOwner && alive.Incarnation == record.Current)
            {
                // An order to start it had been given up by the server, and arrived: the newer order means the same guest.
                if (epoch != record.Epoch) await machines.ChangeAsync(machine, r => r with { Epoch = epoch });
                await FinishStartAsync(machine, cancel);
                return await ReportAsync(machine, cancel);
            }
            if (alive is not null) throw new RefusedException("vm-already-here",
                $"{spec.Name} still has a QEMU here (process {alive.Process.Pid})", "wait for its move to be cleaned, or stop it");
            // Carried out before, and that guest has ended since: arriving once more the order changes nothing (R7).
            if (machines.Rules.Keeps(SafetyRule.BootedOnce) && epoch == record.Epoch && record.RanUnder == epoch)
                return await ReportAsync(machine, cancel);
            machines.DemandGuestMayBegin();
            if (await machines.UnreachableDisksAsync(spec, cancel) is { Count: > 0 } unreachable)
                throw new RefusedException([.. unreachable.Select(u => new Refusal("disk-unreachable",
                    $"{spec.Name} cannot open a disk: {u}", "check the pool's mount and the file's owner on that host"))]);

            await machines.ChangeAsync(machine, r => r with
            {
                Spec = spec, Epoch = epoch, IsOwner = true, Wanted = VmState.Stopped, Note = null,
            });
            var instance = await machines.LaunchAsync(machine, incoming: false, new IncomingWish(), cancel);
            await machines.AdoptAsOwnerAsync(machine, instance, epoch, VmState.Running);
            await instance.Qmp.ContAsync(QmpDeadline, CancellationToken.None);
            Started(machines.Log, machine.Id.Value, spec.Name, instance.Process.Pid, epoch.Value);
        }
        return await ReportAsync(machine, cancel);
    }

    /// <summary>ACPI power button and a wait of at most 60 s; or, with <paramref name="force"/>, the end of its QEMU at once.</summary>
    public async Task StopAsync(VmId vm, Epoch epoch, bool force, CancellationToken cancel)
    {
        var machine = machines.Get(vm);
        QemuInstance? instance;
        using (await machine.EnterAsync())
        {
            await SettleAsync(machines, machine);
            if (!IsHere(machine, epoch))
            {
                // Nobody is to start it because it crashed: it is stopped, by a person's wish.
                if (machine.Record.Wanted == VmState.Crashed)
                    await machines.ChangeAsync(machine, r => r with { Wanted = VmState.Stopped, Note = null });
                return;
            }
            if (force)
            {
                await EndAsync(machine);
                return;
            }
            instance = Answering(machine);
            var state = await instance.Qmp.QueryStatusAsync(QmpDeadline, cancel);
            if (!state.Running) throw new RefusedException("vm-not-running",
                $"{machine.Spec.Name} is {state.Status}: it cannot react to its power button",
                "unpause it first, or stop it with --force");
            await instance.Qmp.SystemPowerdownAsync(QmpDeadline, cancel);
        }

        // Outside the gate, so that a person who loses patience can force it.
        var gone = instance.WaitForExitAsync(cancel);
        var ended = await Joining.AnyAsync(gone, Task.Delay(PowerdownWaitMax, machines.Time, cancel));
        cancel.ThrowIfCancellationRequested();
        if (ended != gone) throw new RefusedException("guest-ignores-powerdown",
            $"{machine.Spec.Name} did not power off within {PowerdownWaitMax.TotalSeconds} s of its power button",
            "look at its console, wait and try again, or stop it with --force (as pulling the plug)");
        using (await machine.EnterAsync()) await SettleAsync(machines, machine);
    }

    /// <summary>
    /// The rest of its memory is lost with the host it came from. Nothing where all is here by now; where it was to be stopped before,
    /// that is carried out.
    /// </summary>
    public async Task EndLostAsync(VmId vm, Epoch epoch, string why)
    {
        var machine = machines.Get(vm);
        using (await machine.EnterAsync())
        {
            await SettleAsync(machines, machine);
            if (!IsHere(machine, epoch) || machine.Record.MemoryFrom is null) return;
            if (machine.Record.Wanted == VmState.Stopped) await EndAsync(machine);
            else await machines.EndAsCrashedAsync(machine, machine.Current, why);
            if (machine.Record.Wanted == VmState.Crashed) Crashed(machines.Log, machine.Id.Value, machine.Spec.Name, why);
        }
    }

    public async Task PauseAsync(VmId vm, Epoch epoch, CancellationToken cancel)
    {
        var machine = machines.Get(vm);
        using (await machine.EnterAsync())
        {
            await SettleAsync(machines, machine);
            var instance = Running(machine, epoch);
            await machines.ChangeAsync(machine, r => r with { Wanted = VmState.Paused });
            await instance.Qmp.StopAsync(QmpDeadline, cancel);
        }
    }

    public async Task UnpauseAsync(VmId vm, Epoch epoch, CancellationToken cancel)
    {
        var machine = machines.Get(vm);
        using (await machine.EnterAsync())
        {
            await SettleAsync(machines, machine);
            var instance = Running(machine, epoch);
            await machines.ChangeAsync(machine, r => r with { Wanted = VmState.Running });
            var failed = (await instance.Qmp.QueryStatusAsync(QmpDeadline, cancel)).Status == QmpRunStatus.IoError;
            await instance.Qmp.ContAsync(QmpDeadline, cancel);
            if (failed) await DemandStorageAsync(machine, instance, cancel);
        }
    }

    /// <summary>QEMU repeats what failed as soon as the guest goes on, and stops it once more where it fails again.</summary>
    private async Task DemandStorageAsync(Machine machine, QemuInstance instance, CancellationToken cancel)
    {
        await Task.Delay(RepeatedIoWait, machines.Time, cancel);
        if ((await instance.Qmp.QueryStatusAsync(QmpDeadline, cancel)).Status == QmpRunStatus.IoError)
            throw new RefusedException("storage-failed",
                $"{machine.Spec.Name} went on and was stopped again: its storage still fails or is full",
                "look at the pool ('godwit host show'), repair it or make room, then resume it again: nothing of the guest is lost");
    }

    /// <summary>
    /// Forgets a VM none of whose QEMUs is here: run directory, record. No error where it is unknown. Of a VM that is
    /// another host's by now (a newer epoch, or known so before) the record stays: it refuses a late start of the old epoch. So it
    /// does of one that leaves into its file: started late, it would boot a disk that belongs to the memory in the file.
    /// </summary>
    public async Task ForgetAsync(VmId vm, Epoch epoch)
    {
        if (machines.Find(vm) is not { } machine) return;
        using (await machine.EnterAsync())
        {
            if (epoch < machine.Epoch) throw HostMachines.Stale(machine, epoch);
            HostMachines.RefuseIfHeld(machine);
            if (machine.Record.Instances.FirstOrDefault(i => machines.Processes.IsAlive(i.Process)) is { } alive)
                throw new RefusedException("vm-running",
                    $"{machine.Spec.Name} has a QEMU here (process {alive.Process.Pid})", "stop it first");
            foreach (var dead in machine.Record.Instances) await machines.BuryAsync(machine, dead, r => r);
            if (epoch > machine.Epoch) await machines.DisownAsync(machine, epoch, "it moved away while it was stopped");
            if (machine.Record is { IsOwner: true, Wanted: VmState.Saved })
                await machines.DisownAsync(machine, epoch, "it left into its file");
            if (machine.Record.IsOwner) machines.Remove(machine);
        }
    }

    /// <summary>Durable: the VM this host owns has this epoch. What runs, runs under it; an older order is refused from now on.</summary>
    public async Task RenewAsync(VmId vm, Epoch epoch)
    {
        var machine = machines.Get(vm);
        using (await machine.EnterAsync())
        {
            if (!machine.Record.IsOwner || epoch < machine.Epoch) throw HostMachines.Stale(machine, epoch);
            HostMachines.RefuseIfHeld(machine);
            await machines.ChangeAsync(machine, r => r with { Epoch = epoch, RanUnder = r.Current is null ? r.RanUnder : epoch });
        }
    }

    /// <summary>
    /// Durable: another host has it with this epoch. What is left of it here goes with <see cref="EndLeftAsync"/>, after its
    /// moves were given up.
    /// </summary>
    public async Task LeaveAsync(VmSpec spec, Epoch epoch)
    {
        VmSpecRules.Check(spec);
        var machine = await machines.FindOrMakeAsync(new OwnerRecord
        {
            Spec = spec, Epoch = epoch, IsOwner = false, Wanted = VmState.Stopped,
        });
        using (await machine.EnterAsync())
        {
            if (epoch == machine.Epoch && machine.Record.IsOwner) throw HostMachines.Stale(machine, epoch);
            await machines.DisownAsync(machine, epoch, "this host was fenced, and it was started elsewhere");
        }
    }

    /// <summary>Every QEMU of it that is here ends, with proof (<see cref="IOException"/> without): none may ever run again.</summary>
    public async Task EndLeftAsync(VmId vm, Epoch epoch)
    {
        var machine = machines.Get(vm);
        using (await machine.EnterAsync())
        {
            if (machine.Epoch != epoch || machine.Record.IsOwner) throw HostMachines.Stale(machine, epoch);
            foreach (var left in machine.Record.Instances)
            {
                await QemuInstance.KillAsync(machines.Processes, machine.Home, left);
                await machines.BuryAsync(machine, left, r => r);
            }
        }
    }

    /// <summary>The serial console, both ways. QEMU serves one reader at a time: the next waits until the first leaves.</summary>
    public Task<Stream> OpenConsoleAsync(VmId vm, CancellationToken cancel)
    {
        var machine = machines.Get(vm);
        return machines.Network.ConnectUnixAsync(machine.Home.ConsoleSocket(Answering(machine).Incarnation), cancel);
    }

    /// <summary>The display as RFB, both ways. QEMU shows it to several at a time, and lets none of them put another out.</summary>
    public Task<Stream> OpenDisplayAsync(VmId vm, CancellationToken cancel)
    {
        var machine = machines.Get(vm);
        if (machine.Spec.Display == Display.None) throw DisplayWords.None(machine.Spec.Name);
        return machines.Network.ConnectUnixAsync(machine.Home.DisplaySocket(Answering(machine).Incarnation), cancel);
    }

    /// <summary>The VMs that are here: owned, or with a QEMU of theirs on this host.</summary>
    public async Task<IReadOnlyList<VmReport>> ListAsync(CancellationToken cancel)
    {
        var here = machines.All.Where(m => m.Record.IsOwner || m.Record.Instances.Count > 0);
        return await Task.WhenAll(here.Select(m => ReportAsync(m, cancel)));
    }

    public async Task<VmReport> ReportAsync(Machine machine, CancellationToken cancel)
    {
        var record = machine.Record;
        var shown = record.CurrentInstance ?? (record.Instances.Count > 0 ? record.Instances[^1] : null);
        var instance = machine.Instances.FirstOrDefault(i => i.Incarnation == shown?.Incarnation);
        if (instance is null && shown is not null && record.MemoryElsewhere is null && machines.Processes.IsAlive(shown.Process))
            instance = await MachineAdoption.ReconnectAsync(machines, machine, shown);
        var (state, note, storageFailed) = await StateAsync(record, shown, instance, machine.HeldBy is not null, cancel);
        return new VmReport
        {
            Spec = record.Spec, Epoch = record.Epoch, IsOwner = record.IsOwner, State = state, Note = note,
            QemuPid = shown?.Process.Pid, QemuVersion = instance?.Qmp.Version, StorageFailed = storageFailed,
        };
    }

    /// <summary>
    /// Looks what became of the VM's QEMUs and draws the consequence: a dead one is buried, a guest that powered
    /// itself off is stopped. The caller holds the gate. Does nothing while a move holds the VM.
    /// </summary>
    internal static async Task SettleAsync(HostMachines machines, Machine machine)
    {
        if (machine.HeldBy is not null || machine.IsBeingSaved) return;
        foreach (var dead in machine.Record.Instances.Where(i => !machines.Processes.IsAlive(i.Process)).ToList())
        {
            var held = machine.Record.IsOwner && dead.Incarnation == machine.Record.Current;
            var poweredOff = machine.Instances.Any(i => i.Incarnation == dead.Incarnation && i.PoweredOff.IsCompleted);
            var words = held ? await machines.Launcher.LastWordsAsync(machine.Home.QemuLog(dead.Incarnation)) : null;
            await machines.BuryAsync(machine, dead, r => !held || r.Wanted is VmState.Stopped or VmState.Saved ? r
                : poweredOff ? r with { Wanted = VmState.Stopped, Note = null }
                : r with
                {
                    Wanted = VmState.Crashed,
                    Note = $"QEMU process {dead.Process.Pid} ended unasked: {words ?? "no last words"}",
                });
            if (held && machine.Record.Wanted == VmState.Crashed)
                Crashed(machines.Log, machine.Id.Value, machine.Spec.Name, machine.Record.Note!);
        }
        if (machine.Current is not { } current || !machine.Record.IsOwner) return;
        // Ordered before and not carried out: saved means that its file is durable, and this copy must not run again.
        if (machine.Record.Wanted is VmState.Stopped or VmState.Saved) await machines.DropAsync(machine, current);
        else if (await IsPoweredOffAsync(current))
        {
            await machines.ChangeAsync(machine, r => r with { Wanted = VmState.Stopped });
            await machines.DropAsync(machine, current);
            PoweredOff(machines.Log, machine.Id.Value, machine.Spec.Name);
        }
    }

    /// <summary>The order was repeated after an earlier one broke off between the record and the first instruction.</summary>
    private static async Task FinishStartAsync(Machine machine, CancellationToken cancel)
    {
        if (machine is not { Current: { } instance, Record.Wanted: VmState.Running }) return;
        if ((await instance.Qmp.QueryStatusAsync(QmpDeadline, cancel)).Status == QmpRunStatus.Prelaunch)
            await instance.Qmp.ContAsync(QmpDeadline, cancel);
    }

    private static async Task<bool> IsPoweredOffAsync(QemuInstance instance)
    {
        if (instance.PoweredOff.IsCompleted) return true;
        try { return (await instance.Qmp.QueryStatusAsync(QmpDeadline, CancellationToken.None)).Status == QmpRunStatus.Shutdown; }
        catch (QmpException) { return false; } // No answer is no proof; the next look may have one.
    }

    /// <summary>Stopped is recorded first: an agent that dies before the kill finishes it.</summary>
    private async Task EndAsync(Machine machine)
    {
        await machines.ChangeAsync(machine, r => r with { Wanted = VmState.Stopped, Note = null });
        foreach (var instance in machine.Record.Instances)
        {
            await QemuInstance.KillAsync(machines.Processes, machine.Home, instance);
            await machines.BuryAsync(machine, instance, r => r);
        }
    }

    /// <summary>False where there is nothing to stop. Throws for stale epochs, for another's VM and during a move.</summary>
    private static bool IsHere(Machine machine, Epoch epoch)
    {
        if (epoch != machine.Epoch) throw HostMachines.Stale(machine, epoch);
        if (!machine.Record.IsOwner) throw new RefusedException("vm-not-owned",
            $"this host does not own {machine.Spec.Name}: {machine.Record.Note ?? "it is elsewhere"}",
            "'godwit vm show' tells where it is");
        HostMachines.RefuseIfHeld(machine);
        return machine.Record.Instances.Count > 0;
    }

    private static QemuInstance Running(Machine machine, Epoch epoch) =>
        IsHere(machine, epoch) ? Answering(machine) : throw NotRunning(machine);

    private static QemuInstance Answering(Machine machine) =>
        machine.Current ?? (machine.Record.CurrentInstance is { } silent
            ? throw new RefusedException("qemu-silent",
                $"QEMU process {silent.Process.Pid} of {machine.Spec.Name} does not answer on its monitor",
                "wait and try again; if its host is healthy, 'godwit vm stop --force' ends it")
            : throw NotRunning(machine));

    private static RefusedException NotRunning(Machine machine) => new("vm-not-running",
        $"{machine.Spec.Name} is {machine.Record.Wanted.ToString().ToLowerInvariant()}", "start it first ('godwit vm start')");

    /// <summary>What QEMU says, where one is there; what the record says, where none is.</summary>
    private static async Task<(VmState State, string? Note, bool StorageFailed)> StateAsync(
        OwnerRecord record, InstanceRecord? shown, QemuInstance? instance, bool inMove, CancellationToken cancel)
    {
        if (shown is null) return (record.IsOwner ? record.Wanted : VmState.Stopped, record.Note, false);
        var waits = record is { IsOwner: true, MemoryElsewhere: { } where } ? $"waits for memory that is still {where}" : null;
        if (instance is null)
            return waits is not null ? (record.Wanted, waits, false)
                : (VmState.Unknown, $"QEMU process {shown.Process.Pid} does not answer on its monitor", false);
        try
        {
            var deadline = record.MemoryElsewhere is null ? QmpDeadline : ArrivingDeadline;
            var status = (await instance.Qmp.QueryStatusAsync(deadline, cancel)).Status;
            var (state, note) = status switch
            {
                QmpRunStatus.Running or QmpRunStatus.Suspended => (VmState.Running, record.Note),
                QmpRunStatus.Shutdown => (VmState.Stopped, "the guest powered itself off"),
                QmpRunStatus.Paused => (VmState.Paused, record.Note),
                QmpRunStatus.InMigrate => (VmState.Paused, "waits for a move to arrive"),
                QmpRunStatus.PostMigrate when inMove => (VmState.Unknown, "it was handed over, and no answer has come yet"),
                QmpRunStatus.PostMigrate => (VmState.Paused, record.Note), // Kept here after all, paused as it was.
                QmpRunStatus.IoError => (VmState.Paused, "stopped by QEMU: its storage failed or is full"),
                _ => (VmState.Paused, $"QEMU says {status}"),
            };
            return (state, note, status == QmpRunStatus.IoError);
        }
        catch (QmpException) when (waits is not null) { return (record.Wanted, waits, false); } // As long as its process is there.
        catch (QmpException silent) { return (VmState.Unknown, silent.Message, false); }
    }

    [LoggerMessage(LogLevel.Information, "{Vm} ({Name}) started: process {Pid}, epoch {Epoch}")]
    private static partial void Started(ILogger log, string vm, string name, int pid, long epoch);
    [LoggerMessage(LogLevel.Warning, "{Vm} ({Name}) crashed: {Why}")]
    private static partial void Crashed(ILogger log, string vm, string name, string why);
    [LoggerMessage(LogLevel.Information, "{Vm} ({Name}) powered off")]
    private static partial void PoweredOff(ILogger log, string vm, string name);
}
