using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Hosts;
using Godwit.Server.Placing;

namespace Godwit.Server.Draining;

/// <summary>How each VM of a host leaves it, and where to. Pure.</summary>
public static class DrainPlanner
{
    /// <summary>What a link carries of its nominal speed, with TLS and frames (lab-measured: 0.94 and more).</summary>
    private const double LinkShare = 0.9;

    /// <summary>How this VM may leave now; or why not, and whether that keeps the host from being switched off.</summary>
    public static (MoveMode? Mode, bool Blocks, Refusal? Why) WayOf(Vm vm, MoveMode running) => vm.State switch
    {
        VmState.Running or VmState.Paused => (running, false, null),
        VmState.Stopped or VmState.Crashed => (MoveMode.Cold, false, null),
        VmState.Saved => (null, false, new("vm-saved", $"{vm.Spec.Name} is saved: nothing of it runs, its state lies on the pool",
            $"bring it back elsewhere: 'godwit vm resume {vm.Spec.Name} --host HOST'")),
        _ => (null, true, new("vm-unknown", $"nobody can prove where {vm.Spec.Name} runs",
            $"'godwit vm show {vm.Spec.Name}', then 'godwit migration repair'")),
    };

    /// <summary>
    /// The largest first, each to the best host after those before it: not all to a single one. The scene is
    /// as of now; each move chooses again when it begins.
    /// </summary>
    public static DrainPlan Plan(HostId host, IReadOnlyList<Vm> vms, PlacementScene scene, DrainLimits limits)
    {
        scene = scene.WithDrainOf(host);
        var view = scene.View;
        var rooms = scene.Rooms.ToDictionary(r => r.Host.Id);
        var home = rooms.GetValueOrDefault(host);
        List<DrainStep> steps = [];
        long shortBytes = 0;
        foreach (var vm in InOrder(vms))
        {
            var (mode, blocks, why) = WayOf(vm, limits.Mode);
            if (mode is null)
            {
                steps.Add(new(vm.Spec.Id, vm.Spec.Name, null, null, 0, null, blocks, why is null ? [] : [why]));
                continue;
            }
            var part = scene.Of(vm);
            var pick = HostPick.Best(view, part, to => to != host, limits.TakesPinned ? Overridden.Pin : Overridden.None);
            var runs = mode != MoveMode.Cold;
            if (pick.Host is not { } target)
            {
                if (pick.Against.Any(r => r.Code == "memory-short")) shortBytes += vm.Spec.MemoryBytes + Host.QemuOverheadBytes;
                steps.Add(new(vm.Spec.Id, vm.Spec.Name, null, null, 0, null, Blocks: runs, pick.Against));
                continue;
            }
            view = view.With(part, target);
            steps.Add(new(vm.Spec.Id, vm.Spec.Name, mode, target, runs ? vm.Spec.MemoryBytes : 0,
                runs ? Seconds(vm.Spec.MemoryBytes, home, rooms[target]) : 0, false, []));
        }
        return new DrainPlan(host, steps, shortBytes, Sum(steps), Objections(host, steps, shortBytes, home, limits));
    }

    /// <summary>Large ones while there is most choice; and a name decides, so that a plan is the same twice.</summary>
    public static IEnumerable<Vm> InOrder(IEnumerable<Vm> vms) =>
        vms.OrderByDescending(vm => vm.Spec.MemoryBytes).ThenBy(vm => vm.Spec.Name, StringComparer.Ordinal);

    private static List<Refusal> Objections(
        HostId host, IReadOnlyList<DrainStep> steps, long shortBytes, HostRoom? home, DrainLimits limits)
    {
        List<Refusal> reasons = [];
        if (home is { Host.Answers: false })
            reasons.Add(new("host-unreachable", $"{host} does not answer: nothing can be moved off it",
                "wait until it answers; a host that is dead is recovered, not drained"));
        var blocked = steps.Where(s => s.Blocks).ToList();
        if (blocked.Count > 0 && !limits.AllowPartial)
            reasons.Add(new("drain-incomplete",
                $"{Names(blocked)} cannot leave {host}"
                + (shortBytes > 0 ? $"; {shortBytes >> 20} MiB of memory are missing elsewhere" : "")
                + $": {(blocked[0].Why.Count > 0 ? blocked[0].Why[0].Cause : "no host takes it")}",
                "make room, or drain what can leave: 'godwit host drain " + host + " --allow-partial'"));
        return reasons;
    }

    private static string Names(List<DrainStep> steps) => steps.Count <= 3 ? string.Join(", ", steps.Select(s => s.VmName))
        : $"{string.Join(", ", steps.Take(3).Select(s => s.VmName))} and {steps.Count - 3} more";

    private static double? Sum(IReadOnlyList<DrainStep> steps)
    {
        double sum = 0;
        foreach (var step in steps.Where(s => s.Mode is not null))
        {
            if (step.EtaSeconds is not { } seconds) return null;
            sum += seconds;
        }
        return sum;
    }

    private static double? Seconds(long bytes, HostRoom? source, HostRoom target)
    {
        var speed = Math.Min(BitsPerSecond(source), BitsPerSecond(target));
        return speed == 0 ? null : bytes * 8 / (speed * LinkShare);
    }

    private static long BitsPerSecond(HostRoom? room) =>
        room?.Host.Facts?.Links.Select(l => l.SpeedBitsPerSecond).DefaultIfEmpty(0).Max() ?? 0;
}
