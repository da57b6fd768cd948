using System.Globalization;
using Godwit.Core.Migration;

namespace Godwit.Core.Quoting;

/// <summary>
/// The quote before a move: every way of moving with pause, duration and bytes, what each would break, and the cheapest way out. Pure;
/// a quote can be computed again from what it was made of.
/// </summary>
public static class QuoteMove
{
    private const string MaxPauseWord = "max-pause";
    private const double WiderStep = 1.1;
    private const int LateSeconds = 2;
    /// <summary>By how much a guest is slowed in the line for whoever did not allow it: as must-finish does.</summary>
    private static readonly int slowdownOffered = MovePreset.All["must-finish"].MaxSlowdownPercent;

    public static MoveQuote Of(
        MoveMode asked, MoveLimits limits, MemoryProfile memory, PathProfile path, Func<MoveMode, Correction> learned, DateTimeOffset at)
    {
        if (asked == MoveMode.Hybrid) limits = limits with { PassesMax = null, MayLazy = false }; // What it is for the other ways.
        var (live, quick, lazy, hybrid) = (Way(MoveMode.Live), Way(MoveMode.Quick), Way(MoveMode.Lazy), Way(MoveMode.Hybrid));
        var endsLive = PredictMove.Live(memory, path, limits.ForHybrid()).Fits;
        var slowed = live.Breaks.Count > 0 && limits.MaxSlowdownPercent == 0 ? Slowed() : null;
        var chosen = asked switch { MoveMode.Quick => quick, MoveMode.Lazy => lazy, MoveMode.Hybrid => hybrid, _ => live };
        return new MoveQuote
        {
            Ways = slowed is null ? [live, quick, lazy, hybrid] : [live, quick, lazy, hybrid, slowed],
            Chosen = chosen.Mode, Why = Why(chosen, limits, memory, path, endsLive),
            Relaxations = chosen.Breaks.Count == 0 ? [] : Relaxations(live, quick, lazy, hybrid, slowed, Wider(), Later(), limits),
            Path = path,
        };

        WayQuote Way(MoveMode mode) => Of(mode, memory, PredictMove.Of(mode, memory, path, limits), learned(mode), limits, at);

        // The more is allowed, the sooner a pass ends and the more it leaves: so each is tried on paper before it is offered.
        (int MaxPauseMs, WayQuote Live)? Wider()
        {
            var (wider, byMoves) = (Math.Ceiling(Convergence.LimitForMs(live.PauseMs.High) / 10) * 10, learned(MoveMode.Live));
            for (; wider <= Vms.VmRules.MaxPauseMsMax; wider = Math.Ceiling(wider * WiderStep / 10) * 10)
            {
                if (wider <= limits.MaxPauseMs) continue;
                var allowed = limits with { MaxPauseMs = (int)wider };
                var way = Of(MoveMode.Live, memory, PredictMove.Of(MoveMode.Live, memory, path, allowed), byMoves, allowed, at);
                if (way.Breaks.All(broken => !broken.StartsWith(MaxPauseWord, StringComparison.Ordinal))) return (allowed.MaxPauseMs, way);
            }
            return null;
        }

        // A guest that works in turns rests in some seconds; whoever is a second late or two should meet that, too.
        (int Seconds, WayQuote Live)? Later()
        {
            if (asked != MoveMode.Live || GuestTurn.Of(memory) is not { } turn) return null;
            var (byMoves, fit) = (learned(MoveMode.Live), new Queue<WayQuote>());
            for (var seconds = 1; seconds * 1000 < turn.PeriodMs + LateSeconds * 1000; seconds++)
            {
                var then = memory.After(seconds * 1000);
                var way = Of(MoveMode.Live, then, PredictMove.Of(MoveMode.Live, then, path, limits), byMoves, limits, at);
                if (way.Breaks.Count > 0) fit.Clear();
                else fit.Enqueue(way);
                if (fit.Count > LateSeconds) return (seconds - LateSeconds, fit.Peek());
            }
            return null;
        }

        WayQuote Slowed()
        {
            var allowed = limits with { MaxSlowdownPercent = slowdownOffered };
            var way = Of(MoveMode.Live, memory, PredictMove.Of(MoveMode.Live, memory, path, allowed), learned(MoveMode.Live), allowed, at);
            return way with { SlowdownNotAllowedPercent = slowdownOffered, Breaks = [.. way.Breaks, "max-slowdown 0 %"] };
        }
    }

    /// <summary>A refresh hands devices over on one host, and memory stays where it is: what earlier ones cost is all that tells.</summary>
    public static MoveQuote OfRefresh(MoveLimits limits, RefreshCost before, HostId host, DateTimeOffset at)
    {
        var fits = before.PauseMs.Expected <= limits.MaxPauseMs;
        var needed = Math.Ceiling(before.PauseMs.High / 10) * 10;
        return new MoveQuote
        {
            Ways =
            [
                new WayQuote
                {
                    Mode = MoveMode.Refresh, PauseMs = before.PauseMs, DurationMs = before.DurationMs, WireBytes = before.Bytes, Passes = 1,
                    Breaks = fits ? [] : [$"{MaxPauseWord} {limits.MaxPauseMs} ms"], Memory = null, At = at,
                },
            ],
            Chosen = MoveMode.Refresh,
            Why = "memory stays in its place; " + (before.Moves == 0 ? "none was seen yet, this is what they usually come to"
                : $"as {before.Moves} {(before.IsOfHost ? $"on {host}" : "on other hosts")} came to"),
            Relaxations = fits ? [] : [$"--max-pause {Whole(needed)}"],
            Path = null,
        };
    }

