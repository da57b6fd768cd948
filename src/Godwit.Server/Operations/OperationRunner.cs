using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Server.Api;
using Godwit.Server.Store;
using Godwit.Server.Vms;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Operations;

/// <summary>
/// Runs what is being done with VMs (moves and recoveries have their own runners), one task each, and after a restart all that had
/// not ended. An operation belongs to the server, not to the request that asked for it: a client may leave.
/// </summary>
public sealed class OperationRunner(Stores stores, VmStory story, ILogger<OperationRunner> log)
{
    private readonly ConcurrentDictionary<string, Task> _running = new();
    private readonly CancellationTokenSource _stopping = new();

    public async Task ResumeAsync()
    {
        foreach (var operation in await stores.Operations.UnfinishedAsync())
        {
            if (operation.Kind is OperationKind.Migrate or OperationKind.Recover) continue;
            log.LogInformation("Going on with {Kind} of {Vm} ({Id})", operation.Kind, operation.VmName, operation.Id);
            Start(operation);
        }
    }

    public void Start(Operation operation)
    {
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!_running.TryAdd(operation.Id, begun.Task)) return;
        _ = RunAsync(operation, begun);
    }

    public bool IsRun(string id) => _running.ContainsKey(id);

    /// <summary>The operation once it has ended. Leaving the wait does not stop it.</summary>
    public async Task<Operation> WaitAsync(string id, CancellationToken leave)
    {
        if (_running.TryGetValue(id, out var running)) await running.Joinable().WaitAsync(leave);
        return await stores.Operations.FindAsync(id) ?? throw new InvariantBrokenException($"operation {id} is in the store");
    }

    /// <summary>Nothing new is begun with an agent; what waits for an answer is left as it is, for the next server.</summary>
    public async Task StopAsync()
    {
        _stopping.Cancel();
        await Task.WhenAll(_running.Values.Select(Joining.Joinable).ToArray());
    }

    private async Task RunAsync(Operation operation, TaskCompletionSource ended)
    {
        await Task.Yield(); // The caller gets its answer now, not after the first call to the agent.
        try
        {
            await story.RunAsync(operation, _stopping.Token);
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            // Not an end: the next server goes on from the record.
        }
        catch (Exception failure)
        {
            await FailAsync(operation, failure);
        }
        finally
        {
            _running.TryRemove(operation.Id, out _);
            ended.SetResult();
        }
    }

    private async Task FailAsync(Operation operation, Exception failure)
    {
        var problem = Problems.From(failure, new ProblemPlace(operation.VmName));
        if (problem.Status >= 500) log.LogError(failure, "{Kind} of {Vm} failed ({Id})", operation.Kind, operation.VmName, operation.Id);
        try
        {
            await stores.Operations.EndAsync(operation with { Problem = problem }, new Happening("operation-failed",
                $"{Fields.Word(operation.Kind)} of {operation.VmName}: {problem.Cause}", operation.VmName));
        }
        catch (StoreFailedException error)
        {
            // It stays unfinished in the store, so the next server tries again; nothing else can be done here.
            log.LogError(error, "The end of {Kind} of {Vm} could not be recorded", operation.Kind, operation.VmName);
        }
    }
}
