namespace Godwit.Core.Migration;

/// <summary>What one agent knows of its part in a move. Journal and QEMU together; never a guess.</summary>
public sealed record MoveStatus
{
    public required MoveId Move { get; init; }
    public required MoveStanding Standing { get; init; }
    public Epoch Epoch { get; init; }
    /// <summary>Why it stands so, for people.</summary>
    public string? Reason { get; init; }
    public MoveProgress? Progress { get; init; }
    /// <summary>
    /// Set by the source once settled as <see cref="MoveStanding.SourceReleased"/>; of a rehearsal that came to its end, as
    /// <see cref="MoveStanding.SourceKept"/>.
    /// </summary>
    public Receipt? Receipt { get; init; }
    /// <summary>
    /// Of a lazy move: some of the guest's memory is still at the source (target), or may still be wanted of it (source).
    /// </summary>
    public bool MemoryArriving { get; init; }
    /// <summary>Source of a lazy move: what it has given so far, pages of zeros left out, by this agent.</summary>
    public long MemoryGivenBytes { get; init; }
}

/// <summary>Standing of a move at one agent. Names begin with the side that can say them.</summary>
public enum MoveStanding
{
    /// <summary>Never heard of it.</summary>
    Nothing,

    /// <summary>Memory flows (or is about to); the source owns and runs the guest, or holds it paused for a quick move.</summary>
    SourceSending,
    /// <summary>
    /// The hand-over is under way or just over. Told after the pause, not in it: while it lasts the word is still "sending".
    /// </summary>
    SourceSwitching,
    /// <summary>The token left and no answer came: the source never runs again unless the target proves ABORTED.</summary>
    SourceDoubt,
    /// <summary>The target proved that it runs; this copy is ended. Settled.</summary>
    SourceReleased,
    /// <summary>The guest is here as before (running, or paused as it was). Settled.</summary>
    SourceKept,
    /// <summary>The guest powered itself off during the move; it is stopped here. Settled.</summary>
    SourceStopped,
    /// <summary>The source QEMU died before the token left: guest memory is gone. Settled.</summary>
    SourceLost,

    /// <summary>Target QEMU waits; no token. May be abandoned.</summary>
    TargetCandidate,
    /// <summary>Intent to run is durable. From here the source must stay still.</summary>
    TargetIntent,
    /// <summary>It runs here (or is here paused, as it was). Settled; this is the proof.</summary>
    TargetRuns,
    /// <summary>It never ran here and never will under this move: tombstone. Settled; this is the proof.</summary>
    TargetAborted,
    /// <summary>Intent was durable and its QEMU is gone: it may have run. The disk is as a power cut leaves it. Settled.</summary>
    TargetLost,
}

/// <summary>What the target proved to the source about one epoch.</summary>
public enum TargetProof { Runs, Aborted, Lost }
