using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Google.Protobuf.WellKnownTypes;

namespace Godwit.Agent.Rpc;

/// <summary>What quotes are made of and held against, in the words a server understands. The way back is <c>QuotingFromAgent</c>.</summary>
public static class QuotingToServer
{
    public static Contracts.MeasureMemoryReply Reply(MemoryProfile? profile) =>
        profile is null ? new() : new() { Memory = Message(profile) };

    public static Contracts.PauseParts? Message(PauseParts? parts) => parts is null ? null : new()
    {
        LastPassMs = parts.LastPassMs, DrainMs = parts.DrainMs, LoadMs = parts.LoadMs, StartMs = parts.StartMs,
    };

    public static Contracts.SteeringStep Message(SteeringStep step) => new()
    {
        AtMs = step.AtMs, Pass = step.Pass, RemainingBytes = step.RemainingBytes, BytesPerSecond = step.BytesPerSecond, What = step.What,
    };

    public static Contracts.LinkTestReady Message(LinkTestReady ready) =>
        new() { Name = ready.Name.Value, Endpoint = ready.Endpoint, Ticket = ready.Ticket };

    public static Contracts.LinkFigures Message(LinkFigures figures) => new()
    {
        At = Timestamp.FromDateTimeOffset(figures.At), BytesPerSecond = figures.BytesPerSecond, Bytes = figures.Bytes,
        RoundTripMs = figures.RoundTripMs, Security = figures.Security,
    };

    private static Contracts.DirtyPoint Message(DirtyPoint point) => new() { WindowMs = point.WindowMs, Bytes = point.Bytes };

    private static Contracts.MemoryProfile Message(MemoryProfile profile) => new()
    {
        At = Timestamp.FromDateTimeOffset(profile.At), TotalBytes = profile.TotalBytes, NonZeroBytes = profile.NonZeroBytes,
        PackRatio = profile.PackRatio, SampledPages = profile.SampledPages,
        Dirty = { profile.Dirty.Select(Message) }, Longer = { profile.Rhythm?.Longer.Select(Message) ?? [] },
        Slices = { profile.Slices }, ChangedPackRatio = profile.ChangedPackRatio, LookWritten = profile.LookWritten,
        Rhythm = { profile.Rhythm?.Written ?? [] }, RhythmAgeMs = profile.Rhythm?.AgeMs ?? 0,
        UntouchedBytes = profile.UntouchedBytes, GivenBytesPerSecond = profile.GivenBytesPerSecond,
    };
}
