using System.Globalization;
using Godwit.Core.Migration;

namespace Godwit.Core.Quoting;

/// <summary>
/// The quote before a move: every way of moving with pause, duration and bytes, what each would break, and the cheapest way out. Pure;
/// a quote can be computed again from what it was made of.
/// </summary>
public static class QuoteMove
{
    public static MoveQuote Of(
        MoveMode asked, MoveLimits limits, MemoryProfile memory, PathProfile path, Func<MoveMode, Correction> learned, DateTimeOffset at)
    {
        var live = Way(MoveMode.Live, PredictMove.Live(memory, path, limits), learned(MoveMode.Live), limits, at);
        var quick = Way(MoveMode.Quick, PredictMove.Quick(memory, path, limits), learned(MoveMode.Quick), limits, at);
        var chosen = asked == MoveMode.Quick ? quick : live;
        return new MoveQuote
        {
            Ways = [live, quick], Chosen = chosen.Mode, Why = Why(chosen, limits, memory, path),
            Relaxations = chosen.Breaks.Count == 0 ? [] : Relaxations(live, quick, limits), Memory = memory, Path = path,
        };
    }

    /// <summary>A quick move is asked for with its pause: no limit of pause is broken by it.</summary>
    private static WayQuote Way(MoveMode mode, Prediction model, Correction learned, MoveLimits limits, DateTimeOffset at)
    {
        var pause = new Estimate(
            Math.Max(0, model.PauseMs + learned.PauseMs.Low), Math.Max(1, model.PauseMs + learned.PauseMs.Expected),
            Math.Max(1, model.PauseMs + learned.PauseMs.High));
        var fits = model.Fits && (mode == MoveMode.Quick || pause.Expected <= limits.MaxPauseMs);
        return new WayQuote
        {
            Mode = mode, Model = model, At = at, Passes = model.Passes, PauseMs = pause,
            DurationMs = Times(model.DurationMs, learned.Duration), WireBytes = Times(model.WireBytes, learned.Bytes),
            Breaks = fits ? [] : [$"max-pause {limits.MaxPauseMs} ms"],
        };
    }

    private static Estimate Times(double value, Estimate factor) => new(value * factor.Low, value * factor.Expected, value * factor.High);

    private static string Why(WayQuote chosen, MoveLimits limits, MemoryProfile memory, PathProfile path)
    {
        var rate = path.StreamBytesPerSecond(memory.PackRatio, limits.BandwidthBytesPerSecond);
        if (chosen.Mode == MoveMode.Quick)
            return string.Create(CultureInfo.InvariantCulture, $"asked for: each page crosses once, at {Mega(rate)} MB/s, while the guest stands still");
        return chosen.Breaks.Count > 0
            ? string.Create(CultureInfo.InvariantCulture, $"the guest changes {Mega(memory.DirtyBytesPerSecond)} MB/s and {Mega(rate)} MB/s cross: the rest never fits into {limits.MaxPauseMs} ms")
            : string.Create(CultureInfo.InvariantCulture, $"{Mega(rate)} MB/s cross, the guest changes {Mega(memory.DirtyBytesPerSecond)} MB/s: what is left after {chosen.Passes - 1} passes fits");
    }

    private static IReadOnlyList<string> Relaxations(WayQuote live, WayQuote quick, MoveLimits limits)
    {
        var ways = new List<(double PauseMs, string Text)>();
        var needed = Math.Ceiling(live.PauseMs.High / 10) * 10;
        if (needed > limits.MaxPauseMs && needed <= Vms.VmRules.MaxPauseMsMax)
            ways.Add((live.PauseMs.Expected, string.Create(CultureInfo.InvariantCulture, $"--max-pause {needed:0} (live, expected {live.PauseMs.Expected:0} ms)")));
        ways.Add((quick.PauseMs.Expected, string.Create(CultureInfo.InvariantCulture, $"--mode quick (expected pause {quick.PauseMs.Expected:0} ms)")));
        return [.. ways.OrderBy(w => w.PauseMs).Select(w => w.Text)];
    }

    private static string Mega(double bytes) => (bytes / 1e6).ToString(bytes < 10e6 ? "0.0" : "0", CultureInfo.InvariantCulture);
}
