using Godwit.Core.Migration;

namespace Godwit.Core.Quoting;

/// <summary>What the model says of one way of moving, before it is set right by what moves really cost.</summary>
/// <param name="PauseMs">STOP to RESUME.</param>
/// <param name="Fits">False: not within the pause allowed; <paramref name="PauseMs"/> is the shortest it came to.</param>
public sealed record Prediction(double PauseMs, double DurationMs, double WireBytes, int Passes, bool Fits);

/// <summary>
/// Runs a move on paper: the same passes, judged at their ends by the same <see cref="Convergence"/> and <see cref="Lull"/> that steer
/// real moves. Pure.
/// </summary>
public static class PredictMove
{
    /// <summary>A page of zeros is nine bytes on the stream, and looked at by QEMU at this many bytes of memory a second.</summary>
    public const double ZeroBytesPerSecond = 4e9;
    /// <summary>Beside what every hand-over takes: QEMU takes its memory apart, and its devices look into their rings.</summary>
    private const double LazyStartMs = 20;
    /// <summary>
    /// What is alike is compared, and handed to QEMU: 143 MiB took 1.76 s under TCG on two cores (bench/README.md, "Lazy moves").
    /// </summary>
    private const double AlikeBytesPerSecond = 85e6;
    /// <summary>QEMU sends for so long before it looks at what is left (migration/ram.c, MAX_WAIT).</summary>
    private const double PieceMs = 50;
    private const int PassesMax = 500;
    private const int BurstsFelt = 3;
    /// <summary>Of what a move takes beside memory, the part before it: checks, and the target's QEMU.</summary>
    private const double BeforeMemory = 0.7;

    public static Prediction Of(MoveMode mode, MemoryProfile memory, PathProfile path, MoveLimits limits) =>
        mode switch
        {
            MoveMode.Quick => Quick(memory, path, limits),
            MoveMode.Lazy => Lazy(memory, path, limits),
            MoveMode.Hybrid => Hybrid(memory, path, limits.ForHybrid()),
            _ => Live(memory, path, limits),
        };

    /// <summary>A guest is slowed only where it would not fit otherwise.</summary>
    public static Prediction Live(MemoryProfile memory, PathProfile path, MoveLimits limits)
    {
        var free = Live(memory, path, limits, slowdown: 0);
        return limits.MaxSlowdownPercent == 0 || (free.Fits && free.PauseMs <= limits.MaxPauseMs) ? free
            : Live(memory, path, limits, limits.MaxSlowdownPercent / 100.0);
    }

    /// <summary>From each moment that the move may meet; the middle of them.</summary>
    private static Prediction Live(MemoryProfile memory, PathProfile path, MoveLimits limits, double slowdown)
    {
        var clock = new GuestClock(memory);
        var all = clock.Moments(path.AroundMs * BeforeMemory)
            .Select(beganMs => Live(memory, clock, beganMs, path, limits, slowdown)).ToList();
        var fits = all.Count(move => move.Fits) * 2 > all.Count;
        var alike = all.Where(move => move.Fits == fits).ToList();
        return new Prediction(Middle(move => move.PauseMs), Middle(move => move.DurationMs), Middle(move => move.WireBytes),
            (int)Middle(move => move.Passes), fits);

        double Middle(Func<Prediction, double> of) => LearnedFromMoves.Quantile(alike.Select(of), 0.5);
    }

