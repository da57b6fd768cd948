using Godwit.Client;
using Godwit.Core.Hosts;
using Godwit.Server.Api;
using Godwit.Server.Draining;

namespace Godwit.WebConsole.HostViews;

/// <summary>Drains in words, as `godwit host drain` and `host list` have them. Pure.</summary>
public static class DrainWords
{
    public static string StateOf(HostView host) => host.State == HostState.Standby ? Words.Of(host.Power.Phase)
        : host.Drain is not { } drain || host.State is HostState.Unreachable or HostState.Fenced ? Words.Of(host.State) : StateOf(drain);

    public static string StateOf(Drain drain) => drain switch
    {
        { HasEnded: false, Kind: DrainKind.Away } => $"draining {Done(drain)}/{drain.Vms.Count}",
        { HasEnded: false } => $"restoring {Done(drain)}/{drain.Vms.Count}",
        { End: DrainEnd.Blocked } => $"blocked {drain.Count(DrainVmEnd.Blocked)}",
        { End: { } end } => Words.Of(end),
        _ => "?",
    };

    public static Tone ToneOf(Drain drain) => drain.End switch
    {
        null => Tone.Plain,
        DrainEnd.Drained or DrainEnd.Returned => Tone.Good,
        DrainEnd.Cancelled => Tone.Dim,
        _ => Tone.Bad,
    };

    public static int Done(Drain drain) => drain.Vms.Count(vm => vm.End is not null);

    /// <summary>A host emptied by it, and closed since: it may be switched off.</summary>
    public static bool IsSafeToPowerOff(HostView host) =>
        host is { State: HostState.Cordoned, Drain: { Kind: DrainKind.Away, End: DrainEnd.Drained } };

    /// <summary>There is something that a restore could bring back, or a door that it opens.</summary>
    public static bool IsToBringBack(HostView host) =>
        host is { State: HostState.Cordoned or HostState.Ready, Drain: { Kind: DrainKind.Away, HasEnded: true } };

    public static (string Text, Tone Tone) Of(DrainVm vm) => vm switch
    {
        { End: { } end } => (Words.Of(end), end == DrainVmEnd.Blocked ? Tone.Bad : Tone.Good),
        { Move: not null } => ("moving", Tone.Plain),
        { Why.Count: > 0 } => ("tried again", Tone.Warn),
        _ => ("waits", Tone.Dim),
    };

    /// <summary>What would leave and how long that takes; null where nothing would.</summary>
    public static string? Sum(DrainPlan plan)
    {
        var moving = plan.Steps.Count(step => step.Mode is not null);
        return moving == 0 ? null
            : $"{Words.Counted(moving, "VM")} with {Amounts.Bytes(plan.Steps.Sum(step => step.MemoryBytes))} of memory"
            + (plan.EtaSeconds is { } eta ? $", one after the other in about {Amounts.Milliseconds(Math.Max(1, Math.Ceiling(eta)) * 1000)}"
                : "; the link's speed is not known");
    }
}
