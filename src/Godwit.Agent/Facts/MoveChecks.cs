using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Agent.Saved;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Facts;

/// <summary>The questions before a move, answered by this host. Nothing is changed by asking.</summary>
internal sealed class MoveChecks(HostMachines machines, HostFactsReader facts, KeptMemories kept, TimeProvider time)
{
    private readonly MachineLife life = new(machines);

    public async Task<SourceFacts> CheckSourceAsync(VmId id, CancellationToken cancel)
    {
        var vm = machines.Get(id);
        var report = await life.ReportAsync(vm, cancel);
        var nothing = new SourceFacts
        {
            State = report.State, Epoch = report.Epoch, QemuVersion = "none", Blockers = [], Devices = [],
            Clock = time.GetUtcNow(), StorageFailed = report.StorageFailed,
        };
        if (vm.Current is not { } qemu || report.State == VmState.Unknown) return nothing;
        var migration = await qemu.Qmp.QueryMigrateAsync(QmpMoves.Deadline, cancel);
        return nothing with
        {
            QemuVersion = qemu.Qmp.Version,
            Blockers = vm.Record.MemoryElsewhere is { } where ? [$"part of its memory is still {where}; wait some seconds"]
                : migration.BlockedReasons,
            Devices = await CanonicalDevices.ListAsync(qemu), Clock = time.GetUtcNow(),
            UntouchedBytes = Untouched(qemu), MemoryAvailableBytes = await facts.MemoryLeftAsync(cancel),
        };
    }

    /// <summary>In reserved pages all of it is the guest's own from the start.</summary>
    private long Untouched(QemuInstance qemu)
    {
        try
        {
            if (machines.Disk.FileSystemOf(VmHome.VmsIn(machines.Layout.RunDirectory)) != "tmpfs") return 0;
            using var memory = machines.Disk.OpenMemory(qemu.RamPath);
            return Math.Max(0, memory.LengthBytes - memory.AllocatedBytes);
        }
        catch (Exception failed) when (PageSamples.IsNoMemory(failed)) { return 0; }
    }

    public async Task<TargetFacts> CheckTargetAsync(VmSpec spec, CancellationToken cancel)
    {
        VmSpecRules.Check(spec);
        var host = await facts.ReadAsync([], cancel);
        var standing = await facts.StandingAsync(cancel);
        var vm = machines.Find(spec.Id);
        var own = kept.BytesOf(spec.Id); // It is given back page by page as the same pages come to be the guest's.
        return new TargetFacts
        {
            Host = host with
            {
                MemoryAvailableBytes = host.MemoryAvailableBytes + own, RamFileSpaceBytes = host.RamFileSpaceBytes + own,
            },
            UnreachableDisks = await machines.UnreachableDisksAsync(spec, cancel),
            MissingBridges = [.. spec.Nics.Select(n => n.Bridge).Distinct().Except(host.Bridges)],
            MissingCpuFeatures = standing.Qemus.Count == 0 ? []
                : standing.Qemus[0].Missing.TryGetValue(spec.CpuModel, out var missing) ? missing
                : [$"the model {spec.CpuModel} itself"],
            AlreadyHere = vm is not null && vm.Record.Instances.Any(i => machines.Processes.IsAlive(i.Process)),
        };
    }
}
