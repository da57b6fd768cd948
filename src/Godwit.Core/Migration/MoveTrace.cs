using System.Diagnostics;

namespace Godwit.Core.Migration;

/// <summary>
/// One move, one trace: the server's span "move", below it each order it gives to an agent, below those what the agent did
/// because of it. Nothing is made where nobody listens. Nothing is made in the pause either: an agent's span is told when its
/// side rests, with the times taken before and after.
/// </summary>
public static class MoveTrace
{
    /// <summary>The name under which spans are listened to.</summary>
    public const string SourceName = "Godwit";
    /// <summary>
    /// W3C trace context, in the metadata of an order to an agent. Not <c>traceparent</c>: HTTP layers write that themselves.
    /// </summary>
    public const string Header = "godwit-traceparent";

    private static readonly ActivitySource source = new(SourceName);

    /// <summary>A trace of its own, whatever request asked for the move. Null: nobody listens.</summary>
    public static Activity? Begin(Migration move)
    {
        if (!source.HasListeners()) return null;
        Activity.Current = null;
        return source.StartActivity("move", ActivityKind.Internal)?.SetTag("godwit.move", move.Id.Value)
            .SetTag("godwit.vm", move.Vm.Value).SetTag("godwit.mode", move.Mode.ToString())
            .SetTag("godwit.source", move.Source.Value).SetTag("godwit.target", move.Target.Value);
    }

    public static void End(Activity? span, Migration ended)
    {
        if (span is null) return;
        span.SetTag("godwit.end", ended.End?.ToString()).SetTag("godwit.pause_ms", ended.Receipt?.PauseMs);
        foreach (var (phase, ms) in ended.Receipt?.PhaseMs ?? new Dictionary<Phase, double>())
            span.SetTag($"godwit.phase_ms.{phase.ToString().ToLowerInvariant()}", ms);
        if (ended.End != MoveEnd.Done) span.SetStatus(ActivityStatusCode.Error, ended.Reason);
    }

    /// <summary>What an order carries, so that its agent's spans are of the same trace; null: no trace is under way.</summary>
    public static string? Carried => Activity.Current is { } current && current.Source.Name == SourceName ? current.Id : null;

    /// <summary>The agent's span of one order. Null: nobody listens, or what was <paramref name="carried"/> is no trace context.</summary>
    public static Activity? Order(string name, string? carried) =>
        carried is { Length: <= 128 } && ActivityContext.TryParse(carried, null, isRemote: true, out var parent)
            ? source.StartActivity(name, ActivityKind.Server, parent) : null;

    /// <summary>Where the present order stands, for what it sets going; null: it is not traced.</summary>
    public static ActivityContext? Here => Carried is null ? null : Activity.Current!.Context;

    /// <summary>What one side did, told when it rests.</summary>
    public static void Tell(string name, ActivityContext? parent, DateTimeOffset began, DateTimeOffset ended, MoveStatus status)
    {
        if (parent is not { } above) return;
        using var span = source.StartActivity(name, ActivityKind.Internal, above, startTime: began);
        if (span is null) return;
        span.SetTag("godwit.move", status.Move.Value).SetTag("godwit.standing", status.Standing.ToString());
        span.SetEndTime(ended.UtcDateTime);
    }
}
