using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Api;
using Godwit.Server.Migrations;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Draining;

/// <summary>
/// One task for each drain that goes on: looks at the VMs that are still there, begins a few moves, waits for their ends,
/// looks again. What it decides is <see cref="DrainRules"/>. All it knows is in the store, and each move has a request key of
/// its own, so that the next server goes on in the middle and begins no move twice.
/// </summary>
public sealed class DrainRunner(
    Stores stores, AgentDirectory agents, MigrationRunner moves, MoveWishes wishes, TimeProvider time, ILogger<DrainRunner> log)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);
    /// <summary>How long a host may be silent before the drain says so and ends.</summary>
    private static readonly TimeSpan SilenceMax = TimeSpan.FromMinutes(5);

    private readonly ConcurrentDictionary<string, Task> _running = new();
    private readonly CancellationTokenSource _stopping = new();

    public async Task ResumeAsync()
    {
        foreach (var drain in await stores.Drains.UnfinishedAsync()) Start(drain);
    }

    public void Start(Drain drain)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (_running.TryAdd(drain.Id, ended.Task)) _ = RunAsync(drain, ended);
    }

    public async Task StopAsync()
    {
        _stopping.Cancel();
        await Task.WhenAll(_running.Values.Select(Joining.Joinable).ToArray());
    }

    private async Task RunAsync(Drain drain, TaskCompletionSource ended)
    {
        await Task.Yield();
        try
        {
            var heardOf = time.GetTimestamp();
            while (!drain.HasEnded)
            {
                drain = await RoundAsync(drain);
                if (drain.HasEnded) break;
                if (DrainRules.IsOver(drain, time.GetUtcNow()) is { } end)
                {
                    if (await EndAsync(drain, end) is { } over) drain = over;
                    else if (time.GetElapsedTime(heardOf) > SilenceMax)
                        drain = await stores.Drains.EndAsync(drain, DrainEnd.HostLost,
                            "it does not answer: what runs there is not known, and it is not safe to switch it off");
                }
                else heardOf = time.GetTimestamp();
                if (!drain.HasEnded) await Task.Delay(LookEvery, time, _stopping.Token);
            }
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested) { } // The next server goes on.
        catch (StoreFailedException failure)
        {
            log.LogCritical(failure, "The drain of {Host} stands still: the store failed", drain.Host);
        }
        catch (Exception bug)
        {
            log.LogCritical(bug, "The drain of {Host} met a bug; its moves go on", drain.Host);
            await GiveUpAsync(drain, bug);
        }
        finally
        {
            _running.TryRemove(drain.Id, out _);
            ended.SetResult();
        }
    }

    /// <summary>One that nobody goes on with must not look as if somebody did. The host stays closed, and its VMs where they are.</summary>
    private async Task GiveUpAsync(Drain drain, Exception bug)
    {
        try { await stores.Drains.EndAsync(drain, DrainEnd.Blocked, $"stopped by a bug in Godwit: {bug.Message}; its moves go on"); }
        catch (StoreFailedException failure)
        {
            log.LogCritical(failure, "The end of the drain of {Host} could not be recorded", drain.Host);
        }
    }

    private async Task<Drain> RoundAsync(Drain drain)
    {
        drain = await stores.Drains.FindAsync(drain.Id) ?? throw new InvariantBrokenException($"drain {drain.Id} is in the store");
        var before = drain;
        var now = time.GetUtcNow();
        if (drain.Kind == DrainKind.Away) drain = DrainRules.WithNewcomers(drain, await stores.Vms.ListAsync(drain.Host));

        var underWay = new List<Migration>();
        foreach (var vm in drain.Vms.Where(v => v is { End: null, Move: not null }))
        {
            var move = await stores.Moves.FindAsync(vm.Move!.Value);
            if (move is { End: null }) underWay.Add(move);
            else drain = DrainRules.With(drain, DrainRules.AfterMove(drain, vm, move, now));
        }
        if (DrainRules.IsToStop(drain, now))
            foreach (var waiting in underWay.Where(m => m.Phase == Phase.Queued)) await moves.CancelAsync(waiting.Id);
        else
            drain = await BeginMovesAsync(drain, underWay.Count, now);
        return drain == before ? drain : await stores.Drains.SaveAsync(drain);
    }

    private async Task<Drain> BeginMovesAsync(Drain drain, int underWay, DateTimeOffset now)
    {
        foreach (var part in DrainRules.Next(drain, underWay, now))
        {
            var vm = await stores.Vms.FindAsync(part.Vm);
            var (next, mode) = DrainRules.Look(drain, part, vm);
            if (mode is { } way && await BeginMoveAsync(drain, next, way) is { } begun) next = begun;
            drain = DrainRules.With(drain, next);
        }
        return drain;
    }

    private async Task<DrainVm> BeginMoveAsync(Drain drain, DrainVm part, MoveMode mode)
    {
        try
        {
            var to = drain.Kind == DrainKind.Back ? drain.Host.Value : null;
            var move = await wishes.BeginAsync(
                part.VmName, new MigrateRequest(to, mode), null, $"{drain.Id}/{part.Vm}/{part.Tries}", drain.Id,
                drain.Kind == DrainKind.Back || drain.Limits.TakesPinned ? Overridden.Pin : Overridden.None);
            return part with
            {
                Mode = mode, Move = move.Id, Tries = part.Tries + 1,
                Target = drain.Kind == DrainKind.Back ? part.Target : move.Target, // Where a drain put it, to find it there.
            };
        }
        catch (RefusedException refused)
        {
            return DrainRules.AfterRefusal(drain, part, mode, refused.Reasons, time.GetUtcNow());
        }
    }

    /// <summary>Null: the host did not answer, and what is on it decides the end. Nothing is taken from the record alone.</summary>
    private async Task<Drain?> EndAsync(Drain drain, DrainEnd end)
    {
        if (end is not (DrainEnd.Drained or DrainEnd.Blocked))
            return await stores.Drains.EndAsync(drain, end, DrainRules.Sentence(drain, end, []));
        try
        {
            var there = await agents.Of(drain.Host).TakeInventoryAsync(leaksOnly: true, _stopping.Token);
            List<string> live =
            [
                .. there.Vms.Where(vm => vm.HasProcess).Select(vm => vm.Spec.Name),
                .. there.Leaks.Where(leak => leak.Kind is LeakKind.Process or LeakKind.Copy).Select(leak => $"process {leak.Thing}"),
            ];
            if (live.Count > 0) end = DrainEnd.Blocked;
            return await stores.Drains.EndAsync(drain, end, DrainRules.Sentence(drain, end, live));
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException) { return null; }
    }
}
