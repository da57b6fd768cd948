using Godwit.Cli.Screens;
using Godwit.Core.Migration;
using Spectre.Console;

namespace Godwit.Cli.Moves;

/// <summary>What is said when moves have ended: a receipt, or why not and what next.</summary>
internal static class MoveReport
{
    public static int Tell(Session session, IReadOnlyList<Migration> moves)
    {
        foreach (var move in moves)
        {
            if (session.Screen.IsJson) session.Screen.DocumentLine(move);
            else if (HasSucceeded(move)) Receipt(session.Screen, move);
            else foreach (var (text, tone) in ErrorText.Lines(move)) session.Screen.Line(text, tone);
        }
        return ExitCodeOf(moves);
    }

    /// <summary>It ended as was wanted.</summary>
    public static bool HasSucceeded(Migration move) => move.End is MoveEnd.Done or MoveEnd.Rehearsed;

    public static bool WasRefused(Migration move) => move.End == MoveEnd.RolledBack && move.Refusals.Count > 0;

    private static int ExitCodeOf(IReadOnlyList<Migration> moves)
    {
        var (done, refused) = (moves.Count(HasSucceeded), moves.Count(WasRefused));
        return ExitCode.Of(done, moves.Count - done - refused, refused);
    }

    public static void Receipt(Screen screen, Migration move, SeenFromOutside? seen = null)
    {
        if (!screen.IsTerminal)
        {
            screen.Line($"{move.Id} {MoveText.Title(move)}: {MoveText.Ending(move)}");
            foreach (var line in ReceiptText.Plain(move, seen)) screen.Line(line);
            return;
        }
        var grid = new Grid().AddColumn(new GridColumn().NoWrap().PadRight(2)).AddColumn();
        foreach (var (name, value) in ReceiptText.Lines(move, seen))
            grid.AddRow(Screen.Markup(name, Tone.Dim), Screen.Markup(value, ToneOf(name, seen)));
        screen.Rich.Write(new Panel(grid)
        {
            Header = new PanelHeader($"\u00A0[green]✓[/] {Markup.Escape(MoveText.Title(move))}\u00A0"),
            Border = BoxBorder.Rounded, BorderStyle = new Style(Color.Grey),
        });
    }

    private static Tone ToneOf(string line, SeenFromOutside? seen) => line switch
    {
        "pause" => Tone.Strong,
        "guest" => seen!.GuestNoticedNothing ? Tone.Good : Tone.Bad,
        "warning" => Tone.Warn,
        _ => Tone.Plain,
    };
}
