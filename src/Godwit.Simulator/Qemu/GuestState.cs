namespace Godwit.Simulator.Qemu;

/// <summary>
/// A guest's whole memory, as far as the world cares: which life it lives (a boot from disk begins a new one), how
/// often its vCPUs were set going in that life, and a counter that grows each millisecond it runs. A copy that goes on
/// from an older state is time travel, and these three numbers show it.
/// </summary>
public readonly record struct GuestState(int Life, long Runs, long Counter)
{
    /// <summary>Memory nobody has written: zeroes.</summary>
    public static readonly GuestState Blank;

    public bool IsBlank => Life == 0;

    public override string ToString() => $"life {Life}, run {Runs}, counter {Counter}";
}

/// <summary>A memory-backend-file: whoever maps the same path maps the same bytes.</summary>
public sealed class SimRam
{
    public GuestState State { get; set; }
    /// <summary>The processes that map it, oldest first; some may have ended.</summary>
    internal List<SimQemu> MappedBy { get; } = [];
    /// <summary>Pages that have not arrived yet, of a guest that was set going before its memory was there; null once all have.</summary>
    internal ArrivingPages? Arriving { get; set; }
}

/// <summary>What the guest does with its memory.</summary>
/// <param name="UsedPages">Pages of 4 KiB that are not zero.</param>
/// <param name="WorkingPages">Those it writes again and again.</param>
/// <param name="DirtyBytesPerSecond">How fast it does.</param>
public sealed record GuestLoad(int UsedPages = 256, int WorkingPages = 64, long DirtyBytesPerSecond = 200_000)
{
    public const int PageBytes = 4096;

    /// <summary>Pages written at least once in <paramref name="time"/> of running.</summary>
    public int DirtiedIn(TimeSpan time) =>
        (int)Math.Min(WorkingPages, (long)(time.TotalSeconds * DirtyBytesPerSecond) / PageBytes);
}
