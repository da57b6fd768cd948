using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Disks;

/// <summary>
/// Snapshots inside the files of a VM's disks: by its QEMU where it has one, else by qemu-img. Each step first looks what is there,
/// so an order may come again. That nobody else has the disk open is asked of the VM's record (its epoch), and proved by the lock that
/// QEMU and qemu-img take. What was begun is ended, whoever stops waiting for it: a tool killed in the middle leaves a disk to mend.
/// </summary>
internal sealed class VmSnapshots(HostMachines machines, Pools pools, IProcesses processes)
{
    private static readonly TimeSpan TablesMax = TimeSpan.FromMinutes(14), QuestionMax = TimeSpan.FromSeconds(15);

    private readonly QemuImg qemuImg = new(processes);

    public Task<SnapshotMade> MakeAsync(SnapshotOrder order, CancellationToken cancel) => AtAsync(order, async (machine, qemu) =>
    {
        DemandNotSaved(machine, order);
        var holding = await HoldingAsync(order, qemu, cancel);
        if (holding.Count == order.Spec.Disks.Count) return new SnapshotMade(qemu is not null);
        if (holding.Count > 0) // What broke off and goes on now would be of two moments.
            throw new RefusedException("snapshot-torn", $"only some disks of {order.Spec.Name} have {order.Tag}",
                "delete it and make a new one");
        if (qemu is not null)
            await AskAsync(() => qemu.Qmp.MakeDiskSnapshotsAsync(Nodes(order.Spec), order.Tag, TablesMax, CancellationToken.None));
        else
            foreach (var disk in order.Spec.Disks) await ByToolAsync(SnapshotAct.Make, order, disk);
        return new SnapshotMade(qemu is not null);
    });

    /// <summary>First the epoch, durable: whatever was ordered before, a start or another revert, comes too late from then on.</summary>
    public Task RevertAsync(SnapshotOrder order, CancellationToken cancel) => AtAsync(order, async (machine, qemu) =>
    {
        DemandNotSaved(machine, order);
        if (qemu is not null)
            throw new RefusedException("vm-running", $"{order.Spec.Name} has a QEMU here (process {qemu.Process.Pid})",
                $"stop it first ('godwit vm stop {order.Spec.Name}')");
        var holding = await HoldingAsync(order, null, cancel);
        if (order.Spec.Disks.FirstOrDefault(d => !holding.Contains(d)) is { } without)
            throw new RefusedException("snapshot-missing", $"{without.Pool}/{without.File} has no snapshot {order.Tag}",
                "nothing was changed; delete the snapshot, it cannot be had any more");
        await machines.ChangeAsync(machine, r => r with
        {
            Spec = order.Spec, Epoch = order.Epoch, IsOwner = true, Wanted = VmState.Stopped, Note = null,
        });
        foreach (var disk in order.Spec.Disks) await ByToolAsync(SnapshotAct.Revert, order, disk);
        return true;
    });

    public Task DropAsync(SnapshotOrder order, CancellationToken cancel) => AtAsync(order, async (_, qemu) =>
    {
        foreach (var disk in await HoldingAsync(order, qemu, cancel))
        {
            if (qemu is null) await ByToolAsync(SnapshotAct.Drop, order, disk);
            else
                await AskAsync(() => qemu.Qmp.DeleteDiskSnapshotAsync(
                    NodeOf(order.Spec, disk), order.Tag, TablesMax, CancellationToken.None));
        }
        return true;
    });

    /// <summary>With the VM's gate held: nothing of it begins or ends meanwhile.</summary>
    /// <param name="body">Told the QEMU that has the disks open; null: none of it is here.</param>
    private async Task<T> AtAsync<T>(SnapshotOrder order, Func<Machine, QemuInstance?, Task<T>> body)
    {
        VmSpecRules.Check(order.Spec);
        if (SnapshotRules.WhyNone(order.Spec) is { } none) throw new RefusedException([none]);
        if (!SnapshotRules.IsTag(order.Tag))
            throw new RefusedException("snapshot-tag-invalid", $"'{order.Tag}' is no snapshot's tag", "this is a fault of the caller");
        var machine = await machines.FindOrMakeAsync(new OwnerRecord
        {
            Spec = order.Spec, Epoch = order.Epoch, IsOwner = true, Wanted = VmState.Stopped,
        });
        using (await machine.EnterAsync())
        {
            await MachineLife.SettleAsync(machines, machine);
            if (order.Epoch < machine.Epoch || (order.Epoch == machine.Epoch && !machine.Record.IsOwner))
                throw HostMachines.Stale(machine, order.Epoch);
            HostMachines.RefuseIfHeld(machine);
            return await body(machine, Qemu(machine, order));
        }
    }

    private QemuInstance? Qemu(Machine machine, SnapshotOrder order)
    {
        if (machine.Record.Instances.FirstOrDefault(i => machines.Processes.IsAlive(i.Process)) is not { } alive) return null;
        return machine.IsOwnedAt(order.Epoch) && machine.Current is { } qemu && qemu.Incarnation == alive.Incarnation ? qemu
            : throw new RefusedException("qemu-silent",
                $"QEMU process {alive.Process.Pid} of {machine.Spec.Name} does not answer as its owner's",
                "wait and try again; if its host is healthy, 'godwit vm stop --force' ends it");
    }

    /// <summary>Those of its disks that have it.</summary>
    private async Task<IReadOnlyList<DiskSpec>> HoldingAsync(SnapshotOrder order, QemuInstance? qemu, CancellationToken cancel)
    {
        if (qemu is not null)
        {
            var nodes = await qemu.Qmp.QueryNamedBlockNodesAsync(QuestionMax, cancel);
            return [.. order.Spec.Disks.Where(disk =>
                nodes.Any(n => n.NodeName == NodeOf(order.Spec, disk) && n.Snapshots.Contains(order.Tag)))];
        }
        var holding = new List<DiskSpec>();
        foreach (var disk in order.Spec.Disks)
            if ((await qemuImg.SnapshotsAsync(PathOf(disk), order.Spec.Uid, cancel)).Contains(order.Tag)) holding.Add(disk);
        return holding;
    }

    private static void DemandNotSaved(Machine machine, SnapshotOrder order)
    {
        if (machine.Record.Wanted == VmState.Saved && order.Epoch == machine.Epoch)
            throw new RefusedException("vm-saved", $"{machine.Spec.Name} is saved: its memory belongs to its disk as it is",
                $"let it go on first: 'godwit vm resume {machine.Spec.Name}'");
    }

    private Task ByToolAsync(SnapshotAct act, SnapshotOrder order, DiskSpec disk) =>
        qemuImg.SnapshotAsync(act, order.Tag, PathOf(disk), order.Spec.Uid, CancellationToken.None);

    /// <summary>What QEMU refuses is a refusal; what it does not answer leaves open whether it was done.</summary>
    private static async Task AskAsync(Func<Task> ask)
    {
        try { await ask(); }
        catch (QmpException no) when (no.QemuWords.Length > 0)
        {
            throw new RefusedException("snapshot-failed", $"QEMU refuses: {no.QemuWords}", "check the pool's space on that host");
        }
    }

    private static IEnumerable<string> Nodes(VmSpec spec) => spec.Disks.Select(disk => NodeOf(spec, disk));

    private static string NodeOf(VmSpec spec, DiskSpec disk) => QemuCommandLine.DiskNode(spec.Disks.ToList().IndexOf(disk));

    private string PathOf(DiskSpec disk) => pools.PathOf(disk.Pool, disk.File);
}
