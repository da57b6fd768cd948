using Godwit.Core;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Ports;
using Godwit.Core.Power;
using Godwit.Core.Vms;
using Godwit.Server.Balancing;
using Godwit.Server.Draining;
using Godwit.Server.Hosts;
using Godwit.Server.Loads;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Power;

/// <summary>
/// Looks once a minute, and at once where a VM found no room: which hosts are to be woken, which could be turned off, and what of
/// that it may begin by itself. What it decides is <see cref="PlanPower"/> and <see cref="PowerRules"/>.
/// </summary>
public sealed class PowerKeeper(
    Stores stores, BalanceVerbs plans, HostWatcher watcher, RoomNeeds needs, PowerRunner runner, IPowerHooks hooks, BalancerPace pace,
    TimeProvider time, ILogger<PowerKeeper> log)
{
    /// <summary>The actor under which the server's own watch acts.</summary>
    public const string WatchsName = "power";
    /// <summary>Hosts that are tried one after the other for a VM that is to be started again.</summary>
    private const int TriedForRoomMax = 3;
    /// <summary>Two looks are apart by that share of a minute at least.</summary>
    private const int RestShare = 12;
    private static readonly TimeSpan searchMax = TimeSpan.FromSeconds(10), waitEvery = TimeSpan.FromSeconds(2);

    private readonly SemaphoreSlim _one = new(1, 1);
    private DateTimeOffset? _lowSince;
    private volatile PowerLook? _last;
    private volatile PowerHold? _hold;
    private TaskCompletionSource _nudge = New();

    /// <summary>Null until the first one, or while its mode is off.</summary>
    public PowerLook? LastLook => _last;

    /// <summary>Null: none, or it is over.</summary>
    public PowerHold? Hold => _hold is { } hold && hold.Until > time.GetUtcNow() ? hold : null;

    public async Task RunAsync(CancellationToken stopping)
    {
        if (hooks is NoPower) return; // No host of this server can be turned off or on.
        needs.Noted += Nudge;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await Joining.AnyAsync(Task.Delay(pace.LookEvery, time, stopping), _nudge.Task);
                stopping.ThrowIfCancellationRequested();
                _nudge = New();
                await LookAsync(stopping);
                await Task.Delay(pace.LookEvery / RestShare, time, stopping); // However many VMs find no room.
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The loop ends above.
            catch (Exception error) when (error is StoreFailedException or RefusedException)
            {
                log.LogError(error, "Hosts could not be turned off or on");
            }
        }
        needs.Noted -= Nudge;

        void Nudge() => _nudge.TrySetResult();
    }

    public async Task LookAsync(CancellationToken stopping)
    {
        await _one.WaitAsync(); // A look is short, and two at once would begin the same.
        try { await LookAloneAsync(stopping); }
        finally { _one.Release(); }
    }

    /// <summary>
    /// In automatic mode: wakes hosts that could take this VM, one after the other, and waits for them. True where one came; false
    /// where none is to be had.
    /// </summary>
    public async Task<bool> MakeRoomAsync(PlacementVm vm, IReadOnlyList<Refusal> against, CancellationToken stopping)
    {
        if (hooks is NoPower || (await stores.Power.SettingsAsync()).Mode != PowerMode.Automatic) return false;
        for (var tried = 0; tried < TriedForRoomMax; tried++)
        {
            needs.Note(vm, against);
            await LookAsync(stopping);
            var waking = await WakingAsync();
            if (waking.Count == 0) return false;
            List<Host> left;
            do
            {
                await Task.Delay(waitEvery, time, stopping); // A waking ends by its limit.
                left = (await stores.Hosts.ListAsync()).Where(h => waking.Contains(h.Id)).ToList();
            }
            while (left.Count > 0 && left.All(h => h.Power.Phase == PowerPhase.Waking));
            if (left.Any(h => h.State == HostState.Ready)) return true;
        }
        return false;
    }

    /// <summary>Begins it, unless the host is in another phase by now. False: it is.</summary>
    public async Task<bool> BeginAsync(PowerAct act, HostId host, string by, string because)
    {
        var now = time.GetUtcNow();
        // Before its drain closes it: a server that dies in between begins another drain, which finds it closed.
        var wasCordoned = await stores.Hosts.FindAsync(host) is { State: HostState.Cordoned };
        var begun = await (act == PowerAct.Wake
            ? stores.Power.ChangeHostAsync(host, [PowerPhase.Standby], p => p.Enter(PowerPhase.Waking, now, by, because),
                _ => new Happening("host-waking", $"{host} is woken, for {by}: {because}", Host: host.Value))
            : stores.Power.ChangeHostAsync(host, [PowerPhase.On],
                p => p.Enter(PowerPhase.Emptying, now, by, because) with { Drain = null, WasCordoned = wasCordoned },
                _ => new Happening("host-emptying", $"{host} goes to standby, for {by}: {because}", Host: host.Value)));
        if (begun is null) return false;
        runner.Start(host);
        return true;
    }

    /// <summary>
    /// Until then no look turns a host off. It ends by itself with whoever asks for it: they ask again before it has. So it is in memory
    /// only; a server that has just begun turns nothing off before it was asked again.
    /// </summary>
    public async Task<PowerHold> HoldAsync(TimeSpan span, string because)
    {
        await _one.WaitAsync(); // A look that did not know of it has begun what it decided when this returns.
        try
        {
            var until = time.GetUtcNow() + span;
            return _hold = _hold is { } before && before.Until > until ? before : new PowerHold(until, because);
        }
        finally { _one.Release(); }
    }

    /// <summary>A host that was turned off answers, is proved, and has said what runs there: it is used again.</summary>
    internal async Task RisesAsync(HostId host)
    {
        if (await stores.Power.OpenAsync(host, [PowerPhase.Waking], null,
            new Happening("host-woken", $"{host} is on again, proved, and takes VMs", Host: host.Value))) return;
        const string byItself = "it came on by itself while it was on standby";
        await stores.Power.OpenAsync(host, [PowerPhase.Standby], byItself, new Happening("power-failed",
            $"{host}: {byItself}; it is in service, and is not turned off again for hours", Host: host.Value));
    }

    private async Task LookAloneAsync(CancellationToken stopping)
    {
        await runner.ResumeAsync(); // What stopped at a failure of the store goes on.
        var settings = await stores.Power.SettingsAsync();
        if (settings.Mode == PowerMode.Off)
        {
            (_lowSince, _last) = (null, null);
            return;
        }
        var picture = await PictureAsync();
        using var stop = new CancellationTokenSource(searchMax, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop.Token, stopping);
        var plan = PlanPower.Of(picture, settings, either.Token);
        stopping.ThrowIfCancellationRequested();
        _lowSince = PowerRules.LowSince(_lowSince, plan, picture.Now);
        var decisions = PowerRules.Decide(settings, plan, picture.Powers, _lowSince, picture.Now, _hold);
        _last = new PowerLook(picture.Now, plan, decisions);
        foreach (var (advice, _, _) in decisions.Where(d => d.Deed == PowerDeed.Begin))
            await BeginAsync(advice.Act, advice.Host, WatchsName, advice.Reason);
    }

    /// <param name="byHand">What has not been measured yet stays where it is for a plan, not for a person's wish.</param>
    internal async Task<PowerPicture> PictureAsync(bool byHand = false)
    {
        var now = await plans.LookAsync() with { PinsUnmeasured = !byHand };
        var view = ClusterPicture.Of(now, await stores.Placement.PolicyAsync());
        var anywhere = now with { PinsUnmeasured = false }; // What does not run has no load to be measured.
        return new PowerPicture
        {
            Now = now.At, View = view,
            Idle = [.. now.Vms.Where(vm => !PlacementStore.HasMemory(vm)).Select(vm => ClusterPicture.VmOf(vm, anywhere))],
            Powers = now.Rooms.ToDictionary(room => room.Host.Id, room => room.Host.Power),
            Forecast = new ClusterForecast(
                await PastAsync(LoadWatch.Cluster, row => row.CpuMax, now.At), view.Vms.Sum(vm => vm.Demand.CpuCores), now.At,
                await PastAsync(LoadWatch.Promised, row => row.MemoryBytes, now.At), view.Vms.Sum(vm => vm.Demand.MemoryBytes)),
            Restarted = now.Vms.Where(vm => vm.Ha).Select(vm => vm.Spec.Id).ToHashSet(),
            SpareHosts = (await stores.Balancer.SettingsAsync()).SpareHosts, Needs = needs.Open(), Held = await HeldAsync(now),
            SilentFor = now.Rooms.ToDictionary(room => room.Host.Id, room => watcher.Silence(room.Host.Id).For),
            Recovering = (await stores.Fences.UnfinishedAsync()).Select(recovery => recovery.Host).ToHashSet(),
            Kept = (await stores.Templates.ListAsync()).Select(t => (t.Pool, t.Share)).ToHashSet(),
            RenewAt = now.Rooms.Where(room => room.Host.Facts?.Certificate is not null)
                .ToDictionary(room => room.Host.Id, room => room.Host.Facts!.Certificate!.Life.RenewAt),
        };
    }

    /// <summary>A week of it, oldest first: five minutes a span for the last day, an hour for the days before.</summary>
    private async Task<List<PastLoad>> PastAsync(string thing, Func<LoadRow, double> amount, DateTimeOffset now)
    {
        var coarse = await stores.Loads.HistoryAsync(thing, now.AddDays(-ClusterForecast.DaysMax).AddHours(-1), now);
        var fine = await stores.Loads.HistoryAsync(thing, now.AddDays(-1), now);
        return
        [
            .. coarse.Concat(fine).Select(row => new PastLoad(row.At, TimeSpan.FromSeconds(row.SpanSeconds), amount(row)))
                .OrderBy(past => past.At),
        ];
    }

    private async Task<Dictionary<HostId, string>> HeldAsync(ClusterSnapshot now)
    {
        var held = new Dictionary<HostId, string>();
        foreach (var vm in now.Vms)
            if (DrainPlanner.WayOf(vm, Core.Migration.MoveMode.Live) is { Mode: null, Why: { } why }) held.TryAdd(vm.Owner, why.Cause);
        foreach (var recovery in await stores.Fences.UnfinishedAsync()) held.TryAdd(recovery.Host, "it is being recovered");
        foreach (var drain in await stores.Drains.UnfinishedAsync()) held.TryAdd(drain.Host, "its VMs leave it, or come back to it");
        return held;
    }

    private async Task<HashSet<HostId>> WakingAsync() =>
        [.. (await stores.Hosts.ListAsync()).Where(h => h.Power.Phase == PowerPhase.Waking).Select(h => h.Id)];

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>What the last look found, and what became of it.</summary>
public sealed record PowerLook(DateTimeOffset At, PowerPlan Plan, IReadOnlyList<PowerDecision> Decisions);
