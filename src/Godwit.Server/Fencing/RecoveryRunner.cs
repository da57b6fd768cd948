using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Server.Api;
using Godwit.Server.Operations;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Fencing;

/// <summary>One task for each recovery that goes on, one a host; after a restart each of them goes on from its record.</summary>
public sealed class RecoveryRunner
{
    private readonly Stores _stores;
    private readonly RecoverHost _story;
    private readonly ILogger<RecoveryRunner> _log;
    private readonly Lock _one = new();
    private readonly Dictionary<string, Running> _running = [];
    private readonly CancellationTokenSource _stopping = new();

    internal RecoveryRunner(Stores stores, RecoverHost story, ILogger<RecoveryRunner> log) =>
        (_stores, _story, _log) = (stores, story, log);

    public async Task ResumeAsync()
    {
        foreach (var recovery in await _stores.Fences.UnfinishedAsync())
        {
            _log.LogInformation("Going on with the recovery of {Host} ({Id})", recovery.Host, recovery.Id);
            Start(recovery.Id);
        }
    }

    /// <summary>
    /// Begins it; or, where the server's own watch has begun one that has no proof yet, takes that over. A person's word ends
    /// the wait for a hook. Throws <see cref="RefusedException"/>.
    /// </summary>
    public async Task<HostRecovery> BeginAsync(HostRecovery wished, FenceProof? word = null)
    {
        var (begun, refusal) = await _stores.Fences.BeginAsync(wished, word);
        if (begun is null) throw new RefusedException([refusal!]);
        Start(begun.Id);
        if (word is not null)
            lock (_one)
                if (_running.TryGetValue(begun.Id, out var running)) running.Word.Cancel();
        return begun;
    }

    public bool IsAnyUnderWay
    {
        get { lock (_one) return _running.Count > 0; }
    }

    /// <summary>The recovery once it has ended. Leaving the wait does not stop it.</summary>
    public async Task<HostRecovery> EndOfAsync(string id, CancellationToken leave)
    {
        Running? running;
        lock (_one) running = _running.GetValueOrDefault(id);
        if (running is not null) await running.Task.Joinable().WaitAsync(leave);
        return await _stores.Fences.ReadAsync(id);
    }

    /// <summary>Leaves every recovery where it is, durably, for the next server.</summary>
    public async Task StopAsync()
    {
        Task[] running;
        lock (_one) running = [.. _running.Values.Select(r => r.Task.Joinable())];
        _stopping.Cancel();
        await Task.WhenAll(running);
    }

    private void Start(string id)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var running = new Running(new CancellationTokenSource(), ended.Task);
        lock (_one)
            if (!_running.TryAdd(id, running)) return;
        _ = RunAsync(id, running, ended);
    }

    private async Task RunAsync(string id, Running running, TaskCompletionSource ended)
    {
        await Task.Yield(); // The caller gets its answer now.
        try
        {
            await _story.RunAsync(id, running.Word.Token, _stopping.Token);
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            // Not an end: the next server goes on from the record.
        }
        catch (StoreFailedException failure)
        {
            _log.LogCritical(failure, "Recovery {Id} stands still: the store failed", id); // The process is ending.
        }
        catch (Exception failure)
        {
            _log.LogError(failure, "Recovery {Id} failed", id);
            await GiveUpAsync(id, failure);
        }
        finally
        {
            lock (_one) _running.Remove(id);
            ended.SetResult();
        }
    }

    /// <summary>What cannot go on must not hold VMs for ever; nothing is started by somebody who does not understand.</summary>
    private async Task GiveUpAsync(string id, Exception failure)
    {
        try
        {
            foreach (var held in (await _stores.Operations.UnfinishedAsync()).Where(o => o.Recovery == id))
                await _stores.Operations.EndAsync(held with { Problem = Problems.From(failure, new ProblemPlace(held.VmName)) },
                    new Happening("operation-failed", $"{held.VmName} was not brought back: {failure.Message}", held.VmName));
            await _stores.Fences.EndAsync(id, RecoveryEnd.NeedsOperator, failure is RefusedException ? failure.Message
                : $"a bug in Godwit: {failure.Message}");
        }
        catch (StoreFailedException error)
        {
            _log.LogCritical(error, "Recovery {Id} could not be ended", id);
        }
    }

    private sealed record Running(CancellationTokenSource Word, Task Task);
}
