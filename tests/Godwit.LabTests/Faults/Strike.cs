using Godwit.Core.Migration;
using Godwit.Tests;

namespace Godwit.LabTests.Faults;

/// <summary>When a killed agent is started again, as its service manager would a little sooner or later.</summary>
internal enum Return
{
    /// <summary>At once; what was held is let go then.</summary>
    AtOnce,
    /// <summary>It takes orders again before the move is let go.</summary>
    BeforeLettingGo,
    /// <summary>Once the server has had its "no answer".</summary>
    OnceMissed,
    /// <summary>Only when the move has ended without it.</summary>
    AfterTheMove,
}

/// <summary>One kill -9 at one moment of a move, and how docs/design/failure-table.md says that it ends.</summary>
/// <param name="Moment">Where in the phase, in words; empty where the table makes no difference.</param>
/// <param name="HeldAt">Fail-points that must have been reached; none: the memory phase, held by a low bandwidth.</param>
internal sealed record Strike(Phase Phase, string Process, string Moment, MoveEnd End, IReadOnlyList<string> HeldAt)
{
    public MoveMode Mode { get; init; } = MoveMode.Live;
    /// <summary>The only copy of the guest's memory goes with it: the VM has crashed, and is started again.</summary>
    public bool GuestDies { get; init; }
    /// <summary>The target's agent dies with its QEMU, before it could tell what it knew.</summary>
    public bool WithItsAgent { get; init; }

    public string Cell => $"{FailureTable.Word(Phase)} × {Process}{(Moment.Length == 0 ? "" : ": ")}{Moment}";

    public Return Return => (Phase, Process) switch
    {
        (Phase.Queued, _) or (Phase.Disks, "target agent") => Return.BeforeLettingGo,
        (Phase.Preparing, "target agent") => Return.AtOnce, // It must take its candidate back.
        (Phase.Checking or Phase.Preparing, _) => Return.AfterTheMove,
        (Phase.Disks, _) => Return.OnceMissed,
        _ => Return.AtOnce,
    };

    /// <summary>Here a moment decides; which, the table says behind its ends.</summary>
    private static readonly Strike[] Switching =
    [
        At("server", "before the token", MoveEnd.Done, "outgoing.before-token"),
        At("server", "after the intent", MoveEnd.Done, "incoming.after-intent"),
        At("source agent", "before the token", MoveEnd.RolledBack, "outgoing.before-token"),
        At("source agent", "after the token", MoveEnd.Done, "outgoing.after-token"),
        At("target agent", "before its intent", MoveEnd.RolledBack, "incoming.before-intent"),
        At("target agent", "after its intent", MoveEnd.Done, "incoming.after-intent"),
        At("target agent", "after cont", MoveEnd.Done, "incoming.after-cont"),
        // A quick move stands still from its first byte on: the stream of a live one is over too soon to be struck.
        At("source QEMU", "stopped, stream not complete", MoveEnd.NeedsOperator) with { Mode = MoveMode.Quick, GuestDies = true },
        At("source QEMU", "completed, token not sent", MoveEnd.Done, "outgoing.before-token"),
        At("source QEMU", "after the token", MoveEnd.Done, "incoming.after-intent"),
        At("target QEMU", "before cont", MoveEnd.RolledBack, "incoming.after-intent"),
        At("target QEMU", "after cont", MoveEnd.Done, "incoming.before-settling") with { GuestDies = true },
        At("target QEMU", "after cont, unheard", MoveEnd.NeedsOperator, "incoming.after-cont") with
            { GuestDies = true, WithItsAgent = true },
    ];

    /// <summary>One for every end of every cell of the table.</summary>
    public static IReadOnlyList<Strike> All { get; } =
        [.. FailureTable.Rows().Where(r => r.End != FailureTable.Absent).SelectMany(Of)];

    private static IEnumerable<Strike> Of(FailureRow row)
    {
        var phase = FailureTable.PhaseOf(row);
        if (phase == Phase.Switching) return Switching.Where(s => s.Process == row.Process);
        var dies = row.Process == (phase < Phase.Verifying ? "source QEMU" : "target QEMU");
        return [new Strike(phase, row.Process, "", FailureTable.EndsOf(row).Single(), PlacesIn(phase, row.Process)) { GuestDies = dies }];
    }

    private static string[] PlacesIn(Phase phase, string process) => (phase, process) switch
    {
        (Phase.Preparing, "server" or "target agent" or "target QEMU") => ["incoming.prepared"], // The candidate is there.
        (Phase.Queued or Phase.Checking or Phase.Preparing or Phase.Disks, _) => [Holds.AtServer(phase)],
        (Phase.Memory, _) => [],
        (Phase.Verifying or Phase.Cleaning, "source agent" or "source QEMU") => [Holds.AtServer(phase), "outgoing.before-burial"],
        (Phase.Verifying or Phase.Cleaning, _) => [Holds.AtServer(phase)],
        _ => throw new InvalidOperationException($"no way is known to hold a move in {phase}: add its fail-point, and its cells"),
    };

    private static Strike At(string process, string moment, MoveEnd end, params string[] heldAt) =>
        new(Phase.Switching, process, moment, end, heldAt);
}
