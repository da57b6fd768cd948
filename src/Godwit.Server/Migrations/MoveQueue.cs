using Godwit.Core;
using Godwit.Core.Migration;

namespace Godwit.Server.Migrations;

/// <summary>Which waiting moves may begin: by default one memory move out of a host and one into it at a time. Pure.</summary>
public static class MoveQueue
{
    public const int OutOfAHostMax = 1, IntoAHostMax = 1;

    /// <summary>
    /// In order: a move that waits keeps later ones from taking the places it waits for, so none waits for ever.
    /// </summary>
    /// <param name="waiting">Oldest first.</param>
    public static IReadOnlyList<Migration> MayBegin(IEnumerable<Migration> running, IEnumerable<Migration> waiting)
    {
        var (outOf, into) = (new Dictionary<HostId, int>(), new Dictionary<HostId, int>());
        foreach (var move in running.Where(TakesPlace)) Take(move);

        var begin = new List<Migration>();
        foreach (var move in waiting)
        {
            var free = outOf.GetValueOrDefault(move.Source) < OutOfAHostMax && into.GetValueOrDefault(move.Target) < IntoAHostMax;
            if (free || !TakesPlace(move)) begin.Add(move);
            if (TakesPlace(move)) Take(move); // Taken by those that wait as well.
        }
        return begin;

        void Take(Migration move)
        {
            outOf[move.Source] = outOf.GetValueOrDefault(move.Source) + 1;
            into[move.Target] = into.GetValueOrDefault(move.Target) + 1;
        }
    }

    /// <summary>Moves a new one from <paramref name="source"/> to <paramref name="target"/> would wait for, oldest first.</summary>
    public static IReadOnlyList<MoveId> Before(IEnumerable<Migration> unfinished, MoveMode mode, HostId source, HostId target) =>
        mode is MoveMode.Cold or MoveMode.Refresh ? []
            : [.. unfinished.Where(TakesPlace).Where(m => m.Source == source || m.Target == target).Select(m => m.Id)];

    /// <summary>Only moves that send memory over a link share it with others.</summary>
    private static bool TakesPlace(Migration move) => move.Mode is MoveMode.Live or MoveMode.Quick or MoveMode.Lazy or MoveMode.Hybrid;
}