    private static Prediction Live(
        MemoryProfile memory, GuestClock clock, double beganMs, PathProfile path, MoveLimits limits, double slowdown)
    {
        var first = path.SetupMs + FirstPassMs(memory, path.StreamBytesPerSecond(memory.PackRatio, limits.BandwidthBytesPerSecond));
        var packs = memory.ChangedPackRatio > 0 ? memory.ChangedPackRatio : memory.PackRatio;
        var rate = path.StreamBytesPerSecond(packs, limits.BandwidthBytesPerSecond);
        var (spent, wire, last, rest) = (first, memory.NonZeroBytes / memory.PackRatio, first, 0.0);
        var passes = new List<PassFacts> { new(1, memory.TotalBytes, (long)rate) };
        var (number, countedMs) = (1, 0.0);
        var heldMs = Lull.HeldBackMs(rate);
        var deadlineMs = limits.DeadlineSeconds * 1000.0 ?? double.PositiveInfinity;
        if (first > deadlineMs)
        {
            var part = Math.Min(1, (first - deadlineMs) / Math.Max(1, first - path.SetupMs));
            return AtDeadline(passBeganMs: 0, part * (first - path.SetupMs), part * wire, wire);
        }
        while (true)
        {
            var now = beganMs + spent;
            // Of the rest some was written anew; no more is dirty than was written since the move began.
            var left = Math.Max(rest, Math.Min((1 - slowdown) * clock.DirtyBytesBetween(beganMs, now),
                rest + (1 - slowdown) * clock.DirtyBytesBetween(now - last, now)));
            number++;
            if (Convergence.Note(passes, new PassFacts(number, (long)left, (long)rate), spent - countedMs)) countedMs = spent;
            var elapsed = TimeSpan.FromMilliseconds(spent);
            var advice = number >= PassesMax ? new ConvergenceAdvice.GiveUp(0, "it never ends")
                : Convergence.Advise(passes, limits, elapsed);
            var aimMs = (advice as ConvergenceAdvice.SwitchBelow)?.DowntimeLimitMs ?? 0;
            last = left * 1000 / rate;
            var switches = advice is ConvergenceAdvice.StopNow || (aimMs > 0 && last <= aimMs);
            if (switches || advice is ConvergenceAdvice.GiveUp)
            {
                var pause = last + Convergence.DevicePartMs;
                // What does not fit ends with the guest at home: only what crossed until then was spent.
                return new Prediction(pause, path.AroundMs + spent + (switches ? pause : 0),
                    wire + (switches ? left / packs : 0), number, switches);
            }
            // Some bursts have to be felt before.
            var lull = aimMs > 0 && clock.BurstsAt(now) is { } bursts && spent > BurstsFelt * bursts.EveryMs
                ? Lull.Advise(passes, (long)rate, limits, elapsed, bursts) : null;
            if (lull is LullAdvice.EndWithin within)
            {
                var unsentMs = Math.Min(last, within.DowntimeLimitMs > aimMs ? within.DowntimeLimitMs : RestMs(aimMs));
                // A guest that rests writes a little all the same.
                var written = clock.DirtyBytesBetween(now, now + last - unsentMs);
                var pause = unsentMs + written * 1000 / rate + Convergence.DevicePartMs;
                if (pause <= limits.MaxPauseMs)
                    return new Prediction(pause, path.AroundMs + spent + last - unsentMs + pause, wire + (left + written) / packs,
                        number + 1, Fits: true);
            }
            var restMs = lull is LullAdvice.HoldBack ? 0 : RestMs(aimMs);
            rest = restMs * rate / 1000;
            last -= restMs;
            if (lull is LullAdvice.HoldBack)
                last = clock.BurstOverMs(now + last - heldMs) + Lull.NoticedMs + heldMs - now;
            // A deadline is not waited for until a pass ends.
            if (spent + last > deadlineMs && spent < deadlineMs)
            {
                var unsentMs = Math.Max(lull is LullAdvice.HoldBack ? heldMs : 0, left * 1000 / rate - (deadlineMs - spent));
                return AtDeadline(spent, unsentMs, unsentMs * rate / 1000 / packs, wire + left / packs);
            }
            (spent, wire) = (spent + last, wire + (left - rest) / packs);
        }

        // Stopped there, QEMU sends what is left of the pass, and then all that was written since it began, once more where both.
        Prediction AtDeadline(double passBeganMs, double unsentMs, double unsentWire, double wireByPassEnd)
        {
            var written = (1 - slowdown) * clock.DirtyBytesBetween(beganMs + passBeganMs, beganMs + deadlineMs);
            var pause = unsentMs + written * 1000 / rate + Convergence.DevicePartMs;
            return new Prediction(pause, path.AroundMs + deadlineMs + (limits.MayQuick ? pause : 0),
                limits.MayQuick ? wireByPassEnd + written / packs : wireByPassEnd - unsentWire, number, limits.MayQuick);
        }
    }

