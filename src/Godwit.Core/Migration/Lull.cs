namespace Godwit.Core.Migration;

/// <summary>
/// A guest that writes in bursts and rests between them. A pass that takes about as long as a rest meets a burst nearly always, and the
/// move then ends by luck, or not at all. Two things end it surely: the last bytes of a pass are held back until a burst is over, so that
/// the next pass begins with the rest; and that pass may leave to the pause what the rest has no room for, within what was allowed.
/// Pure; a move on paper asks the same.
/// </summary>
public static class Lull
{
    private const double HeldBackMinMs = 15, HeldBackMinBytes = 320 << 10;
    /// <summary>From the end of a burst until it is noticed and the pass goes on, in the mean.</summary>
    public const double NoticedMs = 45;
    /// <summary>QEMU looks what is left every 50 ms (migration/ram.c, MAX_WAIT): a pass ends so much later, at most.</summary>
    public const double SpareMs = 50;
    /// <summary>A pause that would be so much shorter is worth waiting for the next rest.</summary>
    private const double WorthWaitingMs = 100;
    /// <summary>Longer rests belong to turns (ADR 52): so many passes go by in one that no help is needed.</summary>
    public const double RestMaxMs = 1500;
    /// <summary>A guest is felt for so long to find out whether it writes in bursts: three of the longest.</summary>
    public const double FeltMs = 6000;
    /// <summary>Passes that are tried so; a guest that is not met by then is no such guest.</summary>
    public const int PassesMax = 7;
    /// <summary>Nothing is held back for longer; where bursts come more rarely nothing is held at all.</summary>
    public const double HeldMaxMs = 2500;
    private const double RestMinMs = 200;
    /// <summary>A pass that takes less than this part of a rest falls into one soon enough by itself.</summary>
    private const double FitsByItself = 0.8;
    /// <summary>Rests that differ by more are no rhythm to rely on.</summary>
    private const double Regular = 1.5;
    private const int RestsAtLeast = 2, RestsCounted = 4;
    /// <summary>Of the level at which a guest writes while it does.</summary>
    private const double WritesFrom = 0.25;
    /// <summary>Who writes more than this part of that level between bursts does not rest: a pass would wait in vain.</summary>
    private const double RestsBelow = 0.05;

    /// <summary>Null where a guest does not rest at least twice, alike, between bursts.</summary>
    /// <param name="written">How much was written in each tick, oldest first, in any unit.</param>
    public static Bursts? Felt(IReadOnlyList<double> written, double tickMs)
    {
        var level = Level(written);
        if (written.Where(tick => !Writes(tick, level)).DefaultIfEmpty().Average() > RestsBelow * level) return null;
        List<double> rests = [], begins = [];
        double? restBegan = null;
        for (var tick = 1; tick < written.Count; tick++)
        {
            // Of a tick in which a burst begins or ends a part was rest.
            var (before, now) = (Writes(written[tick - 1], level), Writes(written[tick], level));
            if (before && !now) restBegan = tick - Idle(tick - 1);
            if (before || !now) continue;
            begins.Add(tick - 1 + Idle(tick - 1) + Idle(tick));
            if (restBegan is { } from && (begins[^1] - from) * tickMs >= RestMinMs / 2) rests.Add((begins[^1] - from) * tickMs);
            else if (restBegan is not null) begins.RemoveAt(begins.Count - 1); // It stopped for a moment within a burst.
        }
        var last = rests.TakeLast(RestsCounted).ToList();
        if (last.Count < RestsAtLeast || last.Min() is < RestMinMs or > RestMaxMs || last.Max() > Regular * last.Min()) return null;
        var every = begins.Zip(begins.Skip(1), (one, next) => (next - one) * tickMs).TakeLast(RestsCounted);
        var (restMs, everyMs) = (Middle(last), Middle(every));
        var isWriting = Writes(written[^1], level) || restBegan is null || restBegan < begins[^1];
        // Some begin at equal distances, however long they take, others after equal rests: by whichever is sooner.
        var leftMs = isWriting ? 0 : Math.Min(
            restMs - (written.Count - restBegan!.Value) * tickMs, everyMs - (written.Count - begins[^1]) * tickMs);
        return new Bursts(restMs, everyMs, isWriting, isWriting ? 0 : (written.Count - restBegan!.Value) * tickMs, leftMs);

        double Idle(int tick) => 1 - Math.Min(1, written[tick] / level);
    }

