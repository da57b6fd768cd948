using Godwit.Core.Migration;
using Godwit.Core.Vms;

namespace Godwit.Core.Quoting;

/// <summary>What stands behind a quote beside memory and path, for people to judge it by.</summary>
/// <param name="Devices">Null where no move told yet.</param>
/// <param name="Headroom">Source and target, those of them whose load is known.</param>
public sealed record QuoteFacts(DeviceFigures? Devices, IReadOnlyList<Headroom> Headroom);

/// <param name="FreeCores">Processors' worth that nobody takes just now.</param>
/// <param name="Cores">Those there are.</param>
public sealed record Headroom(HostId Host, double FreeCores, int Cores)
{
    /// <summary>
    /// A move takes about half of a processor on either side for each Gbit/s (QEMU's copying, packing, TLS; reckoned, not measured), and
    /// crosses slower where it does not get that.
    /// </summary>
    public bool IsScarce => FreeCores < 0.6;
}

/// <summary>What the devices of a VM cost a switch-over, as seen in moves: of its own, or of VMs of its shape.</summary>
/// <param name="StateBytes">Their state; null where no refresh or lazy move told, in which nothing else is in the stream.</param>
/// <param name="LoadMs">
/// That a target's QEMU still took to load them once the last byte was there; middle of the live and quick moves. Null: none told.
/// </param>
/// <param name="Moves">Whose load time it is.</param>
/// <param name="IsOwn">False: of others of its shape.</param>
public sealed record DeviceFigures(long? StateBytes, double? LoadMs, int Moves, bool IsOwn)
{
    /// <summary>
    /// What has a say in the size of the state; not how large disks are or what kind they are of.
    /// </summary>
    public static string ShapeOf(VmSpec vm) =>
        FormattableString.Invariant($"{vm.MachineType} {vm.Cpus} {vm.Disks.Count} {vm.Nics.Count} {vm.Display} {vm.Accelerator}");

    /// <param name="ended">Of the whole cluster, newest first.</param>
    /// <param name="isAlike">VMs of the same shape, itself among them.</param>
    public static DeviceFigures? Of(IReadOnlyCollection<Migration.Migration> ended, VmId vm, Func<VmId, bool> isAlike)
    {
        var moves = ended.Where(m => m is { End: MoveEnd.Done, Receipt: not null } && isAlike(m.Vm)).ToList();
        var loads = moves.Where(m => m.Mode is MoveMode.Live or MoveMode.Quick or MoveMode.Hybrid)
            .Where(m => m.Receipt!.PauseParts is not null).ToList();
        var isOwn = loads.Exists(m => m.Vm == vm);
        if (isOwn) loads.RemoveAll(m => m.Vm != vm);
        var newest = loads.Take(LearnedFromMoves.NewestMax).ToList();
        var states = moves.Where(m => m.Mode is MoveMode.Lazy or MoveMode.Refresh).Select(StateOf).Where(bytes => bytes > 0)
            .Take(LearnedFromMoves.NewestMax).ToList();
        return loads.Count + states.Count == 0 ? null : new DeviceFigures(
            states.Count == 0 ? null : (long)LearnedFromMoves.Quantile(states, 0.5),
            newest.Count == 0 ? null : LearnedFromMoves.Quantile(newest.Select(m => m.Receipt!.PauseParts!.LoadMs), 0.5),
            newest.Count, isOwn);
    }

    private static double StateOf(Migration.Migration move) =>
        move.Mode == MoveMode.Lazy ? move.Receipt!.StreamBytes : move.Receipt!.WireBytes;
}
