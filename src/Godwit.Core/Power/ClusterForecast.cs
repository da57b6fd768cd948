using Godwit.Core.Consolidation;

namespace Godwit.Core.Power;

/// <summary>What all VMs together took in one span of the past, or what was promised to them.</summary>
/// <param name="Amount">Processors' worth, or bytes of memory, at the span's highest.</param>
public readonly record struct PastLoad(DateTimeOffset At, TimeSpan Span, double Amount)
{
    public DateTimeOffset End => At + Span;
}

/// <summary>
/// What load is to be expected: as of now with the surprises of the last hour and a half (<see cref="LoadWindows"/>), and what
/// the days before had at this time of day. The same for memory: it is promised, so now is now, and only starts and stops change
/// it; what the days before had says how many are to come. Pure.
/// </summary>
public sealed class ClusterForecast
{
    public const int DaysMax = 7;
    /// <summary>How many times the root mean square of past surprises is reckoned with above the mean.</summary>
    private const double Spreads = 2;
    /// <summary>From so many days on, the day that had most is taken for an exception.</summary>
    private const int DaysForException = 3;
    /// <summary>Nobody comes to work at the same second every day.</summary>
    private static readonly TimeSpan slack = TimeSpan.FromMinutes(10), day = TimeSpan.FromDays(1);

    private readonly IReadOnlyList<PastLoad> past, pastPromised;
    private readonly DateTimeOffset now;

    /// <param name="past">Oldest first; five minutes a span where that fine, else an hour.</param>
    /// <param name="nowCores">What all VMs together are to be reckoned with now.</param>
    /// <param name="pastPromised">As <paramref name="past"/>, bytes; null: nothing is known.</param>
    /// <param name="nowPromised">Bytes of memory that all VMs are promised now.</param>
    public ClusterForecast(
        IReadOnlyList<PastLoad> past, double nowCores, DateTimeOffset now, IReadOnlyList<PastLoad>? pastPromised = null,
        double nowPromised = 0)
    {
        (this.past, this.pastPromised, this.now, NowPromised) = (past, pastPromised ?? [], now, nowPromised);
        Now = nowCores;
        // The cluster as one is far steadier than any VM: its newest loads say most, and nothing typical of VMs is added.
        var policy = new ConsolidationPolicy { WindowPoints = 18, Follow = 0.35, TypicalPoints = 0 };
        var newest = past.Where(p => p.Span < TimeSpan.FromHours(1) && p.End <= now).OrderByDescending(p => p.At)
            .Take(policy.WindowPoints).ToList();
        // A gap in the record, as of a server that was away, makes what is beyond it another time.
        var shares = newest.TakeWhile((p, n) => p.End >= now - (n + 2) * p.Span).Select(p => p.Amount).ToArray();
        if (shares.Length == 0) return;
        var windows = new LoadWindows(1, policy);
        windows.Set(0, shares, 1, nowCores);
        var (mean, spread) = windows.Reckon(windows.Of(0), windows.Untold(0));
        Now = Math.Max(nowCores, mean + Spreads * spread);
    }

    /// <summary>Processors' worth to reckon with at this moment.</summary>
    public double Now { get; }

    /// <summary>Bytes that all VMs are promised at this moment.</summary>
    public double NowPromised { get; }

    /// <summary>The most to reckon with until then, and whether a day before says so.</summary>
    public (double Cores, bool IsByPast) PeakUntil(DateTimeOffset until) =>
        DaysBefore(past, until) is var expected && expected > Now ? (expected, true) : (Now, false);

    /// <summary>Bytes that VMs are to be promised until then beside those that are promised now; 0 where no day before had more.</summary>
    public double PromisedMoreUntil(DateTimeOffset until) => Math.Max(0, DaysBefore(pastPromised, until) - NowPromised);

    /// <summary>The most that the days before had from this time of day to that one, less one day's exception; 0 for no day.</summary>
    private double DaysBefore(IReadOnlyList<PastLoad> past, DateTimeOffset until)
    {
        var peaks = new List<double>();
        for (var back = 1; back <= DaysMax; back++)
        {
            var (from, to) = (now - back * day - slack, until - back * day + slack);
            // A day of which nothing is known says nothing; of two records of one time the finer counts.
            var spans = past.Where(p => p.At < to && p.End > from).ToList();
            if (spans.Count == 0) continue;
            var finest = spans.Min(p => p.Span);
            peaks.Add(spans.Where(p => p.Span == finest).Max(p => p.Amount));
        }
        peaks.Sort();
        return peaks.Count == 0 ? 0 : peaks[^(peaks.Count >= DaysForException ? 2 : 1)];
    }
}
