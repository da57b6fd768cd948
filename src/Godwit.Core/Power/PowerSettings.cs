using System.Globalization;

namespace Godwit.Core.Power;

public enum PowerMode
{
    /// <summary>Nobody looks. Hosts on standby stay there until a person wakes them.</summary>
    Off,
    /// <summary>What could be turned off, or should be woken, is recommended; a person applies it.</summary>
    Manual,
    /// <summary>It is done.</summary>
    Automatic,
}

/// <summary>What people set about turning hosts off and on. One record for the cluster.</summary>
public sealed record PowerSettings
{
    public const int WindowsMax = 20;
    /// <summary>A host is emptied only to this share of <see cref="Ceiling"/>, so that what empties one does not wake one.</summary>
    public const double EmptyTo = 0.8;

    public PowerMode Mode { get; init; } = PowerMode.Off;
    /// <summary>So many hosts that take VMs are on always, beside what spare capacity asks for.</summary>
    public int MinHostsOn { get; init; } = 2;
    /// <summary>So long a host could have been spared before one is emptied.</summary>
    public int LowMinutes { get; init; } = 15;
    /// <summary>Share of the processors of the hosts that are on (0 to 1) that the expected load may not pass.</summary>
    public double Ceiling { get; init; } = 0.75;
    /// <summary>A host that came on stays on so long.</summary>
    public int MinOnMinutes { get; init; } = 30;
    /// <summary>A host that is woken and not back by then has failed; the next one is tried.</summary>
    public int WakeMinutesMax { get; init; } = 10;
    /// <summary>Times of day in which hosts may be turned off; empty: always. Woken they are at any time.</summary>
    public IReadOnlyList<PowerWindow> Windows { get; init; } = [];

    public bool MayTurnOff(DateTimeOffset at) => Windows.Count == 0 || Windows.Any(window => window.Holds(at));
}

/// <summary>A part of every day, UTC; over midnight where it ends before it begins.</summary>
public sealed record PowerWindow(TimeOnly From, TimeOnly To)
{
    public bool Holds(DateTimeOffset at) => TimeOnly.FromDateTime(at.UtcDateTime).IsBetween(From, To);

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{From:HH:mm}-{To:HH:mm}");

    /// <summary>From <c>22:00-06:00</c>. Throws <see cref="RefusedException"/>.</summary>
    public static PowerWindow Parse(string text)
    {
        var ends = text.Split('-');
        if (ends.Length == 2 && Time(ends[0]) is { } from && Time(ends[1]) is { } to && from != to) return new(from, to);
        throw new RefusedException("bad-window", $"'{OneLine.Of(text)}' is no part of a day", "write it as 22:00-06:00, in UTC");
    }

    private static TimeOnly? Time(string text) =>
        TimeOnly.TryParseExact(text, "HH:mm", CultureInfo.InvariantCulture, DateTimeStyles.None, out var time) ? time : null;
}
