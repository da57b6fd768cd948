using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Inventory;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Machines;

/// <summary>
/// Finding it all again when the agent starts. First <see cref="FindAllAsync"/> reads the records and connects to
/// what lives, and changes nothing; then the journal of moves is heard (they hold the VMs they judge); then
/// <see cref="SettleAllAsync"/> finishes what was wanted. A QEMU that no record knows is told, never killed.
/// </summary>
public sealed partial class MachineAdoption(HostMachines machines)
{
    private static readonly TimeSpan ConnectMax = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan ReconnectMax = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan QmpDeadline = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan SettlePause = TimeSpan.FromSeconds(10);
    private const int CommandLineBytesMax = 128 << 10, SettleTriesMax = 1000;

    /// <summary>QEMUs that look like ours and belong to no record, one sentence each, as of the last look.</summary>
    public IReadOnlyList<string> Orphans { get; private set; } = [];
    /// <summary>Records that could not be read, one sentence each. Their VMs are left alone.</summary>
    public IReadOnlyList<string> Unreadable => [.. UnreadableRecords.Select(u => u.Why)];
    internal IReadOnlyList<UnreadableRecord> UnreadableRecords { get; private set; } = [];

    /// <param name="fillMemory">For each VM whose memory was still arriving: its QEMU may be silent until that is done.</param>
    public async Task FindAllAsync(Func<Machine, Task> fillMemory, CancellationToken cancel)
    {
        List<UnreadableRecord> unreadable = [];
        foreach (var vm in machines.Records.List())
        {
            try
            {
                if (await machines.Records.ReadAsync(vm, cancel) is { } record) machines.Add(record);
            }
            catch (Exception broken) when (broken is IOException or RefusedException)
            {
                unreadable.Add(new UnreadableRecord(vm, broken.Message));
                RecordUnreadable(machines.Log, vm.Value, broken.Message);
            }
        }
        UnreadableRecords = unreadable;
        await FindStraysAsync(cancel);
        foreach (var arriving in machines.All.Where(m => m.Record.MemoryElsewhere is not null)) _ = fillMemory(arriving);
        await Task.WhenAll(machines.All.Select(m => ConnectAsync(m, cancel)));
    }

    /// <summary>After the moves have taken hold of theirs.</summary>
    public async Task SettleAllAsync(CancellationToken cancel)
    {
        foreach (var machine in machines.All)
        {
            cancel.ThrowIfCancellationRequested();
            using (await machine.EnterAsync())
            {
                if (machine.HeldBy is not null) continue;
                try
                {
                    DeletePastSaves(machine);
                    await SettleAsync(machine);
                    await machines.TidyAsync(machine);
                }
                catch (Exception failed) when (failed is IOException or QmpException)
                {
                    SettleFailed(machines.Log, machine.Id.Value, failed.Message); // The others go on; list shows its state.
                    _ = SettleLaterAsync(machine);
                }
            }
        }
    }

    /// <summary>
    /// A guest that has run here under this epoch has come back from whatever it was saved to under an older one. An agent that died
    /// between its first instruction and the deletion left that file, and nobody may resume it. Files of newer epochs are another
    /// host's.
    /// </summary>
    private void DeletePastSaves(Machine machine)
    {
        var record = machine.Record;
        if (record.MemoryFile is not null) return; // Its memory is still in one of them.
        if (!record.IsOwner || record.RanUnder != record.Epoch || record.Wanted == VmState.Saved || machine.Spec.Disks.Count == 0
            || !machines.Layout.Pools.TryGetValue(machine.Spec.Disks[0].Pool, out var pool)) return;
        foreach (var name in machines.Disk.List(pool.Directory))
            if (SavedUnder(machine.Id, name) is { } saved && saved < machine.Epoch.Value)
                machines.Disk.DeleteFile(Path.Combine(pool.Directory, name));
    }

