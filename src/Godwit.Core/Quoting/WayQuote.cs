using Godwit.Core.Migration;

namespace Godwit.Core.Quoting;

/// <summary>What one way of moving would cost one VM now. Stored with the move, and held against its receipt.</summary>
public sealed record WayQuote
{
    public required MoveMode Mode { get; init; }
    /// <summary>
    /// Not 0: a live move that would slow the guest by up to this much, for which there is no consent. It is shown where the move as
    /// it was asked for does not fit.
    /// </summary>
    public int SlowdownNotAllowedPercent { get; init; }
    /// <summary>STOP to RESUME in ms. Of a way that does not fit: the shortest pause it came to.</summary>
    public required Estimate PauseMs { get; init; }
    public required Estimate DurationMs { get; init; }
    public required Estimate WireBytes { get; init; }
    public required int Passes { get; init; }
    /// <summary>What it would break, in the words of the wish: "max-pause 300 ms". Empty: it keeps all that was asked.</summary>
    public required IReadOnlyList<string> Breaks { get; init; }
    /// <summary>
    /// What the guest's memory was like: kept, so that the quote can be computed again. Null where memory stays in its place.
    /// </summary>
    public MemoryProfile? Memory { get; init; }
    public required DateTimeOffset At { get; init; }
}

/// <summary>All ways side by side, the one that would be taken, and why.</summary>
public sealed record MoveQuote
{
    public required IReadOnlyList<WayQuote> Ways { get; init; }
    /// <summary>The way asked for.</summary>
    public required MoveMode Chosen { get; init; }
    public required string Why { get; init; }
    /// <summary>What to ask for instead where the chosen way breaks a promise, cheapest first. Empty where it keeps all.</summary>
    public required IReadOnlyList<string> Relaxations { get; init; }
    /// <summary>Null where no memory crosses.</summary>
    public PathProfile? Path { get; init; }
    /// <summary>Null where no memory crosses, and from a server of before.</summary>
    public QuoteFacts? Facts { get; init; }
}