    private static double Middle(IEnumerable<double> of)
    {
        var sorted = of.Order().ToList();
        return sorted.Count == 0 ? 0 : (sorted[(sorted.Count - 1) / 2] + sorted[sorted.Count / 2]) / 2;
    }

    /// <summary>
    /// So much of a pass is held back: what follows it begins that much after the burst. Not less than fits into QEMU's socket, or QEMU
    /// would have sent all of it already.
    /// </summary>
    public static double HeldBackMs(double bytesPerSecond) =>
        Math.Max(HeldBackMinMs, HeldBackMinBytes * 1000 / Math.Max(1, bytesPerSecond));

    /// <summary>A hybrid move does not wait for rests, and a guest that may be slowed has its bursts drawn out.</summary>
    public static bool MayHelp(MoveLimits limits) => limits is { PassesMax: null, MaxSlowdownPercent: 0 };

    /// <summary>What to do as a pass begins; null: it goes on as ever.</summary>
    /// <param name="passes">As <see cref="Convergence.Advise"/> takes them; the newest has just begun.</param>
    /// <param name="bytesPerSecond">
    /// Of the stream, over a whole pass: what is measured just now says too much, as a shaper saves up while something is held back.
    /// </param>
    /// <param name="bursts">As they are now: what is left until the next is what decides.</param>
    public static LullAdvice? Advise(
        IReadOnlyList<PassFacts> passes, long bytesPerSecond, MoveLimits limits, TimeSpan elapsed, Bursts bursts)
    {
        var (restMs, leftMs) = (bursts.RestMs, bursts.LeftMs);
        if (passes.Count < 2 || passes.Count > PassesMax || !MayHelp(limits)) return null;
        // The first pass sends everything. What comes after a whole burst is the longer one of the last two: some meet but a part of one.
        var (passMs, longestMs) = (Ms(passes[^1]), passes.Skip(1).TakeLast(2).Max(Ms));
        var topMs = Convergence.Top(limits.MaxPauseMs);
        var deadlineLeftMs = limits.DeadlineSeconds * 1000.0 - elapsed.TotalMilliseconds ?? double.PositiveInfinity;
        if (longestMs < FitsByItself * restMs || passMs > deadlineLeftMs) return null;
        var nowMs = Math.Max(1, passMs - Math.Max(0, leftMs - SpareMs)); // What missed its rest by little may fit the pause as it is.
        var nextMs = Math.Max(1, longestMs - (restMs - NoticedMs - HeldBackMs(bytesPerSecond) - SpareMs));
        if (leftMs > 0 && nowMs <= Math.Min(topMs, nextMs + WorthWaitingMs))
            return new LullAdvice.EndWithin(Math.Min(topMs, (int)Math.Ceiling(nowMs)));
        // A lull is waited for as long as one is waited for at all.
        var patienceLeftMs = deadlineLeftMs - (1 - Convergence.NoMorePatienceAt) * (limits.DeadlineSeconds * 1000.0 ?? 0);
        return nextMs <= topMs && bursts.EveryMs <= HeldMaxMs && passMs + bursts.EveryMs + longestMs <= patienceLeftMs
            ? new LullAdvice.HoldBack() : null;

        double Ms(PassFacts pass) => pass.RemainingBytes * 1000.0 / Math.Max(1, bytesPerSecond);
    }

    /// <summary>How much it writes in a tick while it does: ticks count by what was written in them.</summary>
    internal static double Level(IReadOnlyList<double> written)
    {
        var sum = written.Sum();
        return sum <= 0 ? 0 : written.Sum(tick => tick * tick) / sum;
    }

    internal static bool Writes(double tick, double level) => tick > WritesFrom * level;
}

/// <param name="RestMs">As long as the guest rests between two, in the middle of the last.</param>
/// <param name="EveryMs">From the beginning of one to that of the next.</param>
/// <param name="RestedMs">For how long it has rested; 0 while it writes.</param>
/// <param name="LeftMs">Until the next should begin; 0 while it writes, less where it is late.</param>
public sealed record Bursts(double RestMs, double EveryMs, bool IsWriting, double RestedMs, double LeftMs);

/// <summary>Closed set.</summary>
public abstract record LullAdvice
{
    private LullAdvice() { }

    /// <summary>The guest rests: with this aim, in ms, the pass ends before it writes again.</summary>
    public sealed record EndWithin(int DowntimeLimitMs) : LullAdvice;
    /// <summary>The last bytes of this pass wait for the end of a burst.</summary>
    public sealed record HoldBack : LullAdvice;
}
