using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Audit;
using Godwit.Server.Store;
using Godwit.Server.Vms;

namespace Godwit.Server.Fencing;

/// <summary>
/// What happens when a host is recovered.
///
///   proof       that nothing runs there any more: a hook that ended with 0, a person's word, or a watchdog that had no lease
///               for long enough; written down and on record in the audit before anything else; without it this story ends
///               here, and every VM stays where it is
///   cut off     no order that is still under way reaches the host any more
///   plan        which VMs: those of the host, and those in a move that has it as a side
///   each VM     its move is settled by the proof; a home that answers, an epoch above all the host can know of; started
///               there if it ran (<see cref="RecoverVm"/>)
///
/// Each step finds what was done: after a crash of the server the same method runs again from the top. Silence proves
/// nothing, at no step; it only lets the hook be run.
/// </summary>
internal sealed class RecoverHost(
    Stores stores, IFence fence, WatchdogProof watchdog, AgentDirectory agents, RecoverVm vms, AuditTrail audit, VmNumbers numbers,
    TimeProvider time, SafetyRules rules)
{
    private const int FenceTriesMax = 3, VmsAtOnceMax = 4;
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(2);

    /// <param name="wordGiven">Cancelled when a person's word has come: a hook that runs is not waited for.</param>
    public async Task<HostRecovery> RunAsync(string id, CancellationToken wordGiven, CancellationToken stopping)
    {
        var recovery = await stores.Fences.ReadAsync(id);
        if (recovery.End is not null) return recovery;

        if (await ProveAsync(recovery, wordGiven, stopping) is { } withoutProof) return withoutProof;
        agents.CutOff(recovery.Host);

        recovery = await stores.Fences.PlanAsync(id);
        foreach (var batch in recovery.Vms!.Where(vm => vm.Outcome is null).Chunk(VmsAtOnceMax))
            await Task.WhenAll(batch.Select(vm => DealWithAsync(recovery, vm, stopping)).ToArray());
        return await EndAsync(await stores.Fences.ReadAsync(id));
    }

    /// <summary>Null once there is a proof; else how the recovery ended without one.</summary>
    private async Task<HostRecovery?> ProveAsync(HostRecovery recovery, CancellationToken wordGiven, CancellationToken stopping)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(wordGiven, stopping);
        while (await stores.Fences.InForceAsync(recovery.Host) is null)
        {
            stopping.ThrowIfCancellationRequested();
            recovery = await stores.Fences.ReadAsync(recovery.Id); // A person may have taken it over.
            if (await stores.Hosts.FindAsync(recovery.Host) is not { } host)
                return await EndAsync(recovery.Id, RecoveryEnd.HostBack, "the host was removed");
            if (host.Answers)
                return await EndAsync(recovery.Id, RecoveryEnd.HostBack, "it answers again: nothing was done");
            if (host.Fence is not { } hook)
                return await EndAsync(recovery.Id, RecoveryEnd.NeedsOperator,
                    $"it has no fence, and silence is no proof: turn it off, then 'godwit host recover {host.Id} --fenced'");
            if (hook == WatchdogRules.FenceName)
            {
                try
                {
                    if (await watchdog.WaitAsync(recovery, either.Token) is { } why)
                        return await EndAsync(recovery.Id, RecoveryEnd.NeedsOperator, why);
                }
                catch (OperationCanceledException) when (!stopping.IsCancellationRequested) { } // A person's word: it is there now.
                continue;
            }
            if (recovery.FenceTries >= FenceTriesMax)
                return await EndAsync(recovery.Id, RecoveryEnd.NeedsOperator,
                    $"hook {hook} proved nothing in {FenceTriesMax} tries: turn it off, then 'godwit host recover {host.Id} --fenced'");
            try { await TryHookAsync(recovery, hook, either.Token); }
            catch (OperationCanceledException) when (!stopping.IsCancellationRequested) { } // A person's word: it is there now.
        }
        return null;
    }

    private async Task TryHookAsync(HostRecovery recovery, string hook, CancellationToken stop)
    {
        var pause = recovery.FenceTries > 0 ? HaRules.PauseBefore(recovery.FenceTries) : TimeSpan.Zero;
        for (var since = time.GetTimestamp(); ; await Task.Delay(LookEvery, time, stop))
        {
            if (await stores.Hosts.FindAsync(recovery.Host) is not { Answers: false }) return; // Heard of, or removed.
            if (time.GetElapsedTime(since) >= pause) break;
        }
        var entry = new AuditEntry(recovery.Id, recovery.By, null, "server", null, "run fence hook", $"hosts/{recovery.Host}");
        await audit.BeginAsync(entry with { Detail = hook }, isSafety: false);
        await stores.Fences.ChangeAsync(recovery.Id, r => r with { FenceTries = r.FenceTries + 1 });

        // Left out only by a simulated server, to see that a checker notices.
        var outcome = rules.Keeps(SafetyRule.StartedOnProof) ? await fence.RunAsync(hook, recovery.Host, stop)
            : new FenceOutcome(0, "silence");
        var proof = new FenceProof
        {
            Id = numbers.ProofId(), Host = recovery.Host, Kind = FenceKind.Command, By = recovery.By, At = time.GetUtcNow(),
            Hook = hook, ExitCode = outcome.ExitCode, Output = outcome.Output,
        };
        var refused = outcome.IsProof ? await stores.Fences.ProveAsync(proof) : null;
        var how = outcome.ExitCode is { } code ? $"ended with {code}" : "did not end";
        var said = $"{hook} {how}: {outcome.Output} {refused?.Cause}".Trim();
        var result = outcome.IsProof && refused is null ? AuditResult.Done : AuditResult.Failed;
        await audit.EndAsync(entry with { Result = result, Detail = said });
        if (!outcome.IsProof)
            await stores.Events.AppendAsync(new Happening("fence-failed", $"{recovery.Host} is not proved to be off: {said}",
                Host: recovery.Host.Value));
    }

    private async Task DealWithAsync(HostRecovery recovery, RecoveredVm planned, CancellationToken stopping)
    {
        var dealt = await vms.RunAsync(recovery, planned, stopping);
        await stores.Fences.ChangeAsync(recovery.Id, r => r with
        {
            Vms = [.. r.Vms!.Select(vm => vm.Vm == dealt.Vm ? dealt : vm)],
        }, new Happening(dealt.Failed ? "vm-not-recovered" : "vm-recovered", $"{dealt.Name} {dealt.Outcome}", dealt.Name,
            recovery.Host.Value));
    }

    private Task<HostRecovery> EndAsync(HostRecovery recovery)
    {
        var failed = recovery.Vms!.Where(vm => vm.Failed).Select(vm => vm.Name).ToList();
        return failed.Count == 0 ? EndAsync(recovery.Id, RecoveryEnd.Done, null)
            : EndAsync(recovery.Id, RecoveryEnd.NeedsOperator, $"not brought back: {string.Join(", ", failed.Take(20))}"
                + $"; the reasons: 'godwit host show {recovery.Host}', then 'godwit host recover {recovery.Host}' again");
    }

    private Task<HostRecovery> EndAsync(string id, RecoveryEnd end, string? reason) => stores.Fences.EndAsync(id, end, reason);

    /// <summary>The actor under which the server's own watch acts.</summary>
    public const string WatchsName = "ha";
}
