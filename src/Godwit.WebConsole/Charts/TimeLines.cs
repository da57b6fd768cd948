using System.Globalization;
using System.Text;

namespace Godwit.WebConsole.Charts;

/// <summary>What was measured at one moment.</summary>
public readonly record struct Measured(DateTimeOffset At, double Value);

/// <summary>A line over time in a box of 600 by 80: where nothing was measured there is a hole, never a line that was not. Pure.</summary>
public static class TimeLines
{
    public const int Width = 600, Height = 80;
    /// <summary>As wide as so many usual steps, a pause is shown as one.</summary>
    private const double HoleSteps = 3.5;

    /// <summary>The points of SVG polylines, one for each unbroken piece.</summary>
    /// <param name="points">Oldest first.</param>
    /// <param name="top">What stands at the upper edge.</param>
    public static IReadOnlyList<string> Pieces(IReadOnlyList<Measured> points, DateTimeOffset from, DateTimeOffset to, double top)
    {
        var pieces = new List<string>();
        var piece = new StringBuilder();
        var hole = HoleSeconds(points);
        for (var n = 0; n < points.Count; n++)
        {
            if (n > 0 && (points[n].At - points[n - 1].At).TotalSeconds > hole) Close();
            piece.Append(CultureInfo.InvariantCulture, $"{X(points[n].At, from, to):0.#},{Y(points[n].Value, top):0.#} ");
        }
        Close();
        return pieces;

        void Close()
        {
            // One point alone is no line: it is shown as the shortest one.
            if (piece.Length > 0) pieces.Add(piece.ToString().TrimEnd());
            piece.Clear();
        }
    }

    /// <summary>The same piece as an area down to the lower edge.</summary>
    public static string Area(string piece)
    {
        var ends = piece.Split(' ');
        return $"{piece} {ends[^1].Split(',')[0]},{Height} {ends[0].Split(',')[0]},{Height}";
    }

    public static double X(DateTimeOffset at, DateTimeOffset from, DateTimeOffset to) =>
        Width * Math.Clamp((at - from) / Longer(to - from), 0, 1);

    public static double Y(double value, double top) => Height - (Height - 2) * Math.Clamp(value / Math.Max(top, double.Epsilon), 0, 1);

    /// <summary>The next round number above: 1, 2 or 5 times a power of ten, or of 1024 for bytes.</summary>
    public static double RoundTop(double max, double unit = 10)
    {
        if (max <= 0) return 1;
        var scale = 1.0;
        while (scale * unit <= max) scale *= unit;
        while (scale > max) scale /= unit;
        foreach (var step in (ReadOnlySpan<double>)[1, 2, 5, 10, 20, 50, 100, 200, 500])
            if (step < unit && step * scale >= max) return step * scale;
        return unit * scale;
    }

    private static double HoleSeconds(IReadOnlyList<Measured> points)
    {
        if (points.Count < 3) return double.MaxValue;
        var steps = points.Zip(points.Skip(1), (one, next) => (next.At - one.At).TotalSeconds).Order().ToList();
        return Math.Max(1, steps[steps.Count / 2] * HoleSteps);
    }

    private static TimeSpan Longer(TimeSpan span) => span < TimeSpan.FromSeconds(1) ? TimeSpan.FromSeconds(1) : span;
}
