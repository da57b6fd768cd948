namespace Godwit.Cli.Lab;

/// <summary>What the prober heard since a mark. Times: ns since 1970 by the kernel's receive stamps.</summary>
/// <param name="ProberDrops">Datagrams the prober itself lost (its socket was full): then no loss is a guest's.</param>
public sealed record ProberReport(
    string Report, long MarkNs, long NowNs, long ProberDrops, IReadOnlyList<GuestTally> Guests)
{
    /// <exception cref="LabException">This guest was never heard.</exception>
    public GuestTally Of(string address) => Guests.FirstOrDefault(g => g.Guest == address)
        ?? throw new LabException($"no beat of {address} was ever heard; heard: {string.Join(", ", Guests.Select(g => g.Guest))}");
}

/// <summary>One guest since one mark. A guest beats every millisecond.</summary>
public sealed record GuestTally
{
    public required string Guest { get; init; }
    public required long Beats { get; init; }
    /// <summary>Beats sent and never heard: holes in the counter.</summary>
    public required long Lost { get; init; }
    public required long Duplicates { get; init; }
    /// <summary>Beats with a counter lower than one heard before, same boot: two copies run, or time went back.</summary>
    public required long Past { get; init; }
    /// <summary>Different boots heard, one is right.</summary>
    public required int Boots { get; init; }
    public required IReadOnlyList<string> BootIds { get; init; }
    /// <summary>The longest silence that ended: the pause as a client sees it.</summary>
    public required long GapMaxUs { get; init; }
    public required long GapStartNs { get; init; }
    public required long GapCounterBefore { get; init; }
    public required long GapCounterAfter { get; init; }
    /// <summary>Largest step of the guest's own clock between beats: large where the guest was starved, not stopped.</summary>
    public required long GuestGapMaxUs { get; init; }
    /// <summary>Silence that lasts, as of the report.</summary>
    public required long SilentUs { get; init; }
    public required long FirstNs { get; init; }
    public required long LastNs { get; init; }
    public required long CounterFirst { get; init; }
    public required long CounterLast { get; init; }
    public required long AckedFirst { get; init; }
    /// <summary>The last disk write the guest was told is safe.</summary>
    public required long AckedLast { get; init; }
    /// <summary>Pages of the guest's working set that did not hold what it had written there.</summary>
    public required long MemoryErrors { get; init; }
    public required long WriteErrors { get; init; }
    public required long PagesDirtied { get; init; }
    public required int LoadMib { get; init; }
    public required int ReadyMib { get; init; }
    public required int MibPerS { get; init; }
    public required int WritesPerS { get; init; }

    /// <summary>The pause a client saw, counting a silence that goes on.</summary>
    public double GapMs => Math.Max(GapMaxUs, SilentUs > 5000 ? SilentUs : 0) / 1000.0;
}

/// <summary>Something out of the ordinary, as it happened.</summary>
/// <param name="Event"><c>new-guest, boot-changed, duplicate, past, lost, gap</c>.</param>
public sealed record ProberEvent(
    string Event, string? Guest, long StartNs, long EndNs, long Us, long CounterBefore, long CounterAfter, string? BootId);
