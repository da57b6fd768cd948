namespace Godwit.Core.Balance.Automatic;

/// <summary>What a move really gained: guests' waiting before and after, on both hosts together. Pure.</summary>
public static class MeasuredGain
{
    /// <summary>So long before the move's begin, and after its end from <see cref="SettleMinutes"/> on, waiting is averaged.</summary>
    public const int SpanMinutes = 5;
    /// <summary>The copy itself, and caches that are cold at the new host, are not the new placement.</summary>
    public const int SettleMinutes = 2;
    /// <summary>So many moves that hurt within the cool-down, and the balancer moves nothing more by itself.</summary>
    public const int HurtsMax = 3;
    private const double SecondsAnHour = 3600;
    /// <summary>Less is noise: a fiftieth of a processor waited for.</summary>
    private const double NoiseCores = 0.02;

    /// <summary>Guest-seconds an hour.</summary>
    public static double Of(double waitCoresBefore, double waitCoresAfter) => (waitCoresBefore - waitCoresAfter) * SecondsAnHour;

    public static bool Hurt(Recommendation done) => done is { State: RecommendationState.Done, MeasuredGainSeconds: { } gain }
        && gain < -SecondsAnHour * Math.Max(NoiseCores, 0.1 * (done.WaitCoresBefore ?? 0));

    /// <summary>Of each VM, how many of its moves hurt since then: its next one is twice as dear for each.</summary>
    public static IReadOnlyDictionary<VmId, int> HurtsByVm(IEnumerable<Recommendation> history, DateTimeOffset since) =>
        history.Where(r => r.EndedAt >= since && Hurt(r)).GroupBy(r => r.Move.Vm).ToDictionary(g => g.Key, g => g.Count());

    /// <summary>Null, or why the balancer is to stop moving by itself until a person has looked.</summary>
    public static string? WhyPause(IEnumerable<Recommendation> history, DateTimeOffset since)
    {
        var hurt = history.Where(r => r.ByItself && r.EndedAt >= since && Hurt(r)).ToList();
        return hurt.Count < HurtsMax ? null
            : $"guests waited longer after {hurt.Count} of its moves than before: "
                + string.Join(", ", hurt.Take(5).Select(r => r.Move.VmName));
    }
}
