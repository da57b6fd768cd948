using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Power;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Power;

/// <summary>One task for each host on its way to standby or back; the next server goes on with each from its record.</summary>
public sealed class PowerRunner
{
    private readonly Stores _stores;
    private readonly HostPowerStory _story;
    private readonly ILogger<PowerRunner> _log;
    private readonly ConcurrentDictionary<HostId, Task> _running = new();
    private readonly CancellationTokenSource _stopping = new();

    internal PowerRunner(Stores stores, HostPowerStory story, ILogger<PowerRunner> log) => (_stores, _story, _log) = (stores, story, log);

    public async Task ResumeAsync()
    {
        foreach (var host in await _stores.Hosts.ListAsync())
            if (host.Power.Phase is not (PowerPhase.On or PowerPhase.Standby)) Start(host.Id);
    }

    public void Start(HostId host)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (_running.TryAdd(host, ended.Task)) _ = RunAsync(host, ended);
    }

    public async Task StopAsync()
    {
        _stopping.Cancel();
        await Task.WhenAll(_running.Values.Select(Joining.Joinable).ToArray());
    }

    private async Task RunAsync(HostId host, TaskCompletionSource ended)
    {
        await Task.Yield();
        try { await _story.RunAsync(host, _stopping.Token); }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested) { } // The next server goes on.
        catch (Exception failure) when (failure is StoreFailedException or RefusedException)
        {
            _log.LogError(failure, "{Host} stays between on and standby; the next look goes on", host);
        }
        catch (Exception bug)
        {
            _log.LogCritical(bug, "Turning {Host} off or on met a bug; the next look goes on", host);
        }
        finally
        {
            _running.TryRemove(host, out _);
            ended.SetResult();
        }
    }
}
