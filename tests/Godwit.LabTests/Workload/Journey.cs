namespace Godwit.LabTests.Workload;

internal enum Way { Live, Quick, Refresh }

internal enum Fault { None, SourceAgentKilled, TargetAgentKilled, ServerKilled, TargetQemuKilled, LinkCut }

/// <param name="After">From the move's beginning to the fault: it strikes in any phase.</param>
/// <param name="Outage">How long a cut link stays cut.</param>
internal sealed record Leg(Way Way, Fault Fault, TimeSpan After, TimeSpan Outage);

/// <summary>Which moves a database makes, and what goes wrong in each; all of it from the seed.</summary>
internal static class Journey
{
    private const int AfterMsMax = 2_500;
    /// <summary>Two that TCP bridges, and one longer than the 15 s after which a link without a byte is given up.</summary>
    private static readonly TimeSpan[] outages = [TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(18)];

    /// <summary>
    /// What can be survived: not the end of the process that holds the guest's only memory. So a target's QEMU is killed only in a
    /// move that is held in its memory phase, and never in a refresh, which has no target host and no link either.
    /// </summary>
    private static readonly (Way, Fault)[] deck =
    [
        (Way.Live, Fault.None), (Way.Live, Fault.SourceAgentKilled), (Way.Live, Fault.TargetAgentKilled), (Way.Live, Fault.ServerKilled),
        (Way.Live, Fault.TargetQemuKilled), (Way.Live, Fault.LinkCut), (Way.Quick, Fault.None), (Way.Quick, Fault.SourceAgentKilled),
        (Way.Quick, Fault.TargetAgentKilled), (Way.Quick, Fault.ServerKilled), (Way.Quick, Fault.LinkCut), (Way.Refresh, Fault.None),
        (Way.Refresh, Fault.SourceAgentKilled), (Way.Refresh, Fault.ServerKilled),
    ];

    /// <summary>The whole deck shuffled, then shuffled again, until there are enough.</summary>
    public static IReadOnlyList<Leg> Of(int seed, int legs)
    {
        var random = new Random(seed);
        var cards = new List<(Way Way, Fault Fault)>();
        while (cards.Count < legs)
        {
            var next = deck.ToArray();
            random.Shuffle(next);
            cards.AddRange(next);
        }
        return [.. cards.Take(legs).Select(card => new Leg(card.Way, card.Fault,
            TimeSpan.FromMilliseconds(random.Next(AfterMsMax)), outages[random.Next(outages.Length)]))];
    }
}
