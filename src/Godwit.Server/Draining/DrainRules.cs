using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;

namespace Godwit.Server.Draining;

/// <summary>What a drain does next. Pure.</summary>
public static class DrainRules
{
    /// <summary>One move crosses while the next is being prepared; more would only choose their targets too early.</summary>
    public const int AtOnceMax = 2;
    /// <summary>A VM that failed so often stays, and is told; one that is tried for ever holds up the host for ever.</summary>
    public const int TriesMax = 3;
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(10);

    /// <summary>VMs that are on the host and not yet in the record.</summary>
    public static Drain WithNewcomers(Drain drain, IReadOnlyList<Vm> there)
    {
        var known = drain.Vms.Select(v => v.Vm).ToHashSet();
        var back = there.Where(vm => !known.Contains(vm.Spec.Id)).ToList();
        return back.Count == 0 ? drain
            : drain with { Vms = [.. drain.Vms, .. DrainPlanner.InOrder(back).Select(vm => new DrainVm(vm.Spec.Id, vm.Spec.Name))] };
    }

    public static bool IsToStop(Drain drain, DateTimeOffset now) => drain.CancelRequested || now >= drain.Limits.Deadline;

    /// <summary>Those to look at now, in their order.</summary>
    public static IReadOnlyList<DrainVm> Next(Drain drain, int underWay, DateTimeOffset now) =>
        [.. drain.Vms.Where(v => v is { End: null, Move: null } && !(now < v.NotBefore)).Take(Math.Max(0, AtOnceMax - underWay))];

    /// <summary>What becomes of it, and the move it gets; no move where it needs none or cannot have one.</summary>
    public static (DrainVm Part, MoveMode? Mode) Look(Drain drain, DrainVm part, Vm? vm)
    {
        if (vm is null) return (part with { End = DrainVmEnd.Gone }, null);
        var isHere = vm.Owner == drain.Host;
        if (drain.Kind == DrainKind.Back)
        {
            if (isHere) return (part with { End = DrainVmEnd.Moved }, null);
            if (part.Target is { } left && vm.Owner != left) return (part with { End = DrainVmEnd.Gone }, null);
        }
        else if (!isHere) return (part with { End = part.Tries > 0 ? DrainVmEnd.Moved : DrainVmEnd.Gone }, null);

        var running = drain.Limits.QuickWhereBlocked && part.Tries >= TriesMax ? MoveMode.Quick : drain.Limits.Mode;
        var (mode, blocks, why) = DrainPlanner.WayOf(vm, running);
        return mode is not null ? (part, mode)
            : (part with { End = blocks ? DrainVmEnd.Blocked : DrainVmEnd.Stays, Why = why is null ? [] : [why] }, null);
    }

    public static DrainVm AfterMove(Drain drain, DrainVm part, Migration? move, DateTimeOffset now) => move switch
    {
        null => part with { Move = null },
        { End: MoveEnd.Done } => part with { End = DrainVmEnd.Moved, Why = [] },
        // Told so while the drain goes on: that is a person's word about this VM.
        { End: MoveEnd.Cancelled } when !IsToStop(drain, now) => part with
        {
            End = DrainVmEnd.Blocked,
            Why = [new("move-cancelled", $"its move {move.Id} was cancelled", "drain again to move it")],
        },
        { End: MoveEnd.NeedsOperator } => part with
        {
            End = DrainVmEnd.Blocked,
            Why = [new("move-in-doubt", move.Reason ?? "its move ended in doubt", $"'godwit migration show {move.Id}'")],
        },
        _ => Again(drain, part, move.Refusals.Count > 0 ? move.Refusals
            : [new("move-failed", move.Reason ?? "its move did not succeed", $"'godwit migration show {move.Id}'")], now),
    };

    /// <summary>Somebody else is doing something with it: that is waited for and is no try.</summary>
    public static DrainVm AfterRefusal(
        Drain drain, DrainVm part, MoveMode mode, IReadOnlyList<Refusal> reasons, DateTimeOffset now) =>
        reasons.Any(r => r.Code == "vm-busy") ? part with { Mode = mode, NotBefore = now + FirstPause, Why = reasons }
            // A pin lasts: trying again would only keep the drain waiting.
            : reasons.Any(r => r.Code == PlacementCheck.PinnedCode)
            ? part with { Mode = mode, End = mode == MoveMode.Cold ? DrainVmEnd.Stays : DrainVmEnd.Blocked, Why = reasons }
            : Again(drain, part with { Mode = mode, Tries = part.Tries + 1 }, reasons, now);

    private static DrainVm Again(Drain drain, DrainVm part, IReadOnlyList<Refusal> why, DateTimeOffset now)
    {
        var triesMax = TriesMax + (drain.Limits.QuickWhereBlocked && drain.Limits.Mode == MoveMode.Live ? 1 : 0);
        return part.Tries >= triesMax ? part with { Move = null, End = DrainVmEnd.Blocked, Why = why }
            : part with { Move = null, NotBefore = now + FirstPause * part.Tries, Why = why };
    }

    /// <summary>Null while it goes on.</summary>
    public static DrainEnd? IsOver(Drain drain, DateTimeOffset now)
    {
        if (drain.Vms.Any(v => v is { End: null, Move: not null })) return null; // Moves under way end as they do.
        if (drain.CancelRequested) return DrainEnd.Cancelled;
        if (drain.Vms.Any(v => v.End is null)) return now >= drain.Limits.Deadline ? DrainEnd.DeadlinePassed : null;
        return drain.Kind == DrainKind.Back ? DrainEnd.Returned
            : drain.Count(DrainVmEnd.Blocked) > 0 ? DrainEnd.Blocked : DrainEnd.Drained;
    }

    public static Drain With(Drain drain, DrainVm part) =>
        drain with { Vms = [.. drain.Vms.Select(v => v.Vm == part.Vm ? part : v)] };

    /// <param name="live">QEMUs that were found on the host by looking there: their VM's name, or a process no record names.</param>
    public static string Sentence(Drain drain, DrainEnd end, IReadOnlyList<string> live)
    {
        var blocked = drain.Vms.Where(v => v.End == DrainVmEnd.Blocked).Select(v => v.VmName).Union(live).ToList();
        var moved = drain.Count(DrainVmEnd.Moved);
        return end switch
        {
            DrainEnd.Drained => $"drained, {moved} VMs moved; no QEMU is left on it: it may be switched off",
            DrainEnd.Blocked => $"{moved} VMs moved, {blocked.Count} stay: "
                + $"{string.Join(", ", blocked.Take(5))}{(blocked.Count > 5 ? " …" : "")}",
            DrainEnd.Cancelled => $"cancelled after {moved} VMs had moved"
                + (drain is { Kind: DrainKind.Away, WasCordoned: false } ? "; it takes VMs again" : ""),
            DrainEnd.DeadlinePassed => $"its deadline passed with {drain.Vms.Count(v => v.End is null)} VMs left; {moved} moved",
            DrainEnd.Returned => $"{moved} VMs are back"
                + (drain.Count(DrainVmEnd.Blocked) is > 0 and var stuck ? $", {stuck} could not be moved" : ""),
            _ => "it does not answer",
        };
    }
}
