using Godwit.Core.Migration;

namespace Godwit.Core.Quoting;

/// <summary>
/// What a guest changes between two moments, if it goes on as it did while it was looked at. The clock is the guest's own: it runs
/// while the guest writes and stands still while it rests, a second of it to each second on average. By that clock every guest works
/// steadily, and one curve of changed bytes holds for bursts and rests alike: a move that comes upon a rest has little to send.
/// </summary>
/// <remarks>
/// Bursts within a look come from its slices, and nobody knows which of them a move will meet. Turns longer than a look come from the
/// guest's rhythm; where in its turn it is when a move begins is known to half a second.
/// </remarks>
public sealed class GuestClock
{
    /// <summary>Of a guest whose turn is not known, a move is tried from so many moments of it.</summary>
    private const int Beginnings = 10;
    private readonly long totalBytes;
    /// <summary>The guest's ms at the end of each slice of what repeats; straight between.</summary>
    private readonly double[] atSliceEnd;
    private readonly double sliceMs = MemoryProfile.SliceMs;
    /// <summary>So many ms before the clock's zero its first slice began.</summary>
    private readonly double begunMs;
    private readonly IReadOnlyList<double> slices = [];
    private readonly double level;
    private readonly Bursts? bursts;
    /// <summary>Ascending in both.</summary>
    private readonly List<(double Ms, double Bytes)> curve = [(0, 0)];

    public GuestClock(MemoryProfile memory)
    {
        totalBytes = memory.TotalBytes;
        if (GuestTurn.Of(memory) is { } turn)
        {
            (atSliceEnd, sliceMs, begunMs) = (turn.AtSliceEnd, GuestRhythm.SliceMs, memory.Rhythm!.AgeMs);
            KnowsItsTurn = true;
            var look = Ends([.. memory.Slices.Select(bytes => (double)bytes)], MemoryProfile.SliceMs);
            var lookMs = memory.Dirty[^1].WindowMs;
            foreach (var point in memory.Dirty)
            {
                var at = look.Length == 0 ? point.WindowMs : At(look, MemoryProfile.SliceMs, point.WindowMs);
                Add(turn.LookMs * at / lookMs, point.Bytes);
            }
            foreach (var point in memory.Rhythm.Longer) Add(turn.GuestMs(memory.Rhythm.WrittenWithin(point.WindowMs)), point.Bytes);
            return;
        }
        slices = [.. memory.Slices.Select(bytes => (double)bytes)];
        (atSliceEnd, level) = (Ends(slices, MemoryProfile.SliceMs), Lull.Level(slices));
        bursts = Lull.Felt(slices, MemoryProfile.SliceMs);
        foreach (var point in memory.Dirty.Concat(memory.Rhythm?.Longer ?? [])) Add(At(point.WindowMs), point.Bytes);
    }

    /// <summary>True: zero is when it was asked for. False: when it was looked at, which is as good as any other moment.</summary>
    public bool KnowsItsTurn { get; }

    /// <summary>Its bursts as a move would feel them at a moment; null where it writes in none.</summary>
    public Bursts? BurstsAt(double atMs) => bursts is null ? null : bursts with { LeftMs = LullLeftMs(atMs) };

    /// <summary>Until the next burst, in ms; 0 while it writes.</summary>
    private double LullLeftMs(double atMs)
    {
        var slice = (int)(atMs / sliceMs);
        if (Writes(slice) && (Writes(slice + 1) || BurstEndMs(slice) > atMs)) return 0;
        for (var next = slice + 1; next < slice + slices.Count; next++)
            if (Writes(next)) return Math.Max(0, (next + 1 - Math.Min(1, Written(next) / level)) * sliceMs - atMs);
        return 0;
    }

    /// <summary>When the first burst is over that ends after a moment, in ms.</summary>
    public double BurstOverMs(double afterMs)
    {
        var slice = (int)(afterMs / sliceMs);
        for (var last = slice + 2 * slices.Count; slice < last; slice++)
            if (Writes(slice) && !Writes(slice + 1) && BurstEndMs(slice) >= afterMs) return BurstEndMs(slice);
        return afterMs;
    }

    /// <summary>What was looked at repeats.</summary>
    private double Written(int slice) => slices[(slice % slices.Count + slices.Count) % slices.Count];

    private bool Writes(int slice) => slices.Count > 0 && Lull.Writes(Written(slice), level);

    private double BurstEndMs(int slice) => (slice + Math.Min(1, Written(slice) / level)) * sliceMs;

    /// <summary>Moments from which a move is to be tried, as nobody knows which it will meet.</summary>
    /// <param name="leadMs">From asking until memory begins to cross.</param>
    public IReadOnlyList<double> Moments(double leadMs) =>
        KnowsItsTurn ? [leadMs, leadMs + GuestRhythm.SliceMs, Math.Max(0, leadMs - GuestRhythm.SliceMs)]
        : atSliceEnd.Length == 0 ? [0]
        : [.. Enumerable.Range(0, Beginnings).Select(n => n * atSliceEnd.Length * sliceMs / Beginnings)];

    /// <summary>Different bytes that change from one moment to a later one, in ms since zero.</summary>
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

    private void Add(double atMs, long bytes)
    {
        if (atMs <= curve[^1].Ms) return; // It rested: the next point tells.
        curve.Add((atMs, Math.Max(bytes, curve[^1].Bytes))); // Samples are noisy: a later one may be below.
    }

    private double At(double ms) => atSliceEnd.Length == 0 ? ms : At(atSliceEnd, sliceMs, ms + begunMs);

    private static double At(double[] ends, double sliceMs, double ms)
    {
        var period = ends.Length * sliceMs;
        var rounds = Math.Floor(ms / period);
        var at = (ms - rounds * period) / sliceMs;
        var slice = Math.Min((int)at, ends.Length - 1);
        var begin = slice == 0 ? 0 : ends[slice - 1];
        return rounds * period + begin + (at - slice) * (ends[slice] - begin);
    }

    /// <summary>The guest's ms at the end of each slice, in which so much was written; none where nothing was.</summary>
    internal static double[] Ends(IReadOnlyList<double> slices, double sliceMs)
    {
        var (sum, all) = (0.0, slices.Sum());
        return all <= 0 ? [] : [.. slices.Select(slice => (sum += slice) / all * slices.Count * sliceMs)];
    }
}
