using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Server.Api;
using Godwit.Server.Draining;

namespace Godwit.Cli.Screens;

/// <summary>Drains in words and tables. Pure.</summary>
internal static class DrainText
{
    private static readonly string[] planHeadings = ["VM", "LEAVES", "TO", "MEMORY", "EST. TIME", "WHY"];
    private static readonly string[] headings = ["VM", "STATE", "TO", "MOVE", "TRIES", "WHY"];

    /// <summary>A host's state with what its drain adds: "draining 3/7", "drained", "blocked 2".</summary>
    public static string StateOf(HostView host) => host.State == HostState.Standby ? Words.Of(host.Power.Phase)
        : host.Drain is not { } drain || host.State is HostState.Unreachable or HostState.Fenced
        ? Words.Of(host.State) : StateOf(drain);

    public static string StateOf(Drain drain) => drain switch
    {
        { HasEnded: false, Kind: DrainKind.Away } => $"draining {Done(drain)}/{drain.Vms.Count}",
        { HasEnded: false } => $"restoring {Done(drain)}/{drain.Vms.Count}",
        { End: DrainEnd.Blocked } => $"blocked {drain.Count(DrainVmEnd.Blocked)}",
        { End: { } end } => Words.Of(end),
        _ => "?",
    };

    public static Sheet Plan(DrainPlan plan) => new(planHeadings, [.. plan.Steps.Select(Row)], $"Nothing is on {plan.Host}.");

    public static Sheet Of(Drain drain) => new(headings, [.. drain.Vms.Select(Row)], $"Nothing is to be moved for {drain.Host}.");

    /// <summary>Null where nothing is to be said of the sum.</summary>
    public static string? Sum(DrainPlan plan)
    {
        var moving = plan.Steps.Count(s => s.Mode is not null);
        var bytes = plan.Steps.Sum(s => s.MemoryBytes);
        return moving == 0 ? null : $"{Words.Counted(moving, "VM")} with {Amounts.Bytes(bytes)} of memory would leave {plan.Host}"
            + (plan.EtaSeconds is { } eta ? $", one after the other in about {Amounts.Age(TimeSpan.FromSeconds(eta))}"
                : "; the link's speed is not known")
            + ".";
    }

    private static IReadOnlyList<Cell> Row(DrainStep step) =>
    [
        new Cell(step.VmName, Tone.Strong),
        step.Mode is { } mode ? Words.Of(mode) : new Cell("stays", step.Blocks ? Tone.Bad : Tone.Dim),
        step.Target?.Value ?? "-",
        step.MemoryBytes > 0 ? Amounts.Bytes(step.MemoryBytes) : "-",
        step.EtaSeconds is { } eta && step.MemoryBytes > 0 ? Amounts.Age(TimeSpan.FromSeconds(eta)) : "-",
        step.Why.Count > 0 ? $"{step.Why[0].Cause}; {step.Why[0].Fix}" : "",
    ];

    private static IReadOnlyList<Cell> Row(DrainVm vm) =>
    [
        new Cell(vm.VmName, Tone.Strong),
        vm.End is { } end ? new Cell(Words.Of(end), end == DrainVmEnd.Blocked ? Tone.Bad : Tone.Good)
            : vm.Move is not null ? new Cell("moving", Tone.Warn) : new Cell("waits", Tone.Dim),
        vm.Target?.Value ?? "-", vm.Move?.Value ?? "-", Amounts.Count(vm.Tries),
        vm.Why.Count > 0 ? $"{vm.Why[0].Cause}; {vm.Why[0].Fix}" : "",
    ];

    private static int Done(Drain drain) => drain.Vms.Count(v => v.End is not null);
}
