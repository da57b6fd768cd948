using Godwit.Core.Migration;

namespace Godwit.Client;

/// <summary>
/// A move in words. Pure: the same record and time give the same text. Never a percentage: passes send memory again,
/// so a share of "all" would run backward or lie.
/// </summary>
public static class MoveText
{
    public const string NotConverging = "not converging";

    /// <summary>"web1: host1 → host2, live"; a refresh has one host.</summary>
    public static string Title(Migration move) =>
        $"{move.VmName}: {Way(move)}, {Words.Of(move.Mode)}{(move.Rehearses ? ", rehearsal" : "")}";

    public static string Way(Migration move) =>
        move.Source == move.Target ? move.Source.ToString() : $"{move.Source} → {move.Target}";

    /// <summary>One line: what it does now, or how it ended.</summary>
    public static string Now(Migration move)
    {
        if (move.End is not null) return Ending(move);
        var text = Words.Of(move.Phase);
        if (move.CancelRequested) text += ", cancel asked for";
        if (Followed(move) is { } followed) return $"{text}: {followed}";
        return move.Phase is Phase.Memory or Phase.Switching && move.Progress is { } progress
            ? $"{text}: {string.Join(", ", Figures(progress))}" : text;
    }

    /// <summary>Of a lazy move whose guest runs at its target: how much of its memory has followed. Null of any other.</summary>
    public static string? Followed(Migration move) =>
        move is not { Mode: MoveMode.Lazy, Phase: Phase.Verifying, End: null } ? null
        : move.Progress is { SentBytes: > 0 } now
            ? $"it runs at {move.Target}; {Amounts.Bytes(now.SentBytes)} of its memory followed, {Amounts.Rate(now.BytesPerSecond)}"
            : $"it runs at {move.Target}; its memory follows";

    public static string Ending(Migration move)
    {
        var end = Words.Of(move.End!.Value);
        if (move is { End: MoveEnd.Rehearsed, Receipt: { } found })
            return $"rehearsed in {Amounts.Milliseconds(found.TotalMs)}"
                + (found.PauseMs is { } would ? $", would have paused {Amounts.Milliseconds(would)}" : "")
                + (found.OwnPauseMs is { } own ? $", the guest stood still for {Amounts.Milliseconds(own)}" : "");
        if (move.End == MoveEnd.Done && move.Receipt is { } receipt)
            return receipt.PauseMs is { } pause
                ? $"done in {Amounts.Milliseconds(receipt.TotalMs)}, paused {Amounts.Milliseconds(pause)}"
                : $"done in {Amounts.Milliseconds(receipt.TotalMs)}";
        return move.Reason is { } reason ? $"{end}: {reason}" : end;
    }

    /// <summary>Pass, remaining, rate, dirty rate, expected pause, time left; each with its unit.</summary>
    public static IReadOnlyList<string> Figures(MoveProgress progress) =>
    [
        $"pass {progress.Pass}",
        $"{Amounts.Bytes(progress.RemainingBytes)} of {Amounts.Bytes(progress.TotalBytes)} left",
        $"{Amounts.Bytes(progress.SentBytes)} sent",
        Amounts.Rate(progress.BytesPerSecond),
        $"dirty {Amounts.Rate(progress.DirtyBytesPerSecond)}",
        $"pause ~{Amounts.Milliseconds(progress.ExpectedPauseMs)}",
        Eta(progress),
    ];

    public static string Eta(MoveProgress progress) =>
        progress.EtaSeconds is { } seconds ? $"ETA {Amounts.Milliseconds(Math.Ceiling(seconds) * 1000)}" : NotConverging;

    public static Tone EndTone(MoveEnd end) => end switch
    {
        MoveEnd.Done or MoveEnd.Rehearsed => Tone.Good,
        MoveEnd.Cancelled => Tone.Warn,
        _ => Tone.Bad,
    };

    /// <summary>
    /// True where a plain log gains by a line: a new phase or end at once, a new pass at most every second (the last
    /// ones take milliseconds), all else every five.
    /// </summary>
    public static bool IsNews(Migration? before, Migration now, TimeSpan sinceLastLine) =>
        before is null || before.Phase != now.Phase || before.End != now.End
        || before.CancelRequested != now.CancelRequested
        || (now.Progress?.Pass != before.Progress?.Pass && sinceLastLine >= TimeSpan.FromSeconds(1))
        || sinceLastLine >= TimeSpan.FromSeconds(5);
}
