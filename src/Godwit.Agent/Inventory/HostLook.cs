using System.Globalization;
using System.Text.RegularExpressions;
using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Inventory;

namespace Godwit.Agent.Inventory;

/// <summary>
/// What lies on this host, by name: processes, taps, memory, directories, cgroups, links that are waited for. Reads
/// only.
/// </summary>
internal sealed partial class HostLook(HostMachines machines, MachineAdoption adoption, LinkTickets tickets, MoveDesk moves)
{
    public async Task<HostThings> TakeAsync(CancellationToken cancel)
    {
        // Processes first: one that begins meanwhile is in its record by the time that is read.
        var processes = await adoption.OursAsync(cancel);
        var (run, state) = (VmHome.VmsIn(machines.Layout.RunDirectory), VmHome.VmsIn(machines.Layout.StateDirectory));
        var runDirectories = machines.Disk.List(run).Where(n => VmName().IsMatch(n)).Select(n => new VmId(n)).ToList();
        var recordDirectories = machines.Disk.List(state).Where(n => VmName().IsMatch(n)).Select(n => new VmId(n)).ToList();
        var (taps, shares) = (machines.Disk.List("/sys/class/net"), machines.Processes.Shares);
        var memory = runDirectories
            .SelectMany(vm => machines.Disk.List(Path.Combine(run, vm.Value)).Select(n => (Vm: vm, Match: RamName().Match(n))))
            .Where(m => m.Match.Success).Select(m => new MemoryThing(
                m.Vm, int.Parse(m.Match.Groups["n"].Value, CultureInfo.InvariantCulture), Path.Combine(run, m.Vm.Value, m.Match.Value)))
            .ToList();
        var idle = new List<MoveId>();
        // Who expects a test's link, or one for memory, forgets it.
        foreach (var move in tickets.Waiting.Where(link => !LinkTest.IsTest(link) && !MemoryLink.IsOne(link)))
            if (MoveBoard.IsResting((await moves.QueryAsync(move)).Standing)) idle.Add(move);
        var empty = recordDirectories.Where(vm =>
            machines.Find(vm) is null && !machines.Disk.List(Path.Combine(state, vm.Value)).Contains("owner.json")).ToList();
        return new HostThings
        {
            Records = [.. machines.All.Select(Record)],
            Unreadable = [.. adoption.UnreadableRecords.Select(u => u.Vm)],
            Processes = processes,
            Taps = taps,
            MemoryFiles = memory,
            RunDirectories = runDirectories,
            EmptyRecordDirectories = empty,
            Shares = shares,
            IdleTickets = idle,
        };
    }

    private RecordThing Record(Machine machine) => new(machine.Id, machine.Record.IsOwner, machine.HeldBy is not null,
    [
        .. machine.Record.Instances.Select(i => new InstanceThing(
            i.Incarnation, i.RamOf, i.Process.Pid, machines.Processes.IsAlive(i.Process), i.Taps)),
    ]);

    [GeneratedRegex("^vm-[0-9a-f]{12}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex VmName();

    [GeneratedRegex("^ram-(?<n>[0-9]{1,6})\\z", RegexOptions.CultureInvariant)]
    private static partial Regex RamName();
}
