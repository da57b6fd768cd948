namespace Godwit.Core.Loads;

/// <summary>One thing's load at one moment.</summary>
/// <param name="WaitCores">0 for hosts, as <paramref name="DirtyBytesPerSecond"/>.</param>
public readonly record struct LoadPoint(
    DateTimeOffset At, float CpuCores, float WaitCores, float MemoryBytes, float NetworkBytesPerSecond, float DiskBytesPerSecond,
    float DirtyBytesPerSecond = 0)
{
    /// <summary>What it took and what it had to wait for.</summary>
    public float CpuDemand => CpuCores + WaitCores;
}

/// <summary>The newest points of one thing, a bounded number; older ones are forgotten. Not thread-safe.</summary>
public sealed class LoadSeries(int pointsMax)
{
    private readonly LoadPoint[] _points = new LoadPoint[pointsMax];
    private long _added;

    public int Count => (int)Math.Min(_added, _points.Length);

    public LoadPoint? Newest => _added == 0 ? null : _points[(_added - 1) % _points.Length];

    public void Add(LoadPoint point) => _points[_added++ % _points.Length] = point;

    /// <summary>Those since a moment, oldest first.</summary>
    public IReadOnlyList<LoadPoint> Since(DateTimeOffset from)
    {
        var points = new List<LoadPoint>(Count);
        for (var n = _added - Count; n < _added; n++)
            if (_points[n % _points.Length] is var point && point.At >= from) points.Add(point);
        return points;
    }
}

/// <summary>A window of points summed up. Percentiles are of the points, nearest rank.</summary>
/// <param name="CpuDemandP75">Three of four points were not above it.</param>
public sealed record LoadSummary(
    DateTimeOffset From, DateTimeOffset To, int Points, double CpuMean, double CpuDemandP75, double CpuDemandP95, double CpuDemandMax,
    double WaitMean, double MemoryMean, double NetworkMean, double DiskMean, double DirtyMean)
{
    /// <summary>How fast the short mean follows: a point counts half after 90 s of 10 s points.</summary>
    private const double Follow = 0.075;

    /// <summary>Null for no points.</summary>
    public static LoadSummary? Of(IReadOnlyList<LoadPoint> points)
    {
        if (points.Count == 0) return null;
        var demand = points.Select(p => (double)p.CpuDemand).Order().ToArray();
        return new LoadSummary(points[0].At, points[^1].At, points.Count, points.Average(p => p.CpuCores),
            Rank(demand, 0.75), Rank(demand, 0.95), demand[^1], points.Average(p => p.WaitCores), points.Average(p => p.MemoryBytes),
            points.Average(p => p.NetworkBytesPerSecond), points.Average(p => p.DiskBytesPerSecond),
            points.Average(p => p.DirtyBytesPerSecond));
    }

    /// <summary>Of things measured over the same span: their means added up, as peaks at different moments do not add up.</summary>
    /// <param name="summaries">One at least.</param>
    public static LoadSummary Together(IReadOnlyList<LoadSummary> summaries)
    {
        var demand = summaries.Sum(s => s.CpuMean + s.WaitMean);
        return new LoadSummary(summaries.Min(s => s.From), summaries.Max(s => s.To), summaries.Min(s => s.Points),
            summaries.Sum(s => s.CpuMean), demand, demand, demand, summaries.Sum(s => s.WaitMean), summaries.Sum(s => s.MemoryMean),
            summaries.Sum(s => s.NetworkMean), summaries.Sum(s => s.DiskMean), summaries.Sum(s => s.DirtyMean));
    }

    /// <summary>
    /// What is to be reckoned with: never one point, but the larger of a short mean and the 75th percentile of the window, so
    /// that a spike moves nothing and a lasting rise is seen within minutes.
    /// </summary>
    public static double CpuToReckonWith(IReadOnlyList<LoadPoint> points)
    {
        if (points.Count == 0) return 0;
        double mean = points[0].CpuDemand;
        foreach (var point in points) mean += (point.CpuDemand - mean) * Follow;
        return Math.Max(mean, Rank([.. points.Select(p => (double)p.CpuDemand).Order()], 0.75));
    }

    private static double Rank(double[] ordered, double share) => ordered[Math.Max(0, (int)Math.Ceiling(share * ordered.Length) - 1)];
}