    /// <summary>A quick move, and a live one that may stop the guest, are asked for with their pause: no limit of it is broken.</summary>
    private static WayQuote Of(
        MoveMode mode, MemoryProfile memory, Prediction model, Correction learned, MoveLimits limits, DateTimeOffset at)
    {
        var off = learned.PauseMs(model.PauseMs);
        var pause = new Estimate(Math.Max(0, model.PauseMs + off.Low), Math.Max(1, model.PauseMs + off.Expected),
            Math.Max(1, model.PauseMs + off.High));
        var duration = Times(model.DurationMs, learned.Duration);
        List<string> breaks = [];
        if (mode == MoveMode.Live && !limits.MayQuick && !limits.MayLazy && !(model.Fits && pause.Expected <= limits.MaxPauseMs))
            breaks.Add($"{MaxPauseWord} {limits.MaxPauseMs} ms");
        if (limits.DeadlineSeconds is { } deadline && duration.Expected > deadline * 1000.0) breaks.Add($"deadline {deadline} s");
        return new WayQuote
        {
            Mode = mode, Memory = memory, At = at, Passes = model.Passes, PauseMs = pause,
            DurationMs = duration, WireBytes = Times(model.WireBytes, learned.Bytes),
            Breaks = breaks,
        };
    }

    private static Estimate Times(double value, Estimate factor) => new(value * factor.Low, value * factor.Expected, value * factor.High);

    private static string Why(WayQuote chosen, MoveLimits limits, MemoryProfile memory, PathProfile path, bool endsLive)
    {
        var rate = path.StreamBytesPerSecond(memory.PackRatio, limits.BandwidthBytesPerSecond);
        if (chosen.Mode == MoveMode.Quick)
            return $"asked for: each page crosses once, at {Mega(rate)} MB/s, while the guest stands still";
        if (chosen.Mode == MoveMode.Lazy)
            return $"asked for: it stands still for its devices only, and its memory follows at {Mega(rate)} MB/s; until all is there "
                + "it waits for each page it misses, and needs both hosts";
        if (chosen.Mode == MoveMode.Hybrid)
            return $"asked for: one pass at {Mega(rate)} MB/s while it runs; " + (endsLive
                ? $"what is left then fits into {limits.MaxPauseMs} ms"
                : $"what is left then does not fit into {limits.MaxPauseMs} ms, so it stands still for its devices only, and what has "
                    + "changed follows; until all is there it needs both hosts");
        var race = $"the guest changes {Mega(memory.DirtyBytesPerSecond)} MB/s and {Mega(rate)} MB/s cross";
        return (chosen.Breaks.Count > 0 ? $"{race}: what is left never fits into {limits.MaxPauseMs} ms"
            : $"{race}: what is left fits after pass {chosen.Passes - 1}") + Turns(memory);
    }

    private static string Turns(MemoryProfile memory)
    {
        if (GuestTurn.Of(memory) is not { } turn || turn.At(0, memory.Rhythm!.AgeMs) is not var (works, forMs, worksMs)) return "";
        return $"; it works {Whole(worksMs / 1000)} s of every {Whole(turn.PeriodMs / 1000)} s, and {(works ? "works" : "rests")} for {
            Whole(Math.Ceiling(forMs / 1000))} s from now";
    }

    private static IReadOnlyList<string> Relaxations(
        WayQuote live, WayQuote quick, WayQuote lazy, WayQuote hybrid, WayQuote? slowed, (int MaxPauseMs, WayQuote Live)? wider,
        (int Seconds, WayQuote Live)? later, MoveLimits limits)
    {
        var ways = new List<(double PauseMs, string Text)>();
        if (wider is (var needed, var allowed))
            ways.Add((allowed.PauseMs.Expected, $"--max-pause {needed} (live, expected {Whole(allowed.PauseMs.Expected)} ms)"));
        if (later is (var seconds, var rested))
            ways.Add((rested.PauseMs.Expected,
                $"the same {seconds} s from now (live, expected pause {Whole(rested.PauseMs.Expected)} ms)"));
        if (slowed is { Breaks.Count: 1 })
            ways.Add((slowed.PauseMs.Expected,
                $"--max-slowdown {slowed.SlowdownNotAllowedPercent} (live, expected pause {Whole(slowed.PauseMs.Expected)} ms)"));
        if (!limits.MayQuick) ways.Add((live.PauseMs.Expected + 1, "--may-quick (stopped for the rest where it must be)"));
        ways.Add((quick.PauseMs.Expected, $"--mode quick (expected pause {Whole(quick.PauseMs.Expected)} ms)"));
        // Last, whatever their pause: they can lose a guest.
        return [.. ways.OrderBy(w => w.PauseMs).Select(w => w.Text),
            $"--mode hybrid (expected pause {Whole(hybrid.PauseMs.Expected)} ms; needs both hosts until what has changed is there)",
            $"--mode lazy (expected pause {Whole(lazy.PauseMs.Expected)} ms; needs both hosts until its memory is there)"];
    }

    private static string Whole(double ms) => ms.ToString("0", CultureInfo.InvariantCulture);

    private static string Mega(double bytes) => (bytes / 1e6).ToString(bytes < 10e6 ? "0.0" : "0", CultureInfo.InvariantCulture);
}
