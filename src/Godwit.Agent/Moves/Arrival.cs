namespace Godwit.Agent.Moves;

/// <summary>What became of a QEMU that is to run the guest, as far as it says so itself.</summary>
internal enum Arrival
{
    /// <summary>The guest is here: it runs, or is loaded where it is to stay paused, or has run and stands still by itself.</summary>
    Up,
    /// <summary>By its own word it has not run (not loaded, or <c>cont</c> refused). It may be ended, and the guest go back.</summary>
    NeverRan,
    /// <summary>Its process is gone. It may have run.</summary>
    Gone,
    /// <summary>It lives and does not answer. Nothing is known, so nothing is done to it.</summary>
    Silent,
}
