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
    /// <summary>The limit was reached and passes no longer shrink: the move ends, the guest stays.</summary>
    public sealed record GiveUp(double WouldPauseMs) : ConvergenceAdvice;
}

/// <summary>
/// When to switch over. Pure: history in, advice out. It aims low first, because most guests come there within a few
/// passes, and raises the aim only when passes stop shrinking: by a visible ladder, up to the pause the person allowed
/// and never over it.
/// </summary>
public static class Convergence
{
    /// <summary>What a switch-over costs beside the last bytes: device state saved and loaded, in ms; measured 3 to 8.</summary>
    public const int DevicePartMs = 8;
    /// <summary>Passes that may go by without progress before the aim is raised.</summary>
    public const int PatiencePasses = 3;
    /// <summary>At the top of the ladder: passes without progress before giving up.</summary>
    public const int GiveUpPasses = 12;

    private static readonly int[] LadderMs = [8, 16, 32, 64, 128, 256, 512, 1024, 2000];

    /// <summary>The aim before anything is measured.</summary>
    public static int FirstLimitMs(int maxPauseMs) => Math.Min(LadderMs[0], Top(maxPauseMs));

    public static ConvergenceAdvice Advise(IReadOnlyList<PassFacts> passes, int maxPauseMs)
    {
        var top = Top(maxPauseMs);
        var rung = 0;
        var best = long.MaxValue;
        var stalled = 0;
        foreach (var pass in passes.Skip(1)) // The first pass sends everything: it says nothing about the guest.
        {
            if (pass.RemainingBytes < best * 0.9) (best, stalled) = (pass.RemainingBytes, 0);
            else if (++stalled >= PatiencePasses && Limit(rung, top) < top) (rung, stalled) = (rung + 1, 0);
        }
        if (Limit(rung, top) < top || stalled < GiveUpPasses) return new ConvergenceAdvice.SwitchBelow(Limit(rung, top));
        var last = passes[^1];
        return new ConvergenceAdvice.GiveUp(PauseMs(best, last.BytesPerSecond));
    }

    /// <summary>Expected STOP to RESUME in ms if the guest were stopped with this much left.</summary>
    public static double PauseMs(long remainingBytes, long bytesPerSecond) =>
        DevicePartMs + (bytesPerSecond <= 0 ? 0 : remainingBytes * 1000.0 / bytesPerSecond);

    /// <summary>Seconds until switch-over, or null where passes do not shrink: "not converging".</summary>
    public static double? EtaSeconds(long remainingBytes, long bytesPerSecond, long dirtyBytesPerSecond) =>
        bytesPerSecond <= 0 || dirtyBytesPerSecond >= bytesPerSecond * 0.95
            ? null
            : remainingBytes / (double)(bytesPerSecond - dirtyBytesPerSecond); // Sum of the geometric series of passes.

    /// <summary>The last rung is what was allowed, however long that is.</summary>
    private static int Limit(int rung, int top) => rung < LadderMs.Length ? Math.Min(LadderMs[rung], top) : top;

    private static int Top(int maxPauseMs) => Math.Max(1, maxPauseMs - DevicePartMs);
}
