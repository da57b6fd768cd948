using Godwit.Cli.Screens;
using Godwit.Core.Migration;

namespace Godwit.Cli.Demo;

/// <summary>One move of the demo: what the agents measured, and what the network saw of it.</summary>
internal sealed record DemoMove(Migration Move, SeenFromOutside Seen);

/// <summary>The three moves side by side. Pure.</summary>
internal static class DemoSheet
{
    private static readonly string[] headings =
        ["MOVE", "WAY", "TIME", "STOP→RESUME", "SEEN ON LAN", "SENT", "PASSES", "BEATS LOST", "GUEST"];

    public static Sheet Of(IReadOnlyList<DemoMove> moves) => new(headings, [.. moves.Select(Row)], "Nothing was moved.");

    private static IReadOnlyList<Cell> Row(DemoMove done)
    {
        var (move, seen) = done;
        var receipt = move.Receipt!;
        return
        [
            new Cell(Words.Of(move.Mode), Tone.Strong), MoveText.Way(move), Amounts.Milliseconds(receipt.TotalMs),
            new Cell(receipt.PauseMs is { } pause ? Amounts.Milliseconds(pause) : "-", Tone.Good),
            Amounts.Milliseconds(seen.PauseMs), Amounts.Bytes(receipt.WireBytes), Amounts.Count(receipt.Passes),
            new Cell(Amounts.Count(seen.BeatsLost), seen.BeatsLost == 0 ? Tone.Good : Tone.Plain),
            seen.GuestNoticedNothing ? new Cell("same boot, counter went on", Tone.Good) : new Cell("NOT THE SAME", Tone.Bad),
        ];
    }
}
