namespace Godwit.Moves;

/// <param name="Name">Name of its VM, and of the mark at the prober.</param>
/// <param name="DirtyMib">Working set in MiB, of which <paramref name="DirtyMibPerS"/> MiB are written anew each second.</param>
internal sealed record GuestSize(string Name, string Words, int MemoryMib, int DirtyMib, int DirtyMibPerS);

/// <summary>What is compared: the same guest in the hands of one of two programs.</summary>
internal interface IMoveSide
{
    string Name { get; }
    /// <summary>Where its guest runs now, 1 or 2.</summary>
    int Host { get; }
    /// <summary>Boots a guest on host 1. Returns its address.</summary>
    Task<string> StartAsync(GuestSize size, CancellationToken cancel);
    Task PauseAsync(CancellationToken cancel);
    Task ResumeAsync(CancellationToken cancel);
    /// <summary>The command a person would type, to its end; to host <paramref name="target"/>.</summary>
    Task<CommandCost> MoveAsync(int target, CancellationToken cancel);
    /// <summary>The guest and its disk are gone.</summary>
    Task RemoveAsync(CancellationToken cancel);
}

/// <param name="WallS">From the start of the command to its end.</param>
/// <param name="StopToResumeMs">By QEMU's own event times; null: not told.</param>
/// <param name="Note">What else is worth a line in the raw results.</param>
internal sealed record CommandCost(double WallS, double? StopToResumeMs, string Note);

/// <summary>One move, from all points of view.</summary>
/// <param name="ClientPauseMs">The longest silence of the guest that the prober heard.</param>
/// <param name="WireMib">Sent by the source on the migration network, MiB of 2^20 bytes.</param>
/// <param name="Flaws">Anything a move may not do to a guest; empty is right.</param>
internal sealed record MoveCost(
    double WallS, double ClientPauseMs, double? StopToResumeMs, double WireMib, string Note, string Flaws);
