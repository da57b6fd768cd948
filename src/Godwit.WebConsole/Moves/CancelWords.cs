using Godwit.Core.Migration;

namespace Godwit.WebConsole.Moves;

/// <summary>What cancelling would do, and did: never more than is known. Pure.</summary>
public static class CancelWords
{
    /// <summary>False: the hand-over is under way, or it is over.</summary>
    public static bool IsPossible(Migration move) =>
        move is { End: null, CancelRequested: false } && (move.Phase < Phase.Switching || IsFollowed(move));

    /// <summary>The sentence beside the button; null where there is nothing to say.</summary>
    public static string? Of(Migration move) => move switch
    {
        { End: null, CancelRequested: true } => "Cancel was asked for. Both hosts are asked where the guest is before anything is said.",
        { End: null, Phase: Phase.Switching } => "Too late to cancel: the guest is being handed over.",
        { End: null, Phase: Phase.Verifying } when IsFollowed(move) =>
            "The guest is at its new home. To cancel is to wait no longer: its memory follows all the same, and the VM may be stopped.",
        { End: null, Phase: Phase.Verifying or Phase.Cleaning } => "Too late to cancel: the guest is at its new home.",
        { End: null } => "Until the hand-over the guest stays where it is, whatever becomes of the move.",
        { End: MoveEnd.Cancelled } => $"Cancelled: the guest is at {move.Source} as before.",
        { End: MoveEnd.Done, CancelRequested: true } => $"Cancel came too late: the guest is at {move.Target}.",
        _ => null,
    };

    private static bool IsFollowed(Migration move) => move is { Mode: MoveMode.Lazy, Phase: Phase.Verifying };
}
