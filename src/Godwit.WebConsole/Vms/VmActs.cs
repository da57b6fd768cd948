using Godwit.Core.Vms;
using Godwit.Server.Api;

namespace Godwit.WebConsole.Vms;

/// <summary>What a person can do with a VM as it is now: nothing is offered that would be refused. Pure.</summary>
/// <param name="Name">The verb of the API and the command line.</param>
/// <param name="Done">What is told once it is done: "started".</param>
/// <param name="Question">Asked first; null: nothing is lost by it.</param>
/// <param name="Lost">What is, in a sentence.</param>
public sealed record VmAct(string Name, string Word, string Done, string? Question = null, string? Lost = null)
{
    /// <summary>End QEMU at once instead of asking the guest.</summary>
    public bool Force { get; init; }
    /// <summary>It runs before its memory is there, which comes out of its file as it is needed.</summary>
    public bool Lazily { get; init; }

    private static readonly VmAct start = new("start", "Start", "started"), pause = new("pause", "Pause", "paused"),
        resume = new("resume", "Resume", "goes on"),
        resumeLazily = new("resume", "Resume at once", "goes on; its memory comes as it is needed") { Lazily = true };

    public static IReadOnlyList<VmAct> Of(VmView vm) => vm.Operation is not null || vm.Frozen is { Count: > 0 } ? [] : vm.State switch
    {
        VmState.Running => [Restart(vm), pause, Save(vm), Stop(vm), PowerOff(vm)],
        VmState.Paused => [resume, Save(vm), PowerOff(vm)],
        VmState.Saved => [resume, resumeLazily],
        VmState.Stopped or VmState.Crashed => [start],
        _ => [],
    };

    private static VmAct Restart(VmView vm) => new("restart", "Restart", "restarted", $"Restart {vm.Spec.Name}?",
        "The guest is asked to shut down and begins anew: what it has in memory only is lost.");

    private static VmAct Save(VmView vm) => new("save", "Save", "saved", $"Save {vm.Spec.Name} to disk?",
        "Nothing is lost: its memory goes into a file and it stands still until it is resumed. What it serves is gone meanwhile.");

    private static VmAct Stop(VmView vm) => new("stop", "Stop", "stopped", $"Stop {vm.Spec.Name}?",
        "The guest is asked to shut down. What it serves is gone until it is started again.");

    private static VmAct PowerOff(VmView vm) => new("stop", "Power off", "powered off", $"Power {vm.Spec.Name} off?",
        "As if its plug were pulled: what it has in memory, and what it has not yet written to disk, is lost.") { Force = true };
}
