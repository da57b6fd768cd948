namespace Godwit.Core.Quoting;

/// <summary>
/// What a guest's memory is like for a move, sampled by its host while the guest runs: how much of it is not zero, how well that packs,
/// and how much of it changes within a while.
/// </summary>
public sealed record MemoryProfile
{
    public required DateTimeOffset At { get; init; }
    public required long TotalBytes { get; init; }
    /// <summary>Pages that hold something; the others cost a move next to nothing.</summary>
    public required long NonZeroBytes { get; init; }
    /// <summary>
    /// What its host has never given it, of the zeros: as QEMU reads it to send it, it is given. 0 of older records.
    /// </summary>
    public long UntouchedBytes { get; init; }
    /// <summary>How fast its host gives memory. 0: nobody has tried.</summary>
    public double GivenBytesPerSecond { get; init; }
    /// <summary>Bytes as the guest has them for one byte packed by the link; 1 or more.</summary>
    public required double PackRatio { get; init; }
    /// <summary>
    /// The same of pages that changed while they were looked at: later passes carry those alone. 0 in older records: not looked at.
    /// </summary>
    public double ChangedPackRatio { get; init; }
    /// <summary>Ascending by window. Empty where nothing ran.</summary>
    public required IReadOnlyList<DirtyPoint> Dirty { get; init; }
    /// <summary>
    /// Bytes of pages that changed in each <see cref="SliceMs"/> after the first look: when the guest works, and when it rests. Empty where
    /// that was not looked at; it then works steadily.
    /// </summary>
    public IReadOnlyList<long> Slices { get; init; } = [];
    /// <summary>
    /// What was written during the look that <see cref="Dirty"/> and <see cref="Slices"/> are of, as <see cref="GuestRhythm.Written"/>
    /// counts it, summed over slices. 0: nothing, or nobody could tell.
    /// </summary>
    public double LookWritten { get; init; }
    /// <summary>Null where nobody has felt it yet.</summary>
    public GuestRhythm? Rhythm { get; init; }
    /// <summary>How many pages were looked at: the figures are as good as that.</summary>
    public required int SampledPages { get; init; }

    public const double SliceMs = 100;

    /// <summary>
    /// What <see cref="LookWritten"/> would be, by the look alone: for a look during which nobody felt the guest, as the first of each is.
    /// </summary>
    /// <param name="presentBytes">Of the memory that pages were drawn from.</param>
    public double LookWrittenBySlices(long presentBytes)
    {
        // A page that is written in slice after slice is felt to have changed once in each half second.
        var different = Dirty.Count == 0 ? 0 : Dirty.Max(point => point.Bytes);
        return Slices.Chunk((int)(GuestRhythm.SliceMs / SliceMs)).Sum(half => 1000.0 * Math.Min(half.Sum(), different))
            / Math.Max(1, presentBytes);
    }

    /// <summary>The same, had it been asked for so much later.</summary>
    public MemoryProfile After(double ms) =>
        this with { Rhythm = Rhythm is null ? null : Rhythm with { AgeMs = Rhythm.AgeMs + ms } };

    /// <summary>
    /// Different bytes that change within this many ms of a guest that works steadily. A page written a thousand times counts once, so
    /// the curve bends: what a pass leaves behind depends on how long it took. Straight between what was measured; on with the last
    /// slope beyond it.
    /// </summary>
    public double DirtyBytesWithin(double ms) => new GuestClock(this).DirtyBytesWithin(ms);

    /// <summary>Bytes a second over the shortest window measured: the rate people know. 0 where nothing changes.</summary>
    public double DirtyBytesPerSecond => Dirty.Count == 0 ? 0 : Dirty[0].Bytes * 1000.0 / Dirty[0].WindowMs;
}

/// <param name="WindowMs">Since the first look.</param>
/// <param name="Bytes">Of pages that differ from the first look.</param>
public readonly record struct DirtyPoint(double WindowMs, long Bytes);
