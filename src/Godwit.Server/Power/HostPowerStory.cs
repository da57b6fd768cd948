using Godwit.Core;
using Godwit.Core.Inventory;
using Godwit.Core.Ports;
using Godwit.Core.Power;
using Godwit.Server.Agents;
using Godwit.Server.Audit;
using Godwit.Server.Draining;
using Godwit.Server.Store;
using Godwit.Server.Vms;

namespace Godwit.Server.Power;

/// <summary>
/// One host on its way to standby, or back.
///
///   emptying    a drain takes everything off it
///   closing     one transaction proves that it holds no VM and is no side of anything; from there nothing is begun on it
///   scanning    closed, it is asked once more which processes of guests it has: none, or it is opened again
///   off         its hook is run, three times at most; then it must fall silent, or it is opened again
///   waking      its hook is run; the watcher takes it back once it answers and is proved; not by the limit: on standby still
///
/// Each phase is in the store before its step. After a crash of the server the same method runs again from the phase.
/// </summary>
internal sealed class HostPowerStory(
    Stores stores, AgentDirectory agents, DrainVerbs drains, IPowerHooks hooks, AuditTrail audit, VmNumbers numbers, TimeProvider time)
{
    private const int SilencesMin = 3;
    private static readonly TimeSpan lookEvery = TimeSpan.FromSeconds(1), hookAgainAfter = TimeSpan.FromSeconds(5);

    /// <summary>Ends once the host is on, on standby, or removed.</summary>
    public async Task RunAsync(HostId id, CancellationToken stopping)
    {
        var (silences, since) = (0, time.GetTimestamp());
        for (var before = PowerPhase.On; await stores.Hosts.FindAsync(id) is { } host; await Task.Delay(lookEvery, time, stopping))
        {
            if (host.Power.Phase != before) (before, silences, since) = (host.Power.Phase, 0, time.GetTimestamp());
            switch (host.Power.Phase)
            {
                case PowerPhase.Emptying: await EmptyAsync(id, host.Power); break;
                case PowerPhase.GoingOff when !host.Power.IsScanned: await ScanAsync(id, since, stopping); break;
                case PowerPhase.GoingOff when host.Power is { IsHookDone: false, Tries: < PowerRules.TriesMax, OffHook: not null }:
                    await RunHookAsync(id, host.Power, host.Power.OffHook, "off", stopping);
                    since = time.GetTimestamp();
                    break;
                case PowerPhase.GoingOff:
                    silences = await AnswersAsync(id, stopping) ? 0 : silences + 1;
                    if (silences >= SilencesMin) await SettleAsync(id, host.Power, stopping);
                    // A hook that failed may have an effect that is late: nothing is put on the host before it has had its time.
                    else if (time.GetElapsedTime(since) > PowerRules.SilentBy) await OpenAsync(id, WhyNotOff(host.Power));
                    break;
                case PowerPhase.Waking: await WakeAsync(id, host.Power, stopping); break;
                default: return;
            }
        }
    }

    private async Task EmptyAsync(HostId id, HostPower power)
    {
        if (power.Drain is null)
        {
            try
            {
                var begun = await drains.BeginAsync(id, new DrainLimits(), wantsRoom: false);
                await stores.Power.ChangeHostAsync(id, [PowerPhase.Emptying], p => p with { Drain = begun.Id });
            }
            catch (RefusedException refused) { await LeaveAsync(id, $"it was not emptied: {refused.Reasons[0].Cause}"); }
            return;
        }
        switch (await stores.Drains.FindAsync(power.Drain))
        {
            case { HasEnded: false }: return;
            case { End: DrainEnd.Drained }:
                if (await stores.Power.CloseAsync(id) is { } refusal) await LeaveAsync(id, refusal.Cause);
                return;
            case { End: DrainEnd.Cancelled }: await LeaveAsync(id, null); return;
            case var ended: await LeaveAsync(id, $"it was not emptied: {ended?.Reason ?? "its drain is not on record any more"}"); return;
        }
    }

    private async Task ScanAsync(HostId id, long since, CancellationToken stopping)
    {
        agents.CutOff(id); // No order that is still under way reaches it after this look.
        try
        {
            var there = await agents.Of(id).TakeInventoryAsync(leaksOnly: true, stopping);
            var live = there.Vms.Where(vm => vm.HasProcess).Select(vm => vm.Spec.Name)
                .Concat(there.Leaks.Where(l => l.Kind is LeakKind.Process or LeakKind.Copy).Select(l => $"process {l.Thing}")).ToList();
            if (live.Count > 0) await OpenAsync(id, $"it was not turned off: it has {string.Join(", ", live.Take(5))}");
            else await stores.Power.ChangeHostAsync(id, [PowerPhase.GoingOff], p => p with { IsScanned = true });
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException)
        {
            if (time.GetElapsedTime(since) > PowerRules.SilentBy)
                await OpenAsync(id, "it was not turned off: it did not say which processes it has");
        }
    }

    private static string WhyNotOff(HostPower power) => "it was not turned off: " + (power switch
    {
        { OffHook: null } => "it has no hook for that any more",
        { IsHookDone: true } => $"its hook {power.OffHook} said that it is off, and it answers",
        _ => $"its hook failed {power.Tries} times: {power.Problem}",
    });

    /// <summary>Silent after its hook; where a hook tells, it must say so, too.</summary>
    private async Task SettleAsync(HostId id, HostPower power, CancellationToken stopping)
    {
        if (power.StateHook is { } state && (await hooks.RunAsync(state, id, stopping)) is { SaysOn: not false } said)
        {
            await OpenAsync(id, $"its hook {power.OffHook} was run, but {state} says: {said.Output}");
            return;
        }
        await stores.Power.ChangeHostAsync(id, [PowerPhase.GoingOff],
            p => p.Enter(PowerPhase.Standby, time.GetUtcNow(), p.By ?? "", p.Because ?? "") with
            {
                Problem = p.IsHookDone ? null : p.Problem, ProblemAt = p.IsHookDone ? null : p.ProblemAt,
            },
            _ => new Happening("host-standby", $"{id} is off and on standby", Host: id.Value));
    }

    private async Task WakeAsync(HostId id, HostPower power, CancellationToken stopping)
    {
        var limit = TimeSpan.FromMinutes((await stores.Power.SettingsAsync()).WakeMinutesMax);
        if (power.Since is { } since && time.GetUtcNow() - since > limit)
            await FailWakeAsync(id, $"it was woken and did not come in {limit.TotalMinutes:0} min");
        else if (!power.IsHookDone)
            await RunHookAsync(id, power, power.OnHook, "on", stopping);
    }

    /// <summary>Tries and outcome are durable. A waking whose hook failed too often ends here.</summary>
    private async Task RunHookAsync(HostId id, HostPower power, string? named, string what, CancellationToken stopping)
    {
        var phase = power.Phase;
        if (phase == PowerPhase.Waking && (power.Tries >= PowerRules.TriesMax || named is null))
        {
            var why = named is null ? $"it has no hook that turns it {what}" : $"hook {named} failed {power.Tries} times: {power.Problem}";
            await FailWakeAsync(id, $"it was not woken: {why}");
            return;
        }
        if (named is not { } hook) return;
        if (power.Tries > 0) await Task.Delay(hookAgainAfter * power.Tries, time, stopping);
        var entry = new AuditEntry(numbers.OperationId(), power.By ?? PowerKeeper.WatchsName, null, "server", null,
            $"run power-{what} hook", $"hosts/{id}");
        await audit.BeginAsync(entry with { Detail = hook }, isSafety: false);
        await stores.Power.ChangeHostAsync(id, [phase], p => p with { Tries = p.Tries + 1 });
        var outcome = await hooks.RunAsync(hook, id, stopping);
        var said = $"{hook} {(outcome.ExitCode is { } code ? $"ended with {code}" : "did not end")}: {outcome.Output}".Trim();
        await audit.EndAsync(entry with { Result = outcome.IsDone ? AuditResult.Done : AuditResult.Failed, Detail = said });
        await stores.Power.ChangeHostAsync(id, [phase],
            p => outcome.IsDone ? p with { IsHookDone = true } : p with { Problem = said, ProblemAt = time.GetUtcNow() });
    }

    private async Task<bool> AnswersAsync(HostId id, CancellationToken stopping)
    {
        try
        {
            await agents.Of(id).DescribeAsync(stopping);
            return true;
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException) { return silent is RefusedException; }
    }

    private async Task LeaveAsync(HostId id, string? problem) => await stores.Power.OpenAsync(id, [PowerPhase.Emptying], problem,
        new Happening(problem is null ? "host-stays-on" : "power-failed", $"{id} stays on: {problem ?? "its drain was cancelled"}",
            Host: id.Value));

    private async Task OpenAsync(HostId id, string problem) => await stores.Power.OpenAsync(id, [PowerPhase.GoingOff], problem,
        new Happening("power-failed", $"{id} is in service again: {problem}", Host: id.Value));

    private async Task FailWakeAsync(HostId id, string problem) => await stores.Power.ChangeHostAsync(id, [PowerPhase.Waking],
        p => p.Enter(PowerPhase.Standby, time.GetUtcNow(), p.By ?? "", p.Because ?? "") with
        {
            Problem = problem, ProblemAt = time.GetUtcNow(),
        }, _ => new Happening("power-failed", $"{id} stays on standby: {problem}", Host: id.Value));
}
