namespace Godwit.Core.Consolidation;

/// <summary>
/// The newest loads of each VM, and what a set of VMs is to be reckoned with. The windows of those on a host are added up before the
/// percentile is taken: peaks at different moments do not need room at the same time.
/// </summary>
public sealed class LoadWindows
{
    private readonly double[] loads;
    private readonly double follow, percentile;

    /// <param name="loads">[vm * points + age], age 0 the newest; a VM with fewer loads repeats its oldest.</param>
    public LoadWindows(double[] loads, int points, double follow, double percentile) =>
        (this.loads, Points, this.follow, this.percentile) = (loads, points, follow, percentile);

    public int Points { get; }

    public ReadOnlySpan<double> Of(int vm) => loads.AsSpan(vm * Points, Points);

    public double Now(int vm) => loads[vm * Points];

    public double Level(ReadOnlySpan<double> sums)
    {
        var mean = sums[^1];
        for (var i = sums.Length - 2; i >= 0; i--) mean += (sums[i] - mean) * follow;
        return mean;
    }

    public double Peak(ReadOnlySpan<double> sums, double sigma)
    {
        if (sigma > 0)
        {
            var mean = sums[^1];
            double up = 0;
            for (var i = sums.Length - 2; i >= 0; i--)
            {
                var error = sums[i] - mean;
                if (error > 0) up += error * error;
                mean += error * follow;
            }
            return mean + sigma * Math.Sqrt(up / sums.Length);
        }
        Span<double> sorted = stackalloc double[sums.Length];
        sums.CopyTo(sorted);
        sorted.Sort();
        return sorted[Math.Max(0, (int)Math.Ceiling(percentile * sums.Length) - 1)];
    }
}
