using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Server.Hosts;
using Godwit.Server.Store;
using Godwit.Server.Vms;

namespace Godwit.Server.Fencing;

/// <summary>host set, fence, recover; vm set. What happens then is in <see cref="RecoverHost"/>.</summary>
public sealed class FenceVerbs(
    Stores stores, HostWatcher watcher, RecoveryRunner runner, IFence fence, VmNumbers numbers, TimeProvider time)
{
    /// <param name="hook">A hook's name, or <see cref="WatchdogRules.FenceName"/>; null: none any more.</param>
    public async Task SetFenceAsync(HostId id, string? hook, CancellationToken cancel)
    {
        if (hook == WatchdogRules.FenceName) await DemandWatchdogAsync(id);
        else if (hook is not null && await fence.WhyNotAsync(hook, cancel) is { } refusal) throw new RefusedException([refusal]);
        if (!await stores.Hosts.SetFenceAsync(id, hook)) throw HostVerbs.NotFound(id);
    }

    public async Task SetHaAsync(VmId vm, bool ha)
    {
        if (!await stores.Vms.SetHaAsync(vm, ha))
            throw new RefusedException("vm-not-found", $"there is no VM {vm}", "see 'godwit vm list'");
    }

    /// <summary>Runs the host's hook, and writes down what it proves; VMs stay where they are.</summary>
    public async Task<HostRecovery> FenceAsync(HostId id, string by, CancellationToken cancel)
    {
        await DemandSilentAsync(id);
        await DemandHookAsync(id, cancel);
        return await runner.BeginAsync(Wish(id, RecoveryScope.FenceOnly, by));
    }

    /// <summary>Brings every VM of a host that is proved to be off back elsewhere: those that ran are started.</summary>
    /// <param name="fenced">The caller's word that it is off and stays off; else its hook has to prove it, or did.</param>
    /// <param name="confirm">The host's name once more: whoever gives a word like this must mean this host.</param>
    public async Task<HostRecovery> RecoverAsync(HostId id, bool fenced, string? confirm, string by, CancellationToken cancel)
    {
        await DemandSilentAsync(id);
        var proved = await stores.Fences.InForceAsync(id) is not null;
        if (!fenced && !proved) await DemandHookAsync(id, cancel);
        if (fenced && confirm != id.Value)
            throw new RefusedException("bad-confirmation",
                $"your word that {id} is off starts its VMs elsewhere: if they still run there, they run twice",
                $"make sure that it is off, then repeat its name: --confirm {id}");
        var word = fenced && !proved ? new FenceProof
        {
            Id = numbers.ProofId(), Host = id, Kind = FenceKind.Person, By = by, At = time.GetUtcNow(),
        } : null;
        return await runner.BeginAsync(Wish(id, RecoveryScope.AllVms, by), word);
    }

    private HostRecovery Wish(HostId id, RecoveryScope scope, string by) => new()
    {
        Id = numbers.RecoveryId(), Host = id, Scope = scope, By = by, CreatedAt = time.GetUtcNow(),
    };

    private async Task DemandSilentAsync(HostId id)
    {
        var host = await stores.Hosts.FindAsync(id) ?? throw HostVerbs.NotFound(id);
        if (host.Answers)
            throw new RefusedException("host-answers", $"{id} answers, so it is not off",
                $"to empty it while it answers: 'godwit host drain {id}'");
    }

    private async Task DemandHookAsync(HostId id, CancellationToken cancel)
    {
        var hook = (await stores.Hosts.FindAsync(id))?.Fence ?? throw new RefusedException("fence-missing",
            $"{id} is silent, which proves nothing, and it has no fence",
            $"turn it off and give your word: 'godwit host recover {id} --fenced'; for the next time: 'godwit host set {id} --fence NAME'");
        if (hook == WatchdogRules.FenceName)
        {
            if ((await stores.Hosts.FindAsync(id))?.Watchdog is { Confirmed: true }) return;
            throw new RefusedException("watchdog-not-armed", $"the watchdog of {id} was never seen armed, so its silence proves nothing",
                $"turn it off and give your word: 'godwit host recover {id} --fenced'");
        }
        if (await fence.WhyNotAsync(hook, cancel) is { } refusal) throw new RefusedException([refusal]);
    }

    private async Task DemandWatchdogAsync(HostId id)
    {
        var host = await stores.Hosts.FindAsync(id) ?? throw HostVerbs.NotFound(id);
        if ((watcher.Live(id) ?? host.Facts)?.Watchdog is not { Device.Length: > 0 })
            throw new RefusedException("watchdog-missing", $"the agent of {id} offers no watchdog",
                "start it with --watchdog /dev/watchdog, then repeat this; or name a hook");
    }
}
