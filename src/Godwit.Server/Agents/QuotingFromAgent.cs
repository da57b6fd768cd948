using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Quoting;

namespace Godwit.Server.Agents;

/// <summary>What an agent measured, taken with care: figures that cannot be are put right or refused.</summary>
public static class QuotingFromAgent
{
    private const double AgeMsMax = 3_600_000;
    private const int PointsMax = 32, SlicesMax = 100, StepsMax = 64, WhatMax = 200;

    /// <summary>Throws <see cref="InvalidDataException"/>.</summary>
    public static MemoryProfile? Record(Contracts.MeasureMemoryReply reply) => reply.Memory is not { } memory ? null : new()
    {
        At = (memory.At ?? throw new InvalidDataException("a measurement without a moment")).ToDateTimeOffset(),
        TotalBytes = Math.Max(0, memory.TotalBytes), NonZeroBytes = Math.Clamp(memory.NonZeroBytes, 0, Math.Max(0, memory.TotalBytes)),
        PackRatio = double.IsFinite(memory.PackRatio) ? Math.Clamp(memory.PackRatio, 1, 1000) : 1,
        ChangedPackRatio = memory.ChangedPackRatio >= 1 ? Math.Min(memory.ChangedPackRatio, 1000) : 0,
        UntouchedBytes = Math.Clamp(memory.UntouchedBytes, 0, Math.Max(0, memory.TotalBytes)),
        GivenBytesPerSecond = Math.Max(0, Time(memory.GivenBytesPerSecond)),
        SampledPages = Math.Max(0, memory.SampledPages),
        Dirty = Points(memory.Dirty),
        Slices = [.. memory.Slices.Take(SlicesMax).Select(bytes => Math.Clamp(bytes, 0, Math.Max(0, memory.TotalBytes)))],
        LookWritten = Math.Clamp(Time(memory.LookWritten), 0, 1000.0 * GuestRhythm.SlicesMax),
        Rhythm = memory.Rhythm.Count == 0 ? null : new GuestRhythm
        {
            Written = [.. memory.Rhythm.TakeLast(GuestRhythm.SlicesMax).Select(share => Math.Clamp(share, 0, 1000))],
            AgeMs = Math.Clamp(Time(memory.RhythmAgeMs), 0, AgeMsMax), Longer = Points(memory.Longer),
        },
    };

    private static IReadOnlyList<DirtyPoint> Points(IEnumerable<Contracts.DirtyPoint> points) =>
    [
        .. points.Take(PointsMax).Where(p => double.IsFinite(p.WindowMs) && p.WindowMs is > 0 and <= AgeMsMax)
            .Select(p => new DirtyPoint(p.WindowMs, Math.Max(0, p.Bytes))).OrderBy(p => p.WindowMs),
    ];

    public static PauseParts? Record(Contracts.PauseParts? parts) => parts is null ? null
        : new(Time(parts.LastPassMs), Time(parts.DrainMs), Time(parts.LoadMs), Time(parts.StartMs));

    public static IReadOnlyList<SteeringStep> Record(IEnumerable<Contracts.SteeringStep> steps) =>
    [
        .. steps.Take(StepsMax).Select(s => new SteeringStep(Time(s.AtMs), s.Pass, s.RemainingBytes, s.BytesPerSecond,
            s.What.Length <= WhatMax ? s.What : s.What[..WhatMax])),
    ];

    public static LinkTestReady Record(Contracts.LinkTestReady ready) => new(new MoveId(ready.Name), ready.Endpoint, ready.Ticket);

    /// <summary>Throws <see cref="InvalidDataException"/>.</summary>
    public static LinkFigures Record(Contracts.LinkFigures figures) => new()
    {
        At = (figures.At ?? throw new InvalidDataException("a link test without a moment")).ToDateTimeOffset(),
        BytesPerSecond = Math.Max(0, figures.BytesPerSecond), Bytes = Math.Max(0, figures.Bytes),
        RoundTripMs = Math.Max(0, Time(figures.RoundTripMs)), Security = figures.Security,
    };

    public static double Time(double ms) => double.IsFinite(ms) ? ms : 0;
}
