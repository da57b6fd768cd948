using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Migrations;

/// <summary>
/// One task for each move that goes on; the others wait their turn, in order. After a restart every unfinished move
/// goes on at once where it had begun, whatever the limits: its guest is on the way.
/// </summary>
public sealed class MigrationRunner(
    Func<HostId, IHostAgent> agents, Stores stores, LiveMoves live, TimeProvider time, ILogger<MigrationRunner> log,
    FailPoints? failPoints = null)
{
    private const int ToldAtOnceMax = 16;

    private readonly MoveStore moves = stores.Moves;
    private readonly MigrateVm _story = new(agents, stores.Moves, time, live.Publish, failPoints);
    private readonly Lock _one = new();
    private readonly Dictionary<MoveId, Running> _running = [];
    private readonly SortedDictionary<long, Migration> _waiting = [];
    /// <summary>Done while their sources were silent: these wait for a proof that nobody else brings them.</summary>
    private readonly ConcurrentDictionary<MoveId, Migration> _untold = new();
    private readonly CancellationTokenSource _stopping = new();
    private long _next;

    /// <summary>Every reason why the move would be refused now; nothing is changed.</summary>
    public Task<IReadOnlyList<Refusal>> CheckAsync(Migration wished, CancellationToken cancel) => _story.CheckAsync(wished, cancel);

    public async Task ResumeAsync()
    {
        foreach (var move in await moves.UnfinishedAsync())
        {
            lock (_one)
            {
                if (IsRun(move.Id)) continue; // A host that came back had it taken up again already.
                log.LogInformation("Going on with {Move} of {Vm}, {Phase}", move.Id, move.VmName, move.Phase);
                live.Begin(move);
                if (move.Phase == Phase.Queued) _waiting.Add(_next++, move);
                else Start(move);
            }
        }
        foreach (var move in await moves.LeftUntoldAsync()) _untold[move.Id] = move;
        BeginWaiting();
    }

    /// <summary>A task of this server sees to it, or it waits its turn.</summary>
    public bool IsRun(MoveId id)
    {
        lock (_one) return _running.ContainsKey(id) || _waiting.Values.Any(w => w.Id == id);
    }

    /// <summary>Moves that wait for their turn.</summary>
    public int Waiting
    {
        get { lock (_one) return _waiting.Count; }
    }

    /// <summary>The move is in the store, queued; it begins when its hosts are free.</summary>
    public void Enqueue(Migration move)
    {
        live.Begin(move);
        lock (_one) _waiting.Add(_next++, move);
        BeginWaiting();
    }

    /// <summary>A cancel is durable before it is acted on. The answer is the move as it is now; its end comes later.</summary>
    public async Task<Migration?> CancelAsync(MoveId id)
    {
        var move = await moves.RequestCancelAsync(id);
        if (move is null || move.End is not null) return move;
        CancellationTokenSource? cancel = null;
        var waited = false;
        lock (_one)
        {
            if (_running.TryGetValue(id, out var running)) cancel = running.Cancel;
            else if (_waiting.FirstOrDefault(w => w.Value.Id == id) is { Value: not null } waiting)
                waited = _waiting.Remove(waiting.Key);
        }
        cancel?.Cancel();
        if (!waited) return live.Fresh(move);

        var ended = move with
        {
            End = MoveEnd.Cancelled,
            Reason = "cancelled while it waited; nothing was touched",
            EndedAt = time.GetUtcNow(),
        };
        await moves.SaveAsync(ended);
        live.End(ended);
        BeginWaiting(); // It may have held places for itself.
        return ended;
    }

    /// <summary>
    /// Asks both hosts of a move in doubt again, and settles what they prove. The answer is the move as it goes on.
    /// Throws <see cref="RefusedException"/> where nothing is in doubt, or where <paramref name="fenced"/> answers.
    /// </summary>
    /// <param name="fenced">A side that a person says is off for good; null: both are asked.</param>
    public async Task<Migration> RepairAsync(MoveId id, HostId? fenced)
    {
        if (fenced is { } host && (await stores.Hosts.ListAsync()).Any(h => h.Id == host && h.Answers))
            throw new RefusedException("host-answers", $"{host} answers, so it is not off",
                $"'godwit migration repair {id}' without --fenced asks it");
        lock (_one)
        {
            if (_running.ContainsKey(id)) // Its end is in the store, and its task not through yet.
                throw new RefusedException("move-ending", $"{id} is just ending", "try again in a moment");
        }
        var (move, refusal) = await stores.Operations.ReopenMoveAsync(id, fenced);
        if (move is null) throw new RefusedException([refusal!]);
        live.Begin(move);
        lock (_one) Start(move);
        return move;
    }

    /// <summary>A host answers again: what was in doubt because it did not is asked again.</summary>
    public async Task RepairAfterReturnAsync(HostId host)
    {
        foreach (var move in await moves.InDoubtAsync(host))
        {
            try { await RepairAsync(move.Id, fenced: null); }
            catch (RefusedException refused) { log.LogInformation("{Move} is left as it is: {Why}", move.Id, refused.Message); }
        }
    }

    /// <summary>
    /// After each round of questions: one that missed a few words, and was never silent for long enough to be given up, has not
    /// "returned" and waits for its proof all the same.
    /// </summary>
    public async Task TellSourcesAsync(IReadOnlyCollection<HostId> answering, CancellationToken stopping)
    {
        foreach (var done in _untold.Values.Where(m => answering.Contains(m.Source)).Take(ToldAtOnceMax))
        {
            if (stopping.IsCancellationRequested) return;
            await TellSourceAsync(done);
        }
    }

    /// <summary>The move was done while its source was silent: the proof reaches it now, and it buries its copy.</summary>
    private async Task TellSourceAsync(Migration done)
    {
        try
        {
            var source = agents(done.Source);
            var standing = (await source.QueryMoveAsync(done.AtAgents, _stopping.Token)).Standing;
            if (standing is MoveStanding.SourceSending or MoveStanding.SourceSwitching) return; // Soon in doubt, or settled.
            if (standing == MoveStanding.SourceDoubt)
            {
                var after = await source.SettleOutgoingAsync(done.AtAgents, TargetProof.Runs, _stopping.Token);
                // The target of a lazy move may still want its memory; the source hears from it when that is over.
                if (!after.MemoryArriving) await source.CleanMoveAsync(done.AtAgents, _stopping.Token);
            }
            _untold.TryRemove(done.Id, out _);
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException or OperationCanceledException)
        {
            log.LogInformation("{Host} was not told that {Move} is done: {Why}", done.Source, done.Id, silent.Message);
        }
    }

    /// <summary>Leaves every move where it is, durably, for the next server.</summary>
    public async Task StopAsync()
    {
        Task[] running;
        lock (_one)
        {
            _waiting.Clear();
            running = [.. _running.Values.Select(r => r.Task.Joinable())];
        }
        _stopping.Cancel();
        await Task.WhenAll(running);
    }

    private void BeginWaiting()
    {
        lock (_one)
        {
            if (_stopping.IsCancellationRequested) return;
            var begin = MoveQueue.MayBegin(_running.Values.Select(r => r.Move), _waiting.Values).Select(m => m.Id).ToHashSet();
            foreach (var (order, move) in _waiting.Where(w => begin.Contains(w.Value.Id)).ToList())
            {
                _waiting.Remove(order);
                Start(move);
            }
        }
    }

    private void Start(Migration move)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var running = new Running(move, new CancellationTokenSource(), ended.Task);
        _running.Add(move.Id, running);
        _ = RunAsync(running, ended);
    }

    private async Task RunAsync(Running running, TaskCompletionSource ended)
    {
        await Task.Yield(); // The caller holds the lock, and its client waits for an answer.
        try
        {
            if (failPoints is not null && running.Move.Phase == Phase.Queued) await failPoints.HitAsync("move.queued");
            // Asked to stop after it was queued and before it was known here: only the store knows.
            if ((await moves.ReadAsync(running.Move.Id)).CancelRequested) running.Cancel.Cancel();
            // Begun under a record that is not to be believed, and nothing has left: it is taken back. Later its own proofs end it.
            if (running.Move.Phase < Phase.Memory && await stores.Frozen.FindAsync(running.Move.Vm) is not null) running.Cancel.Cancel();
            using var trace = MoveTrace.Begin(running.Move);
            var end = await _story.RunAsync(running.Move.Id, running.Cancel.Token, _stopping.Token);
            MoveTrace.End(trace, end);
            if (MoveStore.LeavesUntold(end)) _untold[end.Id] = end;
            live.End(end);
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            // Not an end: the next server goes on from the journal.
        }
        catch (StoreFailedException failure)
        {
            // The journal cannot be written, so nothing may be done. The process is ending; the next server goes on.
            log.LogCritical(failure, "Move {Move} of {Vm} stands still: the store failed", running.Move.Id, running.Move.VmName);
        }
        catch (Exception bug)
        {
            log.LogCritical(bug, "Move {Move} of {Vm} met a bug", running.Move.Id, running.Move.VmName);
            await GiveUpAsync(running.Move.Id, bug);
        }
        finally
        {
            lock (_one) _running.Remove(running.Move.Id);
            ended.SetResult();
            BeginWaiting();
        }
    }

    /// <summary>One move's bug must not stop the others; and the guest is not touched by somebody who does not understand.</summary>
    private async Task GiveUpAsync(MoveId id, Exception bug)
    {
        try
        {
            var move = await moves.ReadAsync(id);
            if (move.End is null)
            {
                move = move with { End = MoveEnd.NeedsOperator, Reason = $"a bug in Godwit: {bug.Message}", EndedAt = time.GetUtcNow() };
                await moves.SaveAsync(move);
                await moves.ReleaseReservationAsync(id);
            }
            live.End(move);
        }
        catch (StoreFailedException failure)
        {
            log.LogCritical(failure, "Move {Move} could not be ended", id);
        }
    }

    private sealed record Running(Migration Move, CancellationTokenSource Cancel, Task Task);
}
