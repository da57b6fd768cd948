using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Godwit.Core;
using Godwit.Core.Migration;

namespace Godwit.Server.Migrations;

/// <summary>
/// The newest word of each move that goes on: progress is not durable, only shown. A slow watcher misses words in
/// between and always gets the last, so nothing queues up for it.
/// </summary>
public sealed class LiveMoves
{
    private readonly ConcurrentDictionary<MoveId, Latest> _moves = new();

    /// <summary>A move has ended and is in the store; once for each end, repaired moves again. Long after the pause.</summary>
    public event Action<Migration>? Ended;

    public void Begin(Migration move) => _moves[move.Id] = new Latest(move);

    public void Publish(Migration move)
    {
        if (_moves.TryGetValue(move.Id, out var latest)) latest.Set(move);
    }

    /// <summary>The move has ended and is in the store: watchers get the end and leave.</summary>
    public void End(Migration move)
    {
        if (!_moves.TryRemove(move.Id, out var latest)) return;
        latest.Set(move);
        Ended?.Invoke(move);
    }

    /// <summary>The store's record, with what is newer than it.</summary>
    public Migration Fresh(Migration stored) =>
        stored.End is null && _moves.TryGetValue(stored.Id, out var latest) && latest.Move.Phase >= stored.Phase
            ? latest.Move with { CancelRequested = stored.CancelRequested || latest.Move.CancelRequested } : stored;

    /// <summary>Now and at each change until it has ended; once where nobody runs it.</summary>
    /// <param name="stored">
    /// Reads the store. Asked after it is known that nobody runs the move: what was read before may lack its end.
    /// </param>
    public async IAsyncEnumerable<Migration> WatchAsync(
        MoveId id, Func<Task<Migration>> stored, [EnumeratorCancellation] CancellationToken leave)
    {
        if (!_moves.TryGetValue(id, out var latest))
        {
            yield return await stored();
            yield break;
        }
        while (true)
        {
            var (move, changed) = latest.Read();
            yield return move;
            if (move.End is not null) yield break;
            await changed.Joinable().WaitAsync(leave);
        }
    }

    private sealed class Latest(Migration move)
    {
        private readonly Lock _one = new();
        private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Migration Move { get; private set; } = move;

        public (Migration Move, Task Changed) Read()
        {
            lock (_one) return (Move, _changed.Task);
        }

        public void Set(Migration next)
        {
            TaskCompletionSource changed;
            lock (_one)
            {
                (Move, changed) = (next, _changed);
                _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
            changed.SetResult();
        }
    }
}
