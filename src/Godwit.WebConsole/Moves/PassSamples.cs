using System.Globalization;
using System.Text;
using Godwit.Core.Migration;

namespace Godwit.WebConsole.Moves;

/// <summary>One report of a move's memory.</summary>
/// <param name="AtSeconds">Since the first report that was seen.</param>
public readonly record struct PassSample(double AtSeconds, MoveProgress Progress);

/// <summary>
/// What a page saw of a move's memory, bounded: where there are too many reports, every second one is forgotten, so that the whole move
/// stays in sight.
/// </summary>
public sealed class PassSamples
{
    private const int SamplesMax = 480;
    private readonly List<PassSample> samples = [];
    private DateTimeOffset? began;

    public IReadOnlyList<PassSample> All => samples;

    public void Add(MoveProgress progress, DateTimeOffset at)
    {
        began ??= at;
        if (samples.Count > 0 && samples[^1].Progress == progress) return;
        samples.Add(new PassSample((at - began.Value).TotalSeconds, progress));
        if (samples.Count > SamplesMax)
            for (var n = samples.Count - 2; n > 0; n -= 2) samples.RemoveAt(n);
    }
}

/// <summary>Lines in a box of 600 by 120. Pure.</summary>
public static class PassLines
{
    public const int Width = 600, Height = 120;

    /// <summary>The points of an SVG polyline; empty for fewer than two samples.</summary>
    /// <param name="top">What stands at the upper edge.</param>
    public static string Points(IReadOnlyList<PassSample> samples, Func<MoveProgress, double> figure, double top)
    {
        if (samples.Count < 2) return "";
        var span = Span(samples);
        var points = new StringBuilder();
        foreach (var sample in samples)
            points.Append(CultureInfo.InvariantCulture,
                $"{X(sample.AtSeconds, span):0.#},{Height - Height * Math.Clamp(figure(sample.Progress) / Math.Max(top, 1), 0, 1):0.#} ");
        return points.ToString().TrimEnd();
    }

    /// <summary>Where a pass begins, in the same box.</summary>
    public static IReadOnlyList<(int Pass, double X)> Passes(IReadOnlyList<PassSample> samples)
    {
        var found = new List<(int, double)>();
        for (var n = 1; n < samples.Count; n++)
            if (samples[n].Progress.Pass != samples[n - 1].Progress.Pass)
                found.Add((samples[n].Progress.Pass, X(samples[n].AtSeconds, Span(samples))));
        return found;
    }

    private static double Span(IReadOnlyList<PassSample> samples) => Math.Max(0.001, samples[^1].AtSeconds - samples[0].AtSeconds);

    private static double X(double atSeconds, double span) => Width * Math.Clamp(atSeconds / span, 0, 1);
}
