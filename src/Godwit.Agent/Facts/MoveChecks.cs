using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Facts;

/// <summary>The questions before a move, answered by this host. Nothing is changed by asking.</summary>
internal sealed class MoveChecks(
    HostMachines machines, HostFactsReader facts, IProcesses processes, HostLayout layout, TimeProvider time)
{
    private static readonly TimeSpan OpenMax = TimeSpan.FromSeconds(20);

    public async Task<SourceFacts> CheckSourceAsync(VmId id, CancellationToken cancel)
    {
        var vm = machines.Get(id);
        if (vm.Current is not { } qemu)
            return new SourceFacts
            {
                State = vm.Record.Wanted, Epoch = vm.Epoch, QemuVersion = "none", Blockers = [], Devices = [], Clock = time.GetUtcNow(),
            };
        var migration = await qemu.Qmp.QueryMigrateAsync(QmpMoves.Deadline, cancel);
        return new SourceFacts
        {
            State = vm.Record.Wanted, Epoch = vm.Epoch, QemuVersion = qemu.Qmp.Version, Blockers = migration.BlockedReasons,
            Devices = await CanonicalDevices.ListAsync(qemu), Clock = time.GetUtcNow(),
        };
    }

    public async Task<TargetFacts> CheckTargetAsync(VmSpec spec, CancellationToken cancel)
    {
        var host = await facts.ReadAsync([], cancel);
        var standing = await facts.StandingAsync(cancel);
        var vm = machines.Find(spec.Id);
        return new TargetFacts
        {
            Host = host,
            UnreachableDisks = await UnreachableAsync(spec, cancel),
            MissingBridges = [.. spec.Nics.Select(n => n.Bridge).Distinct().Except(host.Bridges)],
            MissingCpuFeatures = standing.Qemus.Count == 0 ? []
                : standing.Qemus[0].Missing.TryGetValue(spec.CpuModel, out var missing) ? missing : [$"the model {spec.CpuModel} itself"],
            AlreadyHere = vm is not null && vm.Record.Instances.Any(i => processes.IsAlive(i.Process)),
        };
    }

    /// <summary>Tried as the VM's own uid, the one that will open them; the pool being there is not enough.</summary>
    private async Task<IReadOnlyList<string>> UnreachableAsync(VmSpec spec, CancellationToken cancel)
    {
        List<string> unreachable = [];
        foreach (var disk in spec.Disks)
        {
            if (!layout.Pools.TryGetValue(disk.Pool, out var pool))
            {
                unreachable.Add($"{disk.Pool}/{disk.File}: this host has no pool '{disk.Pool}'");
                continue;
            }
            var path = Path.Combine(pool.Directory, disk.File);
            List<string> test = ["-f", path, "-a", "-r", path, "-a", "-w", path];
            if (disk.BackingFile is { } backing) test.AddRange(["-a", "-r", Path.Combine(pool.Directory, backing)]);
            var opens = await processes.RunAsync(new Command("test", test, spec.Uid), OpenMax, cancel);
            if (opens.ExitCode != 0)
                unreachable.Add($"{disk.Pool}/{disk.File}: not there, or not readable and writable for uid {spec.Uid}");
        }
        return unreachable;
    }
}
