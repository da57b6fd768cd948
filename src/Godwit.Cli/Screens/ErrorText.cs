using Godwit.Cli.Api;
using Godwit.Core;
using Godwit.Core.Migration;

namespace Godwit.Cli.Screens;

/// <summary>An error for a person: where it happened, the cause, every reason with its fix, what to do next. Pure.</summary>
internal static class ErrorText
{
    public static IReadOnlyList<(string Text, Tone Tone)> Lines(ApiError error)
    {
        // A lone reason is the cause over again, and the server joins several to one long cause: each is said once.
        var joined = error.Cause == string.Join("; ", error.Reasons.Select(reason => reason.Cause));
        var headline = joined && error.Reasons.Count > 1
            ? $"{error.Reasons.Count} reasons stand against it; nothing was changed" : error.Cause;
        var lines = new List<(string, Tone)>
        {
            ($"Error: {Sentence(headline)}", Tone.Bad), ($"  {Place(error)}", Tone.Dim),
        };
        var listed = error.Reasons.Count > 1 || !joined;
        if (listed) lines.AddRange(Reasons(error.Reasons));
        if (error.Next is { Length: > 0 } next && !(listed && joined)) lines.Add(($"Next: {next}", Tone.Strong));
        return lines;
    }

    /// <summary>A move that did not end where it was sent.</summary>
    public static IReadOnlyList<(string Text, Tone Tone)> Lines(Migration move)
    {
        var lines = new List<(string, Tone)>
        {
            ($"{move.Id} {MoveText.Title(move)}: {MoveText.Ending(move)}", MoveText.EndTone(move.End!.Value)),
        };
        lines.AddRange(Reasons(move.Refusals));
        if (Next(move) is { } next) lines.Add(($"Next: {next}", Tone.Strong));
        return lines;
    }

    private static string? Next(Migration move) => move.End switch
    {
        MoveEnd.RolledBack when move.Refusals.Count > 0 =>
            $"do what the fixes say, or look for another host: godwit vm migrate {move.VmName} --to auto --dry-run",
        MoveEnd.RolledBack =>
            $"the guest is at {move.Source} as before; see godwit migration show {move.Id}, then try again",
        MoveEnd.NeedsOperator => $"godwit migration repair {move.Id}, when its hosts answer (for one that is off for good: --fenced HOST); "
            + "start nothing by hand before",
        _ => null,
    };

    private static IEnumerable<(string, Tone)> Reasons(IReadOnlyList<Refusal> reasons) =>
        reasons.SelectMany((reason, index) => new (string, Tone)[]
        {
            ($"  {index + 1}. {Sentence(reason.Cause)} [{reason.Code}]", Tone.Plain),
            ($"     Fix: {reason.Fix}", Tone.Plain),
        });

    private static string Place(ApiError error)
    {
        var parts = new List<string> { error.Code };
        if (error.Phase is { Length: > 0 } phase) parts.Add($"phase {phase}");
        if (error.Side is { Length: > 0 } side) parts.Add($"side {side}");
        if (error.Vm is { Length: > 0 } vm) parts.Add($"VM {vm}");
        if (error.From is { Length: > 0 } from) parts.Add($"from {from}");
        if (error.To is { Length: > 0 } to) parts.Add($"to {to}");
        return string.Join(" · ", parts);
    }

    private static string Sentence(string text) => text.Length > 0 && ".!?".Contains(text[^1]) ? text : text + ".";
}
