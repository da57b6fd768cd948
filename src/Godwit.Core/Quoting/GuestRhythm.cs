using System.Runtime.CompilerServices;

namespace Godwit.Core.Quoting;

/// <summary>
/// How busily a guest wrote over the last minutes, felt twice a second: whether it works in turns that are longer than a look into its
/// memory (a batch each minute, ten seconds of work and ten of rest), and where in its turn it is.
/// </summary>
public sealed record GuestRhythm
{
    public const double SliceMs = 500;
    /// <summary>Four minutes.</summary>
    public const int SlicesMax = 480;
    /// <summary>A look tells what happens within 3 s.</summary>
    private const int LookSlices = 6;
    /// <summary>Of less, chance makes turns.</summary>
    private const int SlicesMin = 80, PeriodMin = 12;
    /// <summary>A guest whose business changes less is steady; some of it is that few pages are felt.</summary>
    private const double UnsteadyMin = 0.3;
    /// <summary>How much alike two turns are; 1 is the same.</summary>
    private const double AlikeMin = 0.6;
    /// <summary>The shortest turn that is as good as the best is the turn; twice it is as good.</summary>
    private const double AsGoodAs = 0.9;
    /// <summary>Newest turns the next are taken to be like: of more, a period known to half a second would blur.</summary>
    private const int TurnsTaken = 2;

    /// <summary>Of those pages that are watched, the thousandths that changed in each <see cref="SliceMs"/>; oldest first.</summary>
    public required IReadOnlyList<int> Written { get; init; }
    /// <summary>So many ms before it was asked for the last slice ended.</summary>
    public required double AgeMs { get; init; }
    /// <summary>
    /// Different bytes that changed within so many ms before the last slice ended, ascending: longer windows than a look has. A pass over a
    /// slow link takes as long.
    /// </summary>
    public IReadOnlyList<DirtyPoint> Longer { get; init; } = [];

    /// <summary>Thousandths of the watched pages, times slices, written within so many ms before the last ended.</summary>
    public double WrittenWithin(double ms)
    {
        var (sum, from) = (0.0, Written.Count - ms / SliceMs);
        for (var slice = Math.Max(0, (int)from); slice < Written.Count; slice++)
            sum += Written[slice] * Math.Min(1, slice + 1 - from);
        return sum;
    }

    /// <summary>A quote asks dozens of times.</summary>
    private static readonly ConditionalWeakTable<IReadOnlyList<int>, StrongBox<int>> periods = new();

    /// <summary>
    /// Slices after which the guest begins anew, up to two minutes; 0 where it works steadily, or as it likes, or nothing is known yet.
    /// </summary>
    /// <remarks>By autocorrelation, over at least two turns, of what is smoothed over a look.</remarks>
    public int PeriodSlices() => periods.GetValue(Written, _ => new StrongBox<int>(FindPeriod())).Value;

    private int FindPeriod()
    {
        if (Written.Count < SlicesMin) return 0;
        var smooth = Smoothed();
        var mean = smooth.Average();
        var spread = Math.Sqrt(smooth.Average(value => (value - mean) * (value - mean)));
        if (mean <= 0 || spread < UnsteadyMin * mean) return 0;
        var alike = Enumerable.Range(0, smooth.Length / 2 + 1).Select(lag => Alike(smooth, lag)).ToList();
        // All is like itself a moment later: a turn begins after it was unlike.
        var unlike = alike.FindIndex(value => value < 0);
        if (unlike < LookSlices / 2) return 0;
        var best = alike.Skip(unlike).Max();
        if (best < AlikeMin) return 0;
        var first = alike.FindIndex(unlike, value => value >= AsGoodAs * best);
        while (first + 1 < alike.Count && alike[first + 1] > alike[first]) first++;
        // What is still on its way up at the end may be anything.
        return first < PeriodMin || first == alike.Count - 1 ? 0 : first;
    }

    /// <summary>What the turns to come are taken to be like, from the end of the last slice on.</summary>
    public IReadOnlyList<double> Turn(int periodSlices)
    {
        var turns = Math.Min(TurnsTaken, Written.Count / periodSlices);
        return [.. Enumerable.Range(0, periodSlices).Select(slice => Enumerable.Range(1, turns)
            .Average(turn => (double)Written[Written.Count - turn * periodSlices + slice]))];
    }

    private double[] Smoothed()
    {
        var count = Math.Max(0, Written.Count - LookSlices + 1);
        var smooth = new double[count];
        for (var at = 0; at < count; at++)
            for (var slice = 0; slice < LookSlices; slice++) smooth[at] += Written[at + slice] / (double)LookSlices;
        return smooth;
    }

    /// <summary>Pearson's, of the series and itself so many slices later; 0 where either stands still.</summary>
    private static double Alike(double[] of, int lag)
    {
        ReadOnlySpan<double> before = of.AsSpan(0, of.Length - lag), after = of.AsSpan(lag);
        var (meanBefore, meanAfter) = (Mean(before), Mean(after));
        var (both, first, second) = (0.0, 0.0, 0.0);
        for (var i = 0; i < before.Length; i++)
        {
            var (x, y) = (before[i] - meanBefore, after[i] - meanAfter);
            (both, first, second) = (both + x * y, first + x * x, second + y * y);
        }
        return first <= 0 || second <= 0 ? 0 : both / Math.Sqrt(first * second);
    }

    private static double Mean(ReadOnlySpan<double> of)
    {
        var sum = 0.0;
        foreach (var value in of) sum += value;
        return sum / of.Length;
    }
}
