namespace Godwit.Core.Migration;

/// <summary>
/// Where a move is. The same words in code, API, CLI and metrics. Journaled before it is entered.
/// </summary>
public enum Phase
{
    /// <summary>Waits for its turn. Server. Next: Checking; on cancel: cancelled, nothing was touched.</summary>
    Queued,
    /// <summary>All questions, no change. Server asks both agents. Next: Preparing; on refusal: rolled-back with all reasons.</summary>
    Checking,
    /// <summary>RAM reserved, target QEMU waits paused. Next: Disks; on failure: target undone, guest never noticed.</summary>
    Preparing,
    /// <summary>Disks reach the target (shared pool: verified by dry open). Next: Memory; on failure as Preparing.</summary>
    Disks,
    /// <summary>
    /// Memory crosses the link while the guest runs (live) or waits (quick). Agents. Next: Switching; on failure the
    /// guest runs at the source.
    /// </summary>
    Memory,
    /// <summary>Guest stopped, token under way. Agents only. Ends with one owner, or unknown until the target answers.</summary>
    Switching,
    /// <summary>The guest is at its new home; proof that it runs. Only warnings from here on.</summary>
    Verifying,
    /// <summary>Source QEMU, taps, reservation and leftovers go. Next: done.</summary>
    Cleaning,
}

/// <summary>How a move can end. Null while it goes on.</summary>
public enum MoveEnd
{
    /// <summary>The guest is at the target.</summary>
    Done,
    /// <summary>The guest is at the source as before; the reason says why.</summary>
    RolledBack,
    /// <summary>As rolled back, because a person asked.</summary>
    Cancelled,
    /// <summary>The guest is at the source as before, as was wanted: a target loaded it whole, was never run, and is gone.</summary>
    Rehearsed,
    /// <summary>Nobody can prove who owns the guest, or both copies are gone: a person must look. Nothing is guessed.</summary>
    NeedsOperator,
}

public enum MoveMode
{
    /// <summary>The guest runs while its memory crosses.</summary>
    Live,
    /// <summary>The guest pauses first; each page crosses once.</summary>
    Quick,
    /// <summary>The guest is shut down, moved, and started where it was running before.</summary>
    Cold,
    /// <summary>New QEMU process on the same host; the memory stays where it is.</summary>
    Refresh,
    /// <summary>
    /// The guest pauses for its devices only, and runs at the target while its memory follows as it is needed (post-copy). Until all is
    /// there both hosts are needed: the loss of either is the loss of the guest, as by a power cut.
    /// </summary>
    Lazy,
    /// <summary>
    /// Live for one pass; what is left then crosses in a pause that was allowed, or else as in a lazy move, for which only what has
    /// changed since the pass has to cross once more. To the hosts it is a live move, and a lazy one after it.
    /// </summary>
    Hybrid,
}
