namespace Godwit.Core.Quoting;

/// <summary>The turn of a guest that works in turns longer than a look, and what of its time the look took in.</summary>
/// <param name="AtSliceEnd">The guest's ms at the end of each <see cref="GuestRhythm.SliceMs"/> of its turn, which begins where the rhythm ends.</param>
/// <param name="MeanWritten">Of a slice of its turn, in thousandths of the watched pages.</param>
/// <param name="LookMs">The guest's ms that went by during the look.</param>
public sealed record GuestTurn(double[] AtSliceEnd, double MeanWritten, double LookMs)
{
    /// <summary>A look that fell into a rest tells nothing of the work.</summary>
    private const double LookedAtWorkMin = 0.25;

    public double PeriodMs => AtSliceEnd.Length * GuestRhythm.SliceMs;

    /// <summary>Null where the guest is steady, or nobody has looked while it worked.</summary>
    public static GuestTurn? Of(MemoryProfile memory)
    {
        if (memory.Rhythm is not { } rhythm || memory.Dirty.Count == 0 || rhythm.PeriodSlices() is not (> 0 and var period)) return null;
        var turn = rhythm.Turn(period);
        var ends = GuestClock.Ends(turn, GuestRhythm.SliceMs);
        if (ends.Length == 0) return null;
        // The look lies in the rhythm's past; where it reaches beyond the last slice, in the turn that begins there.
        var from = rhythm.Written.Count + (rhythm.AgeMs - memory.LookAgeMs) / GuestRhythm.SliceMs;
        var to = from + memory.Dirty[^1].WindowMs / GuestRhythm.SliceMs;
        if (from < 0) return null;
        var written = 0.0;
        for (var slice = (int)from; slice < to; slice++)
        {
            var part = Math.Min(to, slice + 1) - Math.Max(from, slice);
            written += part * (slice < rhythm.Written.Count ? rhythm.Written[slice] : turn[(slice - rhythm.Written.Count) % period]);
        }
        var mean = turn.Average();
        var lookMs = written / mean * GuestRhythm.SliceMs;
        return lookMs < LookedAtWorkMin * memory.Dirty[^1].WindowMs ? null : new GuestTurn(ends, mean, lookMs);
    }

    /// <summary>The guest's ms in which so much was written.</summary>
    public double GuestMs(double written) => written / MeanWritten * GuestRhythm.SliceMs;

    /// <summary>Whether it works just now, how long it goes on so in ms, and how much of its turn it works; at a moment since asking.</summary>
    public (bool Works, double ForMs, double WorksMs) At(double ms, double rhythmAgeMs)
    {
        var per = AtSliceEnd.Select((end, slice) => end - (slice == 0 ? 0 : AtSliceEnd[slice - 1]) > GuestRhythm.SliceMs / 2).ToList();
        var now = (int)((ms + rhythmAgeMs) / GuestRhythm.SliceMs) % per.Count;
        var changes = Enumerable.Range(1, per.Count).FirstOrDefault(after => per[(now + after) % per.Count] != per[now], per.Count);
        return (per[now], changes * GuestRhythm.SliceMs, per.Count(works => works) * GuestRhythm.SliceMs);
    }
}
