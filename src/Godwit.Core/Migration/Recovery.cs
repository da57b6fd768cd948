namespace Godwit.Core.Migration;

/// <summary>
/// Where is the guest, and what is to be done, given what both hosts can prove? Pure. A host that does not answer is
/// null here, and null is never read as "dead": only proof moves a guest, a clock never does.
/// </summary>
public static class Recovery
{
    public static RecoveryStep Decide(MoveStatus? source, MoveStatus? target) => (source?.Standing, target?.Standing) switch
    {
        // The target's proof wins whatever the source says or fails to say.
        (MoveStanding.SourceReleased, _) => new RecoveryStep.Settled(new Settlement.AtTarget(source!.Receipt)),
        (MoveStanding.SourceDoubt, MoveStanding.TargetRuns) => new RecoveryStep.TellSource(TargetProof.Runs),
        (MoveStanding.SourceDoubt, MoveStanding.TargetAborted) => new RecoveryStep.TellSource(TargetProof.Aborted),
        (MoveStanding.SourceDoubt, MoveStanding.TargetLost) => new RecoveryStep.TellSource(TargetProof.Lost),
        // No token arrived there. Abandon makes that final (tombstone), or answers that it was too late.
        (MoveStanding.SourceDoubt, MoveStanding.TargetCandidate) => new RecoveryStep.AbandonTarget(),

        // The source's QEMU died. If the token was out the target may still win; it says so itself.
        (MoveStanding.SourceLost, MoveStanding.TargetRuns) => new RecoveryStep.Settled(new Settlement.AtTarget(null)),
        (MoveStanding.SourceLost, MoveStanding.TargetCandidate) => new RecoveryStep.AbandonTarget(),
        (MoveStanding.SourceLost, MoveStanding.TargetAborted or MoveStanding.TargetLost or MoveStanding.Nothing) =>
            new RecoveryStep.Settled(new Settlement.Lost(source!.Reason ?? "the source QEMU died during the move")),

        // The guest never left, or ended at home. The target is undone before the move ends.
        (MoveStanding.SourceKept or MoveStanding.SourceStopped, MoveStanding.TargetCandidate) =>
            new RecoveryStep.AbandonTarget(),
        (MoveStanding.SourceKept, _) => new RecoveryStep.Settled(new Settlement.AtSource(source!.Reason ?? "rolled back", source.Receipt)),
        (MoveStanding.SourceStopped, _) => new RecoveryStep.Settled(new Settlement.GuestStopped()),

        // The order to start never reached the source (or it lost its journal, which it says by refusing).
        (MoveStanding.Nothing, MoveStanding.TargetCandidate) => new RecoveryStep.AbandonTarget(),
        (MoveStanding.Nothing, MoveStanding.TargetAborted or MoveStanding.Nothing) =>
            new RecoveryStep.Settled(new Settlement.AtSource("the move never began at the source")),
        (MoveStanding.Nothing, MoveStanding.TargetRuns) => new RecoveryStep.Settled(new Settlement.AtTarget(null)),

        // The guest runs at the target and only the source's leftovers are unaccounted for.
        (null, MoveStanding.TargetRuns) => new RecoveryStep.WaitForSource(),

        _ => new RecoveryStep.Wait(),
    };
}

/// <summary>What the story does next. Closed set.</summary>
public abstract record RecoveryStep
{
    private RecoveryStep() { }

    /// <summary>Nothing to decide yet: ask again.</summary>
    public sealed record Wait : RecoveryStep;
    /// <summary>Ask again for a bounded time; then the move is done with a warning about the source's leftovers.</summary>
    public sealed record WaitForSource : RecoveryStep;
    public sealed record TellSource(TargetProof Proof) : RecoveryStep;
    public sealed record AbandonTarget : RecoveryStep;
    public sealed record Settled(Settlement Where) : RecoveryStep;
}

/// <summary>Where the guest is once nothing moves any more. Closed set.</summary>
public abstract record Settlement
{
    private Settlement() { }

    public sealed record AtTarget(Receipt? Receipt) : Settlement;
    /// <param name="Rehearsed">What a rehearsal found that came to its end; null of all else.</param>
    public sealed record AtSource(string Reason, Receipt? Rehearsed = null) : Settlement;
    /// <summary>The guest powered itself off during the move: stopped, at the source.</summary>
    public sealed record GuestStopped : Settlement;
    /// <summary>No copy of its memory is left. The disk is as a power cut leaves it.</summary>
    public sealed record Lost(string Reason) : Settlement;
    /// <summary>Not provable now. The VM stays locked until it is.</summary>
    public sealed record Doubt(string Reason) : Settlement;
}
