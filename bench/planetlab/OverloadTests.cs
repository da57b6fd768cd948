namespace Godwit.PlanetLab;

/// <summary>
/// Says whether a host is overloaded: by what its VMs ask for, and by the loads it would have had with them at past ticks.
/// </summary>
internal interface IOverloadTest
{
    string Name { get; }

    /// <param name="share">Sum of the requests over the capacity.</param>
    /// <param name="history">Newest first, zeros at the end left out.</param>
    bool IsOverloaded(double share, ReadOnlySpan<double> history);
}

/// <summary>A fixed share.</summary>
internal sealed class Threshold(double share) : IOverloadTest
{
    public string Name => $"THR-{share:0.0}";
    public bool IsOverloaded(double share1, ReadOnlySpan<double> history) => share1 > share;
}

/// <summary>One less s times the interquartile range.</summary>
internal sealed class QuartileRange(double safety) : IOverloadTest
{
    private readonly Threshold fallback = new(0.7);
    public string Name => $"IQR-{safety:0.0}";

    public bool IsOverloaded(double share, ReadOnlySpan<double> history)
    {
        if (history.Length < 12) return fallback.IsOverloaded(share, history);
        Span<double> sorted = stackalloc double[history.Length];
        history.CopyTo(sorted);
        sorted.Sort();
        var (first, third) = (Index(0.25, sorted.Length), Index(0.75, sorted.Length));
        return share > 1 - safety * (sorted[third] - sorted[first]);
    }

    private static int Index(double part, int count) => (int)Math.Floor(part * (count + 1) + 0.5) - 1;
}

/// <summary>One less s times the median of the distances from the median.</summary>
internal sealed class MedianDeviation(double safety) : IOverloadTest
{
    private readonly Threshold fallback = new(0.7);
    public string Name => $"MAD-{safety:0.0}";

    public bool IsOverloaded(double share, ReadOnlySpan<double> history)
    {
        if (history.Length < 12) return fallback.IsOverloaded(share, history);
        Span<double> values = stackalloc double[history.Length];
        history.CopyTo(values);
        var median = Median(values);
        for (var i = 0; i < values.Length; i++) values[i] = Math.Abs(median - history[i]);
        return share > 1 - safety * Median(values);
    }

    private static double Median(Span<double> values)
    {
        values.Sort();
        var middle = values.Length / 2;
        return values.Length % 2 == 1 ? values[middle] : values[middle - 1] + 0.5 * (values[middle] - values[middle - 1]);
    }
}

/// <summary>A straight line through the last ten loads, one step ahead, times s. The released weights have no effect.</summary>
internal sealed class LocalRegression(double safety) : IOverloadTest
{
    private const int Points = 10;
    private readonly Threshold fallback = new(0.7);
    public string Name => $"LR-{safety:0.0}";

    public bool IsOverloaded(double share, ReadOnlySpan<double> history)
    {
        if (history.Length < Points) return fallback.IsOverloaded(share, history);
        var (meanX, meanY) = ((Points + 1) / 2.0, 0.0);
        for (var i = 0; i < Points; i++) meanY += history[i];
        meanY /= Points;
        var (above, below) = (0.0, 0.0);
        for (var i = 0; i < Points; i++)
        {
            var x = Points - i - meanX;
            above += x * (history[i] - meanY);
            below += x * x;
        }
        var slope = above / below;
        return (meanY + slope * (Points + 1 - meanX)) * safety >= 1;
    }
}
