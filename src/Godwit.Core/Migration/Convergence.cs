namespace Godwit.Core.Migration;

/// <summary>One pass over dirty memory, judged when the next begins; never inside (the figures saw-tooth there).</summary>
/// <param name="RemainingBytes">Dirty when this pass began.</param>
public sealed record PassFacts(int Number, long RemainingBytes, long BytesPerSecond);

/// <summary>What to do at a pass end. Closed set.</summary>
public abstract record ConvergenceAdvice
{
    private ConvergenceAdvice() { }

    /// <summary>Switch over as soon as what remains fits into this many ms at the measured rate.</summary>
    public sealed record SwitchBelow(int DowntimeLimitMs) : ConvergenceAdvice;
    /// <summary>By consent: the guest is stopped here, and the rest crosses while it waits.</summary>
    public sealed record StopNow(double WouldPauseMs, string Why) : ConvergenceAdvice;
    /// <summary>The limit was reached and passes no longer shrink, or the time is up: the move ends, the guest stays.</summary>
    public sealed record GiveUp(double WouldPauseMs, string Why) : ConvergenceAdvice;
}

/// <summary>
/// When to switch over. Pure: history and wish in, advice out. It aims low first, because most guests come there within a few
/// passes, and raises the aim only when passes stop shrinking, or when the deadline comes near: by a visible ladder, up to the pause
/// the person allowed and never over it. What happens at its top, or at the deadline, is the person's word too: stay, or stop the guest
/// for the rest.
/// </summary>
public static class Convergence
{
    /// <summary>What a switch-over costs beside the last bytes: device state saved and loaded, in ms; measured 3 to 8.</summary>
    public const int DevicePartMs = 8;
    /// <summary>
    /// The rate in the last pass is foretold from those before it, and is lower by this now and then: what is aimed at is that much less
    /// than what was allowed. A pause that becomes longer all the same is ended (OutgoingMove's guard), and the guest stays.
    /// </summary>
    public const double RateKeptTo = 0.9;
    /// <summary>Passes that may go by without progress before the aim is raised.</summary>
    public const int PatiencePasses = 3;
    /// <summary>At the top of the ladder: passes without progress before giving up.</summary>
    public const int GiveUpPasses = 12;
    /// <summary>From this part of the time to the deadline on, the aim is all that was allowed: a lull is no longer waited for.</summary>
    public const double NoMorePatienceAt = 0.7;

    /// <summary>
    /// QEMU goes by a rate it measures, and by a new aim, every 100 ms (migration.c, BUFFER_DELAY). Passes of a few ms would run through
    /// the whole ladder before it has looked once: those that begin within this of the one before count as one.
    /// </summary>
    public const double PassesApartMs = 50;

    private static readonly int[] LadderMs = [8, 16, 32, 64, 128, 256, 512, 1024, 2000];

    /// <summary>The aim before anything is measured.</summary>
    public static int FirstLimitMs(int maxPauseMs) => Math.Min(LadderMs[0], Top(maxPauseMs));

    /// <summary>Takes down a pass that has just begun.</summary>
    /// <param name="sinceMs">Since the last one that counted by itself began.</param>
    /// <returns>Whether this one does.</returns>
    public static bool Note(List<PassFacts> passes, PassFacts pass, double sinceMs)
    {
        // The first sends everything, and the second is the first that tells of the guest.
        var counts = passes.Count < 2 || sinceMs >= PassesApartMs;
        if (counts) passes.Add(pass);
        else passes[^1] = pass;
        return counts;
    }

    public static ConvergenceAdvice Advise(IReadOnlyList<PassFacts> passes, MoveLimits limits, TimeSpan elapsed)
    {
        var top = Top(limits.MaxPauseMs);
        var rung = 0;
        var best = long.MaxValue;
        var stalled = 0;
        foreach (var pass in passes.Skip(1)) // The first pass sends everything: it says nothing about the guest.
        {
            if (pass.RemainingBytes < best * 0.9) (best, stalled) = (pass.RemainingBytes, 0);
            else if (++stalled >= PatiencePasses && Limit(rung, top) < top) (rung, stalled) = (rung + 1, 0);
        }
        var last = passes[^1];
        if (limits.DeadlineSeconds is { } deadline && elapsed.TotalSeconds >= deadline)
            return End(limits, PauseMs(last.RemainingBytes, last.BytesPerSecond), $"the deadline of {deadline} s is there");
        // Stopped inside the next pass, it would wait for what is left of that and for all it has written since: up to twice as long.
        if (limits is { DeadlineSeconds: { } end, MayQuick: true } && passes.Count > 1
            && PauseMs(last.RemainingBytes, last.BytesPerSecond) - DevicePartMs is var restMs && restMs > top
            && elapsed.TotalMilliseconds + restMs >= end * 1000.0)
            return new ConvergenceAdvice.StopNow(restMs + DevicePartMs, $"no pass ends any more before the deadline of {end} s");
        if (limits.PassesMax is { } most && last.Number > most)
        {
            var pauseMs = PauseMs(last.RemainingBytes, last.BytesPerSecond);
            // QEMU goes by a rate of its own, and may see it otherwise: some passes more, and no more.
            return pauseMs - DevicePartMs <= top && last.Number <= most + PatiencePasses ? new ConvergenceAdvice.SwitchBelow(top)
                : new ConvergenceAdvice.GiveUp(pauseMs, $"what is left after pass {last.Number - 1} does not fit");
        }
        if (Limit(rung, top) >= top && stalled >= GiveUpPasses)
            return End(limits, PauseMs(best, last.BytesPerSecond), "the guest dirties memory faster than it can be sent");
        var late = limits.DeadlineSeconds is { } by && elapsed.TotalSeconds >= by * NoMorePatienceAt;
        return new ConvergenceAdvice.SwitchBelow(late ? top : Limit(rung, top));
    }

    /// <summary>Expected STOP to RESUME in ms if the guest were stopped with this much left.</summary>
    public static double PauseMs(long remainingBytes, long bytesPerSecond) =>
        DevicePartMs + (bytesPerSecond <= 0 ? 0 : remainingBytes * 1000.0 / bytesPerSecond);

    /// <summary>Seconds until switch-over, or null where passes do not shrink: "not converging".</summary>
    public static double? EtaSeconds(long remainingBytes, long bytesPerSecond, long dirtyBytesPerSecond) =>
        bytesPerSecond <= 0 || dirtyBytesPerSecond >= bytesPerSecond * 0.95
            ? null
            : remainingBytes / (double)(bytesPerSecond - dirtyBytesPerSecond); // Sum of the geometric series of passes.

    private static ConvergenceAdvice End(MoveLimits limits, double wouldPauseMs, string why) => limits.MayQuick
        ? new ConvergenceAdvice.StopNow(wouldPauseMs, why) : new ConvergenceAdvice.GiveUp(wouldPauseMs, why);

    /// <summary>The last rung is what was allowed, however long that is.</summary>
    private static int Limit(int rung, int top) => rung < LadderMs.Length ? Math.Min(LadderMs[rung], top) : top;

    /// <summary>The limit, in ms, with which a pause of that many ms is aimed at.</summary>
    public static double LimitForMs(double pauseMs) => DevicePartMs + (Math.Max(0, pauseMs - DevicePartMs) / RateKeptTo);

    /// <summary>The highest aim, in ms, with which a pause of at most that many ms is kept.</summary>
    internal static int Top(int maxPauseMs) => Math.Max(1, (int)((maxPauseMs - DevicePartMs) * RateKeptTo));
}
