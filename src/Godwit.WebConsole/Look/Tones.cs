using Godwit.Client;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;

namespace Godwit.WebConsole.Look;

/// <summary>What a state means to a reader, and its class in the style sheet. Never colour alone: a word stands by it.</summary>
public static class Tones
{
    public static Tone Of(HostState state) => state switch
    {
        HostState.Ready => Tone.Good,
        HostState.Cordoned => Tone.Warn,
        HostState.Standby => Tone.Dim,
        _ => Tone.Bad,
    };

    public static Tone Of(VmState state) => state switch
    {
        VmState.Running => Tone.Good,
        VmState.Paused or VmState.Saved => Tone.Warn,
        VmState.Stopped => Tone.Dim,
        _ => Tone.Bad,
    };

    public static Tone Of(Migration move) => move.End is { } end ? MoveText.EndTone(end) : Tone.Plain;

    public static string Class(this Tone tone) => tone switch
    {
        Tone.Good => "good",
        Tone.Warn => "warn",
        Tone.Bad => "bad",
        Tone.Dim => "dim",
        _ => "plain",
    };
}