    /// <summary>
    /// QEMU looks for what is dirty anew as soon as the rest would fit the aim, not when all is sent; it finds that out after each piece it
    /// sends. So the rest is less than the aim by half a piece, in the mean; of a shorter aim pieces mostly leave nothing.
    /// </summary>
    private static double RestMs(double aimMs) => aimMs < PieceMs ? aimMs * aimMs / (2 * PieceMs) : aimMs - PieceMs / 2;

    public static Prediction Quick(MemoryProfile memory, PathProfile path, MoveLimits limits)
    {
        var rate = path.StreamBytesPerSecond(memory.PackRatio, limits.BandwidthBytesPerSecond);
        var pause = FirstPassMs(memory, rate) + Convergence.DevicePartMs;
        return new Prediction(pause, path.AroundMs + path.SetupMs + pause, memory.NonZeroBytes / memory.PackRatio, 1, Fits: true);
    }

    /// <summary>
    /// It stands still for its devices, whatever memory it has; the move is over when all of that is there, which crosses once and
    /// unpacked. What it waits for pages meanwhile is not in it.
    /// </summary>
    public static Prediction Lazy(MemoryProfile memory, PathProfile path, MoveLimits limits)
    {
        var rate = path.StreamBytesPerSecond(1, limits.BandwidthBytesPerSecond);
        var pause = path.DeviceBytes * 1000.0 / rate + LazyStartMs + Convergence.DevicePartMs;
        return new Prediction(pause, path.AroundMs + path.SetupMs + pause + memory.NonZeroBytes * 1000.0 / rate,
            path.DeviceBytes + memory.NonZeroBytes, 1, Fits: true);
    }

    /// <summary>
    /// Live for a pass. Where what is left does not fit then, a lazy move follows, for which all is compared and what has changed since it
    /// was sent crosses once more; preparing that takes as long as preparing did.
    /// </summary>
    private static Prediction Hybrid(MemoryProfile memory, PathProfile path, MoveLimits limits)
    {
        var live = Live(memory, path, limits);
        if (live.Fits) return live;
        var rate = path.StreamBytesPerSecond(1, limits.BandwidthBytesPerSecond);
        var clock = new GuestClock(memory);
        var beganMs = clock.Moments(path.AroundMs * BeforeMemory)[0];
        var changed = Math.Min(clock.DirtyBytesBetween(beganMs, beganMs + live.DurationMs), memory.NonZeroBytes);
        var lazy = Lazy(memory, path, limits);
        var followsMs = Math.Max(changed * 1000.0 / rate, memory.NonZeroBytes * 1000.0 / AlikeBytesPerSecond);
        return new Prediction(lazy.PauseMs, live.DurationMs + path.AroundMs + path.SetupMs + lazy.PauseMs + followsMs,
            live.WireBytes + path.DeviceBytes + changed, live.Passes, Fits: true);
    }

    private static double FirstPassMs(MemoryProfile memory, double rate) =>
        memory.NonZeroBytes * 1000.0 / rate + ZerosMs(memory, memory.TotalBytes - memory.NonZeroBytes);

    /// <summary>
    /// How long QEMU takes to find out of so many bytes that they are zeros: those that were never given are given first.
    /// </summary>
    /// <param name="memory">Null where it is not known: as if all had been given.</param>
    public static double ZerosMs(MemoryProfile? memory, double bytes)
    {
        var untouched = memory is { GivenBytesPerSecond: > 0 } ? Math.Clamp(memory.UntouchedBytes, 0, Math.Max(0, bytes)) : 0;
        return Math.Max(0, bytes) * 1000.0 / ZeroBytesPerSecond + (untouched > 0 ? untouched * 1000.0 / memory!.GivenBytesPerSecond : 0);
    }
}
