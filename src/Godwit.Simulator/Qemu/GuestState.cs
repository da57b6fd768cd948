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
/// <param name="DirtyBytesPerSecond">How fast it does, in the mean.</param>
/// <param name="BurstMs">Not 0: it writes what it writes in a second all within so many ms of it, and rests.</param>
/// <param name="QuietFromMs">It writes nothing any more once it has run for so long.</param>
public sealed record GuestLoad(
    int UsedPages = 256, int WorkingPages = 64, long DirtyBytesPerSecond = 200_000, int BurstMs = 0, long QuietFromMs = long.MaxValue)
{
    public const int PageBytes = 4096;
    private const int BurstEveryMs = 1000;

    /// <summary>Pages written at least once in <paramref name="time"/> of running, which ended after so many ms of it.</summary>
    public int DirtiedIn(TimeSpan time, long endedAtMs) => (int)Math.Min(WorkingPages, BurstMs == 0
        ? (long)(time.TotalSeconds * DirtyBytesPerSecond) / PageBytes
        : Writes(endedAtMs) - Writes(Math.Max(0, endedAtMs - (long)time.TotalMilliseconds)));

    /// <summary>How many pages it has written after so many ms of running.</summary>
    public long Writes(long ranMs)
    {
        ranMs = Math.Min(ranMs, QuietFromMs);
        var worked = BurstMs == 0 ? ranMs : ranMs / BurstEveryMs * BurstEveryMs
            + Math.Min(ranMs % BurstEveryMs, BurstMs) * BurstEveryMs / BurstMs;
        return worked * DirtyBytesPerSecond / 1000 / PageBytes;
    }
}
