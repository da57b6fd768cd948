using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Server.Hosts;
using Godwit.Server.Store;
using Godwit.Server.Vms;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Fencing;

/// <summary>
/// Looks every few seconds whether a host with VMs marked <c>ha</c> has been silent for long, and has it fenced and recovered
/// where <see cref="HaRules"/> lets it. It starts and ends nothing itself.
/// </summary>
/// <param name="silenceMin">How long a host must be silent before a fence is tried.</param>
public sealed class HaWatch(
    Stores stores, HostWatcher watcher, RecoveryRunner runner, LateMemories late, VmNumbers numbers, TimeSpan silenceMin,
    TimeProvider time, ILogger<HaWatch> log)
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(5), StoodStill = TimeSpan.FromSeconds(30);
    private string? _held;
    private long _awakeSince = time.GetTimestamp(), _looked = time.GetTimestamp();

    public async Task RunAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(Every, time, stopping);
                await RoundAsync(stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The loop ends above.
            catch (Exception error) when (error is StoreFailedException or RefusedException)
            {
                log.LogError(error, "Hosts' silence could not be judged; looked at again in {Every}", Every);
            }
        }
    }

    public async Task RoundAsync(CancellationToken stopping)
    {
        var standings = await StandingsAsync(stopping);
        var (host, held) = HaRules.Choose(standings, silenceMin, runner.IsAnyUnderWay);
        if (held is not null && held != _held) await stores.Events.AppendAsync(new Happening("ha-held", held));
        _held = held;
        if (host is not { } silent) return;
        await runner.BeginAsync(new HostRecovery
        {
            Id = numbers.RecoveryId(), Host = silent, Scope = RecoveryScope.HaVms, By = RecoverHost.WatchsName, IsAutomatic = true,
            CreatedAt = time.GetUtcNow(),
        });
    }

    private async Task<List<HostStanding>> StandingsAsync(CancellationToken stopping)
    {
        // Who stood still has asked nobody meanwhile: silence counts from the waking on.
        if (time.GetElapsedTime(_looked) > StoodStill) _awakeSince = time.GetTimestamp();
        _looked = time.GetTimestamp();
        // One that was turned off on purpose holds no VM, and its silence says nothing about this server.
        var hosts = (await stores.Hosts.ListAsync()).Where(host => host.State != HostState.Standby).ToList();
        if (hosts.All(host => host.Answers)) return []; // Nearly always: nothing more is read.
        await late.RoundAsync(hosts.Where(host => host.State == HostState.Fenced).Select(host => host.Id).ToHashSet(), stopping);
        var ha = await stores.Fences.HaVmsAsync();
        List<HostStanding> standings = [];
        foreach (var host in hosts)
        {
            var (misses, silent) = watcher.Silence(host.Id);
            var awake = time.GetElapsedTime(_awakeSince);
            if (silent > awake) silent = awake;
            var isSilent = host.State == HostState.Unreachable;
            standings.Add(new HostStanding(host.Id, isSilent, host.State == HostState.Fenced, silent, misses, ha[host.Id].Count(),
                host.Fence is not null, !host.Answers && await stores.Fences.GaveUpAsync(host.Id)));
        }
        return standings;
    }
}
