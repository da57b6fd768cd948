namespace Godwit.Core.Quoting;

/// <summary>The turn of a guest that works in turns longer than a look, and what of its time the look took in.</summary>
/// <param name="AtSliceEnd">
/// The guest's ms at the end of each <see cref="GuestRhythm.SliceMs"/> of its turn, which begins where the rhythm ends.
/// </param>
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
        if (memory.Rhythm is not { } rhythm || memory.Dirty.Count == 0) return null;
        if (rhythm.PeriodSlices() is not (> 0 and var period)) return null;
        var turn = rhythm.Turn(period);
        var ends = GuestClock.Ends(turn, GuestRhythm.SliceMs);
        if (ends.Length == 0) return null;
        var mean = turn.Average();
        var lookMs = memory.LookWritten / mean * GuestRhythm.SliceMs;
        return lookMs < LookedAtWorkMin * memory.Dirty[^1].WindowMs ? null : new GuestTurn(ends, mean, lookMs);
    }

    /// <summary>The guest's ms in which so much was written.</summary>
    public double GuestMs(double written) => written / MeanWritten * GuestRhythm.SliceMs;

    /// <summary>
    /// Whether it works just now, how long it goes on so, and how much of its turn it works, both in ms; at a moment since asking. Null
    /// where its work ebbs and flows and never ends.
    /// </summary>
    public (bool Works, double ForMs, double WorksMs)? At(double ms, double rhythmAgeMs)
    {
        var speed = AtSliceEnd.Select((end, slice) => (end - (slice == 0 ? 0 : AtSliceEnd[slice - 1])) / GuestRhythm.SliceMs).ToList();
        // Of few pages some slices show none by chance.
        var smooth = speed.Select((_, at) => Enumerable.Range(at + speed.Count - 1, 3).Average(n => speed[n % speed.Count])).ToList();
        var works = smooth.ConvertAll(value => value > smooth.Max() / 2);
        if (!works.Contains(false)) return null;
        var now = (int)((ms + rhythmAgeMs) / GuestRhythm.SliceMs % works.Count);
        var changes = Enumerable.Range(1, works.Count).First(n => works[(now + n) % works.Count] != works[now] || n == works.Count);
        return (works[now], changes * GuestRhythm.SliceMs, works.Count(one => one) * GuestRhythm.SliceMs);
    }
}
