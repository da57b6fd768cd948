namespace Godwit.Core.Quoting;

/// <summary>
/// What a guest changes between two moments, if it goes on as it did while it was looked at. The clock is the guest's own: it runs
/// while the guest writes and stands still while it rests, a second of it to each second on average. By that clock every guest works
/// steadily, and one curve of changed bytes holds for bursts and rests alike: a move that comes upon a rest has little to send.
/// </summary>
public sealed class GuestClock
{
    private readonly long totalBytes;
    /// <summary>The guest's ms at the end of each slice; straight between.</summary>
    private readonly double[] atSliceEnd;
    /// <summary>Ascending in both.</summary>
    private readonly List<(double Ms, double Bytes)> curve = [(0, 0)];

    public GuestClock(MemoryProfile memory)
    {
        totalBytes = memory.TotalBytes;
        var (sum, all) = (0.0, memory.Slices.Sum(bytes => (double)bytes));
        atSliceEnd = all <= 0 ? [] : [.. memory.Slices.Select(bytes => (sum += bytes) / all * memory.PeriodMs)];
        foreach (var point in memory.Dirty)
        {
            var at = At(point.WindowMs);
            if (at <= curve[^1].Ms) continue; // It rested: the next point tells.
            curve.Add((at, Math.Max(point.Bytes, curve[^1].Bytes))); // Samples are noisy: a later one may be below.
        }
    }

    /// <summary>Different bytes that change from one moment to a later one, in ms since the first look.</summary>
    public double DirtyBytesBetween(double fromMs, double toMs) => DirtyBytesWithin(At(toMs) - At(fromMs));

    /// <summary>Different bytes that change within so many ms of the guest's clock.</summary>
    public double DirtyBytesWithin(double ms)
    {
        if (curve.Count == 1 || ms <= 0) return 0;
        var after = curve.FindIndex(1, point => point.Ms >= ms);
        if (after < 0) after = curve.Count - 1;
        var ((before, beforeBytes), (next, nextBytes)) = (curve[after - 1], curve[after]);
        return Math.Min(beforeBytes + (ms - before) * (nextBytes - beforeBytes) / (next - before), totalBytes);
    }

    private double At(double ms)
    {
        if (atSliceEnd.Length == 0) return ms;
        var period = atSliceEnd.Length * MemoryProfile.SliceMs;
        var rounds = Math.Floor(ms / period);
        var at = (ms - rounds * period) / MemoryProfile.SliceMs;
        var slice = Math.Min((int)at, atSliceEnd.Length - 1);
        var begin = slice == 0 ? 0 : atSliceEnd[slice - 1];
        return rounds * period + begin + (at - slice) * (atSliceEnd[slice] - begin);
    }
}