    /// <summary>The epoch in the name of a saved state of this VM, in use or not; null for any other file.</summary>
    internal static long? SavedUnder(VmId vm, string name)
    {
        const string end = ".saved";
        name = MemoryFile.Saved(name);
        if (!name.StartsWith($"{vm}-", StringComparison.Ordinal) || !name.EndsWith(end, StringComparison.Ordinal)) return null;
        var digits = name.AsSpan(vm.Value.Length + 1, name.Length - vm.Value.Length - 1 - end.Length);
        return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var epoch) ? epoch : null;
    }

    /// <summary>A disk that was full, or failed: what is left of a QEMU is tidied up when it works again. Never faults.</summary>
    private async Task SettleLaterAsync(Machine machine)
    {
        for (var attempt = 0; attempt < SettleTriesMax; attempt++)
        {
            await Task.Delay(SettlePause, machines.Time);
            try
            {
                using (await machine.EnterAsync())
                {
                    if (machine.HeldBy is not null || machines.Find(machine.Id) != machine) return; // Somebody else sees to it.
                    await SettleAsync(machine);
                    await machines.TidyAsync(machine);
                    return;
                }
            }
            catch (Exception failed) when (failed is IOException or QmpException)
            {
                SettleFailed(machines.Log, machine.Id.Value, failed.Message);
            }
        }
    }

    /// <summary>Connects to the monitor of a QEMU that lives; null where it does not answer.</summary>
    internal static async Task<QemuInstance?> ReconnectAsync(HostMachines machines, Machine machine, InstanceRecord record)
    {
        await machine.ConnectOrder.WaitAsync();
        try
        {
            var there = machine.Instances.FirstOrDefault(i => i.Incarnation == record.Incarnation);
            if (there?.Qmp.Closed.IsCompleted == false) return there;
            using var patience = new CancellationTokenSource(ReconnectMax, machines.Time);
            var instance = await machines.Launcher.ConnectAsync(machine.Home, record, ReconnectMax, patience.Token);
            machines.Attach(machine, instance);
            return instance;
        }
        catch (Exception silent) when (silent is IOException or QmpException or OperationCanceledException) { return null; }
        finally { machine.ConnectOrder.Release(); }
    }

    private async Task ConnectAsync(Machine machine, CancellationToken cancel)
    {
        foreach (var record in machine.Record.Instances.Where(i => machines.Processes.IsAlive(i.Process)))
        {
            try
            {
                machines.Attach(machine, await machines.Launcher.ConnectAsync(machine.Home, record, ConnectMax, cancel));
                Adopted(machines.Log, machine.Id.Value, machine.Spec.Name, record.Process.Pid);
            }
            catch (Exception silent) when (silent is IOException or QmpException)
            {
                Silent(machines.Log, machine.Id.Value, record.Process.Pid, silent.Message);
                _ = machines.WatchSilentAsync(machine, record.Process);
                // One that waits for memory nobody gives it any more never answers; and nothing ran in it.
                if (record.Incarnation != machine.Record.Current && record.LoadsFile) _ = EndUnrunAsync(machine, record);
                else if (record.Incarnation != machine.Record.Current) _ = EndOnceItAnswersAsync(machine, record);
            }
        }
    }

    /// <summary>What was wanted and not yet done: an interrupted start, pause or stop.</summary>
    private async Task SettleAsync(Machine machine)
    {
        await MachineLife.SettleAsync(machines, machine);
        foreach (var instance in machine.Instances)
        {
            var status = (await instance.Qmp.QueryStatusAsync(QmpDeadline, CancellationToken.None)).Status;
            if (instance.Incarnation != machine.Record.Current)
            {
                // Launched for a start or a move that nobody remembers.
                if (NeverRan(instance, status)) await machines.DropAsync(machine, instance);
            }
            else if (machine.Record is { IsOwner: true, Wanted: VmState.Running }
                && status is QmpRunStatus.Prelaunch or QmpRunStatus.Paused)
                await instance.Qmp.ContAsync(QmpDeadline, CancellationToken.None);
            else if (machine.Record is { IsOwner: true, Wanted: VmState.Paused } && status == QmpRunStatus.Running)
                await instance.Qmp.StopAsync(QmpDeadline, CancellationToken.None);
        }
    }

    /// <summary>
    /// Ending it loses nothing. One that has loaded a saved state is as unrun: the file is still there, and is loaded again.
    /// </summary>
    private static bool NeverRan(QemuInstance instance, string status) =>
        status is QmpRunStatus.Prelaunch or QmpRunStatus.InMigrate || (instance.Record.LoadsFile && status == QmpRunStatus.Paused);

    /// <summary>
    /// A QEMU that lives, does not answer, and is not the one that runs the VM: what it is shows when it answers. Never ran, it would
    /// be in the way of every later start. Never faults.
    /// </summary>
    private async Task EndOnceItAnswersAsync(Machine machine, InstanceRecord record)
    {
        for (var attempt = 0; attempt < SettleTriesMax; attempt++)
        {
            await Task.Delay(SettlePause, machines.Time);
            if (!machines.Processes.IsAlive(record.Process)) return;
            if (machine.HeldBy is not null || await ReconnectAsync(machines, machine, record) is not { } instance) continue;
            try
            {
                using (await machine.EnterAsync())
                {
                    if (machine.HeldBy is not null) continue; // A move has begun, and judges it.
                    if (machine.Record.Current == record.Incarnation || machines.Find(machine.Id) != machine) return;
                    if (NeverRan(instance, (await instance.Qmp.QueryStatusAsync(QmpDeadline, CancellationToken.None)).Status))
                        await machines.DropAsync(machine, instance);
                    return;
                }
            }
            catch (Exception failed) when (failed is IOException or QmpException)
            {
                SettleFailed(machines.Log, machine.Id.Value, failed.Message);
            }
        }
    }

    /// <summary>Of a QEMU that loads a saved state nothing runs before it is the current one. Never faults.</summary>
    private async Task EndUnrunAsync(Machine machine, InstanceRecord record)
    {
        for (var attempt = 0; attempt < SettleTriesMax; attempt++)
        {
            try
            {
                using (await machine.EnterAsync())
                {
                    if (machine.Record.Current == record.Incarnation || machines.Find(machine.Id) != machine) return;
                    await QemuInstance.KillAsync(machines.Processes, machine.Home, record);
                    await machines.BuryAsync(machine, record, r => r);
                    return;
                }
            }
            catch (IOException failed) { SettleFailed(machines.Log, machine.Id.Value, failed.Message); }
            await Task.Delay(SettlePause, machines.Time);
        }
    }

    /// <summary>
    /// QEMUs with a monitor in our run directory that no record names. Where the VM itself is known, the agent died
    /// between starting it and writing so: it is taken into the record.
    /// </summary>
    private async Task FindStraysAsync(CancellationToken cancel)
    {
        List<string> orphans = [];
        foreach (var (pid, vm, incarnation) in await OursAsync(cancel))
        {
            var machine = machines.Find(vm);
            if (machine?.Record.Instances.Any(i => i.Incarnation == incarnation) == true) continue;
            if (machine is not null && incarnation <= machine.Record.LastIncarnation && await HandleAsync(pid, cancel) is { } process)
            {
                await TakeInAsync(machine, incarnation, process, (await CommandLineAsync(pid, cancel) ?? "").Split('\n')[0]);
                continue;
            }
            orphans.Add($"process {pid} is a QEMU of {vm} that no record of this host knows; it was left alone");
            Orphan(machines.Log, orphans[^1]);
        }
        Orphans = orphans;
    }

    /// <summary>Every QEMU whose monitor lies in our run directory, known or not.</summary>
    internal async Task<IReadOnlyList<ProcessThing>> OursAsync(CancellationToken cancel)
    {
        List<ProcessThing> ours = [];
        foreach (var name in machines.Disk.List("/proc").Where(n => n.All(char.IsAsciiDigit)))
        {
            var pid = int.Parse(name, CultureInfo.InvariantCulture);
            if (await CommandLineAsync(pid, cancel) is not { } line || MonitorPath().Match(line) is not { Success: true } match) continue;
            if (match.Groups["dir"].Value != VmHome.VmsIn(machines.Layout.RunDirectory)) continue;
            ours.Add(new ProcessThing(pid, new VmId(match.Groups["vm"].Value),
                int.Parse(match.Groups["n"].Value, CultureInfo.InvariantCulture)));
        }
        return ours;
    }

    private async Task TakeInAsync(Machine machine, int incarnation, ProcessHandle process, string program)
    {
        var record = new InstanceRecord(
            incarnation, process, program, RamOf: incarnation, Taps.NamesOf(machine.Spec, incarnation), Cpus: null);
        await machines.ChangeAsync(machine, r => r with { Instances = [.. r.Instances, record] });
        Orphan(machines.Log, $"process {process.Pid} is a QEMU of {machine.Id} that an interrupted start left behind");
    }

    private async Task<ProcessHandle?> HandleAsync(int pid, CancellationToken cancel)
    {
        try
        {
            var bytes = await machines.Disk.ReadAsync($"/proc/{pid}/stat", CommandLineBytesMax, cancel);
            return bytes is not null && ProcessStat.Parse(Encoding.UTF8.GetString(bytes)) is { } stat
                ? new ProcessHandle(pid, stat.StartTicks) : null;
        }
        catch (IOException) { return null; } // Ended while we looked.
    }

    /// <summary>With the NULs between words turned into line ends; null for what is gone or not to be read.</summary>
    private async Task<string?> CommandLineAsync(int pid, CancellationToken cancel)
    {
        try
        {
            var bytes = await machines.Disk.ReadAsync($"/proc/{pid}/cmdline", CommandLineBytesMax, cancel);
            return bytes is null ? null : Encoding.UTF8.GetString(bytes).Replace('\0', '\n');
        }
        catch (IOException) { return null; } // Ended while we looked.
    }

    [GeneratedRegex(@"^unix:(?<dir>.*)/(?<vm>vm-[0-9a-f]{12})/qmp-(?<n>[0-9]{1,6})\.sock,server=on",
        RegexOptions.Multiline | RegexOptions.CultureInvariant)]
    private static partial Regex MonitorPath();

    [LoggerMessage(LogLevel.Information, "{Vm} ({Name}): found its QEMU again, process {Pid}")]
    private static partial void Adopted(ILogger log, string vm, string name, int pid);
    [LoggerMessage(LogLevel.Warning, "{Vm}: process {Pid} lives and does not answer: {Why}")]
    private static partial void Silent(ILogger log, string vm, int pid, string why);
    [LoggerMessage(LogLevel.Error, "{Vm}: its record is left alone: {Why}")]
    private static partial void RecordUnreadable(ILogger log, string vm, string why);
    [LoggerMessage(LogLevel.Error, "{Vm}: could not be settled: {Why}")]
    private static partial void SettleFailed(ILogger log, string vm, string why);
    [LoggerMessage(LogLevel.Warning, "{What}")]
    private static partial void Orphan(ILogger log, string what);
}
