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
    /// <summary>Bytes as the guest has them for one byte packed by the link; 1 or more.</summary>
    public required double PackRatio { get; init; }
    /// <summary>Ascending by window. Empty where nothing ran.</summary>
    public required IReadOnlyList<DirtyPoint> Dirty { get; init; }
    /// <summary>How many pages were looked at: the figures are as good as that.</summary>
    public required int SampledPages { get; init; }

    /// <summary>
    /// Different bytes that change within this many ms. A page written a thousand times counts once, so the curve bends: what a pass
    /// leaves behind depends on how long it took. Straight between what was measured; on with the last slope beyond it.
    /// </summary>
    public double DirtyBytesWithin(double ms)
    {
        var (before, beforeBytes, slope) = (0.0, 0.0, 0.0);
        foreach (var point in Dirty)
        {
            if (point.WindowMs <= before) continue;
            slope = (Math.Max(point.Bytes, beforeBytes) - beforeBytes) / (point.WindowMs - before);
            if (ms <= point.WindowMs) break;
            (before, beforeBytes) = (point.WindowMs, Math.Max(point.Bytes, beforeBytes));
        }
        return Math.Min(beforeBytes + Math.Max(0, ms - before) * slope, TotalBytes);
    }

    /// <summary>Bytes a second over the shortest window measured: the rate people know. 0 where nothing changes.</summary>
    public double DirtyBytesPerSecond => Dirty.Count == 0 ? 0 : Dirty[0].Bytes * 1000.0 / Dirty[0].WindowMs;
}

/// <param name="WindowMs">Since the first look.</param>
/// <param name="Bytes">Of pages that differ from the first look.</param>
public readonly record struct DirtyPoint(double WindowMs, long Bytes);
