using Godwit.Core.Migration;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Godwit.Cli.Screens;

/// <summary>A move on a terminal: three lines that are drawn again while it goes on. Pure.</summary>
internal static class MoveView
{
    private static readonly Phase[] Trail =
    [
        Phase.Checking, Phase.Preparing, Phase.Disks, Phase.Memory, Phase.Switching, Phase.Verifying, Phase.Cleaning,
    ];

    /// <param name="footer">Plain text below, or null.</param>
    public static IRenderable Of(IEnumerable<Migration> moves, DateTimeOffset now, string? footer = null)
    {
        var lines = moves.SelectMany(move => Lines(move, now));
        if (footer is not null) lines = lines.Append("  " + Screen.Markup(footer, Tone.Good));
        return new Rows(lines.Select(line => new Markup(line) { Overflow = Overflow.Ellipsis }));
    }

    public static IEnumerable<string> Lines(Migration move, DateTimeOffset now)
    {
        yield return Head(move, now);
        if (move.End is not null) yield break;
        yield return "  " + string.Join("  ", Trail.Select(phase => Step(move, phase)));
        yield return "  " + Detail(move);
    }

    private static string Head(Migration move, DateTimeOffset now)
    {
        var title = $"{Screen.Markup(move.VmName, Tone.Strong)}  {Markup.Escape(MoveText.Way(move))}  "
            + $"{Words.Of(move.Mode)}  {Screen.Markup(move.Id.ToString(), Tone.Dim)}";
        if (move.End is not { } end)
            return $"[yellow]▸[/] {title}  {Screen.Markup(Amounts.Age(now - move.CreatedAt), Tone.Dim)}";
        var sign = end is MoveEnd.Done or MoveEnd.Rehearsed ? "✓" : "✗";
        return $"{Screen.Markup(sign, MoveText.EndTone(end))} {title}  "
            + Screen.Markup(MoveText.Ending(move), MoveText.EndTone(end));
    }

    private static string Step(Migration move, Phase phase) => phase.CompareTo(move.Phase) switch
    {
        < 0 => $"{Screen.Markup("✓", Tone.Good)} {Screen.Markup(Words.Of(phase), Tone.Dim)}",
        0 => $"[yellow]▸[/] [bold]{Words.Of(phase)}[/]",
        _ => Screen.Markup($"· {Words.Of(phase)}", Tone.Dim),
    };

    private static string Detail(Migration move)
    {
        if (move.CancelRequested)
            return Screen.Markup("cancel asked for; waiting for the hosts to say where the guest is", Tone.Warn);
        if (MoveText.Followed(move) is { } followed) return Screen.Markup(followed, Tone.Plain);
        if (move.Phase is not (Phase.Memory or Phase.Switching) || move.Progress is not { } progress)
            return Screen.Markup(Doing(move.Phase), Tone.Dim);
        var figures = MoveText.Figures(progress);
        var converging = progress.EtaSeconds is not null;
        return string.Join(Screen.Markup(" · ", Tone.Dim), figures.Select((figure, index) =>
            Screen.Markup(figure, index == figures.Count - 1 && !converging ? Tone.Warn : Tone.Plain)));
    }

    private static string Doing(Phase phase) => phase switch
    {
        Phase.Queued => "waits for its turn",
        Phase.Checking => "asking both hosts; nothing is changed yet",
        Phase.Preparing => "memory is set aside, the target's QEMU waits paused",
        Phase.Disks => "the disks are opened at the target",
        Phase.Memory => "memory begins to cross",
        Phase.Switching => "the guest changes hands",
        Phase.Verifying => "the guest is at its new home; proving that it runs",
        _ => "what is left at the source goes",
    };
}
