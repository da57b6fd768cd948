namespace Godwit.Roadef;

/// <summary>How long and how is searched.</summary>
/// <param name="TriesPerThread">Effort in changes tried: the same seed gives the same answer. Used where there is no clock.</param>
/// <param name="Progress">Share of the time that has passed, up to 1; null counts tries instead.</param>
internal sealed record SolverSettings(long TriesPerThread, Func<double>? Progress = null, ulong Seed = 1, int Threads = 2)
{
    /// <summary>Share of the effort that is annealed by itself, once and quickly: for an answer that is useful early.</summary>
    public double EarlyShare { get; init; } = 0.075;
    /// <summary>
    /// First temperature, as a share of what a mean process's amounts would cost; the last is a 5000th of it, at which the
    /// cheapest moves freeze too.
    /// </summary>
    public double Heat { get; init; } = 0.06;
    /// <summary>The same for the early part: a quick annealing that began hotter would spend its time on what it cannot keep.</summary>
    public double EarlyHeat { get; init; } = 0.005;
    /// <summary>See <see cref="SearchState.GoBy"/>; falls to nothing at two thirds of each annealing.</summary>
    public double Guide { get; init; } = 1;
}

/// <summary>
/// Annealing on several threads from one beginning, each with numbers of its own; now and then all go on from the best. First once
/// quickly, then slowly from what that found.
/// </summary>
internal sealed class Solver(Instance instance, SolverSettings settings)
{
    private const int Legs = 80;
    private const int LegsBetweenTakeOvers = 6;
    private const int Block = 20_000;
    private const double Cooling = 5000;
    private const double GuidedShare = 0.67;

    private readonly double meanAmounts = MeanAmounts(instance);

    /// <param name="told">The best cost after each leg.</param>
    public (int[] Assignment, long Cost) Solve(Action<long>? told = null)
    {
        var searches = Enumerable.Range(0, settings.Threads)
            .Select(i => new Annealing(instance, instance.First, settings.Seed * 1000 + (ulong)i)).ToArray();
        for (var leg = 0; leg < Legs; leg++)
        {
            var (from, to) = ((double)leg / Legs, (leg + 1.0) / Legs);
            var guide = Guide(from);
            Parallel.ForEach(searches, new ParallelOptions { MaxDegreeOfParallelism = settings.Threads }, search =>
            {
                search.GoBy(guide);
                Run(search, from, to);
            });
            told?.Invoke(searches.Min(search => search.BestCost));
            if (leg % LegsBetweenTakeOvers != LegsBetweenTakeOvers - 1) continue;
            var best = searches.MinBy(search => search.Cost)!;
            foreach (var search in searches.Where(search => search.Cost > best.Cost)) search.TakeOver(best);
        }
        var found = searches.MinBy(search => search.BestCost)!;
        return (found.Best, found.BestCost);
    }

    private void Run(Annealing search, double from, double to)
    {
        if (settings.Progress is { } progress)
        {
            while (progress() is var at && at < to) search.Run(Block, Temperature(at));
            return;
        }
        var tries = (long)(settings.TriesPerThread * (to - from));
        for (var done = 0L; done < tries; done += Block)
            search.Run((int)Math.Min(Block, tries - done), Temperature(from + (to - from) * done / tries));
    }

    private double Temperature(double at) => meanAmounts * (at < settings.EarlyShare
        ? settings.EarlyHeat * Math.Pow(Cooling, -at / settings.EarlyShare)
        : settings.Heat * Math.Pow(Cooling, -(at - settings.EarlyShare) / (1 - settings.EarlyShare)));

    private double Guide(double at)
    {
        var until = at < settings.EarlyShare ? settings.EarlyShare * GuidedShare : GuidedShare;
        return settings.Guide * Math.Max(0, 1 - at / until);
    }

    private static double MeanAmounts(Instance instance)
    {
        double sum = 0;
        for (var at = 0; at < instance.Requirement.Length; at++)
            sum += instance.LoadWeight[at % instance.Resources] * (double)instance.Requirement[at];
        return sum / instance.Processes;
    }
}
