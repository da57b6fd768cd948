using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Inventory;
using Godwit.Core.Ports;
using Godwit.Core.Power;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Hosts;

/// <summary>
/// Asks every host every 5 s what it is and what it runs, and lets the record follow. It starts, stops and kills nothing; an
/// owner that runs a VM under an older epoch than the record's learns the newer. Writes to the store only what changed, so that
/// an idle cluster does not wear out its disk.
/// </summary>
public sealed class HostWatcher(
    Stores stores, AgentDirectory agents, PoolSharing sharing, TimeProvider time, ILogger<HostWatcher> log)
{
    private const int AtOnceMax = 16;
    /// <summary>One lost answer is noise; the second says that the host is unreachable.</summary>
    private const int MissesMax = 2;
    /// <summary>Of the rounds, those in which a host on standby is asked: whether somebody else has turned it on.</summary>
    private const int AsleepEvery = 6;
    private const int AlarmsRememberedMax = 1_000;
    /// <summary>A report may be older than the record it is compared with; what is still so in the next round is so.</summary>
    private const int SightingsForAlarm = 2;
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(5), FirstLookMax = TimeSpan.FromSeconds(3);

    private readonly ConcurrentDictionary<HostId, HostFacts> _live = new();
    private readonly ConcurrentDictionary<HostId, (int Misses, long Since)> _misses = new();
    private readonly ConcurrentDictionary<string, int> _sightings = new();
    private readonly ConcurrentDictionary<VmId, string> _troubles = new();
    private int _round;

    /// <summary>Facts as of the last answer; fresher than the store in what changes all the time (free memory, clock).</summary>
    public HostFacts? Live(HostId host) => _live.GetValueOrDefault(host);

    /// <summary>Why QEMU does not let a guest run that should, by its owner's last report; null: it does, or nobody knows.</summary>
    public string? TroubleOf(VmId vm) => _troubles.GetValueOrDefault(vm);
    /// <summary>How many guests QEMU has stopped because their storage failed.</summary>
    public int Troubles => _troubles.Count;

    /// <summary>
    /// Questions in a row without an answer, and how long it is since the first of them, by this process's monotonic clock: a
    /// server that stood still, or has just begun, has heard no silence yet.
    /// </summary>
    public (int Misses, TimeSpan For) Silence(HostId host) =>
        _misses.TryGetValue(host, out var silence) ? (silence.Misses, time.GetElapsedTime(silence.Since)) : default;

    /// <summary>A fenced host answers: before anything it says counts, it must learn what left it.</summary>
    public event Func<HostId, CancellationToken, Task>? Knocks;

    /// <summary>A host that was turned off answers, has said what runs there, and its pools are proved.</summary>
    public event Func<HostId, Task>? Rises;

    /// <summary>A host answers again after it was given up.</summary>
    public event Func<HostId, Task>? Returned;

    /// <summary>After each round, with those that answered in it.</summary>
    public event Func<IReadOnlyCollection<HostId>, CancellationToken, Task>? Answered;

    internal SafetyRules Rules { get; init; } = SafetyRules.All;

    /// <summary>
    /// Before a server goes on with anything: has any host heard of something that the store has not? Hosts that are slow
    /// to answer are not waited for longer than 3 s. The rest of the round goes on in what is returned.
    /// </summary>
    public async Task<Task> FirstLookAsync(CancellationToken stopping)
    {
        var round = RoundOnceAsync(stopping);
        await Joining.AnyAsync(round, Task.Delay(FirstLookMax, time, stopping));
        return round;
    }

    /// <param name="first">A round that goes on already.</param>
    public async Task RunAsync(Task first, CancellationToken stopping)
    {
        await first.Joinable();
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await RoundAsync(stopping);
                await Task.Delay(Every, time, stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The loop ends above.
            catch (StoreFailedException error)
            {
                log.LogError(error, "The store refused what the hosts reported; asked again in {Every}", Every);
                await Task.Delay(Every, time, CancellationToken.None);
            }
        }
    }

    private async Task RoundOnceAsync(CancellationToken stopping)
    {
        try { await RoundAsync(stopping); }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // Nobody asks any more.
        catch (StoreFailedException error) { log.LogError(error, "The store refused what the hosts reported"); }
    }

    public async Task RoundAsync(CancellationToken stopping)
    {
        _round++;
        foreach (var batch in (await stores.Hosts.ListAsync()).Where(IsAsked).Chunk(AtOnceMax))
            await Task.WhenAll(batch.Select(host => AskAsync(host, stopping)).ToArray());
        if (Answered is { } answered)
            await answered([.. _live.Keys.Where(host => !_misses.ContainsKey(host))], stopping);
    }

    /// <summary>One that is being turned off is asked by who turns it off.</summary>
    private bool IsAsked(Host host) => host.State != HostState.Standby || host.Power.Phase switch
    {
        PowerPhase.GoingOff => false,
        PowerPhase.Standby => _round % AsleepEvery == 0,
        _ => true,
    };

    private async Task AskAsync(Host host, CancellationToken stopping)
    {
        try
        {
            var known = await stores.Vms.KnownAsync(host.Id); // Before the question: a report is older than its arrival.
            var agent = agents.Of(host.Id);
            var facts = await agent.DescribeAsync(stopping);
            if (host.State == HostState.Fenced)
            {
                if (Knocks is { } knocks) await knocks(host.Id, stopping);
                return; // The next round finds it unreachable, and then back.
            }
            var reports = await agent.ListVmsAsync(stopping);
            var epochs = await agent.ListEpochsAsync(stopping);
            agents.Epochs.Take(host.Id, epochs);
            _misses.TryRemove(host.Id, out _);
            if (Rules.Keeps(SafetyRule.FrozenWhenBehind)) await FreezeWhatIsBehindAsync(host.Id, epochs);
            await TakeFactsAsync(host, facts, stopping);
            await TakeReportsAsync(host.Id, reports, known, stopping);
            if (host.State == HostState.Standby && Rises is { } rises) await rises(host.Id);
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException)
        {
            var (misses, _) = _misses.AddOrUpdate(
                host.Id, _ => (1, time.GetTimestamp()), (_, before) => (before.Misses + 1, before.Since));
            if (misses >= MissesMax && host.State is not (HostState.Unreachable or HostState.Fenced or HostState.Standby))
                await stores.Hosts.SetReachableAsync(host.Id, false, Why(silent));
        }
    }

    private async Task TakeFactsAsync(Host host, HostFacts facts, CancellationToken stopping)
    {
        _live[host.Id] = facts;
        // A pool that was not writable could not be proved to be shared. Before the new facts are kept: it is repeated if it fails.
        var proved = host.Facts is { } before && WritablePools(before).SetEquals(WritablePools(facts));
        if (!proved) await sharing.ProveAsync(host.Id, facts, stopping, again: true);
        if (host.Facts is null || Fields.Doc(Lasting(host.Facts)) != Fields.Doc(Lasting(facts)))
            await stores.Hosts.SaveFactsAsync(host.Id, facts, OfJournal(host, facts));
        if (host is { State: not (HostState.Unreachable or HostState.Standby), PoolsUnproved: false }) return;
        if (proved) await sharing.ProveAsync(host.Id, facts, stopping); // It may have come back without its mounts.
        if (host.State != HostState.Unreachable) return;
        await stores.Hosts.SetReachableAsync(host.Id, true, "");
        if (Returned is { } returned) await returned(host.Id);
    }

    /// <summary>What is new about the disk of its records, in the transaction that keeps it: told once each way.</summary>
    private static Happening? OfJournal(Host before, HostFacts now) => (WasSilent: before.Facts?.JournalSilentSeconds > 0,
        IsSilent: now.JournalSilentSeconds > 0) switch
    {
        (false, true) => new Happening("journal-hangs", $"the journal of {before.Id} has not answered for {now.JournalSilentSeconds:0} s: "
            + "its disk hangs. Guests there run on; it takes and gives no VM until it answers", Host: before.Id.Value),
        (true, false) => new Happening("journal-answers", $"the journal of {before.Id} answers again", Host: before.Id.Value),
        _ => null,
    };

    private static HashSet<string> WritablePools(HostFacts facts) => [.. facts.Pools.Where(p => p.Writable).Select(p => p.Name)];

    private async Task TakeReportsAsync(
        HostId host, IReadOnlyList<VmReport> reports, IReadOnlyList<KnownVm> known, CancellationToken stopping)
    {
        var byId = reports.GroupBy(r => r.Spec.Id).ToDictionary(g => g.Key, g => g.MaxBy(r => (r.IsOwner, r.Epoch))!);
        foreach (var vm in known)
        {
            byId.Remove(vm.Vm.Spec.Id, out var report);
            if (report is { StorageFailed: true, Note: { } why }) _troubles[vm.Vm.Spec.Id] = why;
            else _troubles.TryRemove(vm.Vm.Spec.Id, out _);
            if (!vm.IsBusy) await TakeAsync(vm, host, report, stopping);
        }
        foreach (var report in byId.Values)
        {
            if (await stores.Vms.FindKnownAsync(report.Spec.Id) is not { } elsewhere) await TellOrphanAsync(host, report);
            else if (!elsewhere.IsBusy && elsewhere.Vm.Owner != host) await TakeAsync(elsewhere, host, report, stopping);
        }
    }

    /// <summary>Also from hosts that own a VM no longer: what they know of it may be all that is left of a lost commit.</summary>
    private async Task FreezeWhatIsBehindAsync(HostId host, IReadOnlyList<VmEpoch> epochs)
    {
        var ours = await stores.Vms.EpochsAsync();
        foreach (var said in epochs.Where(e => ours.TryGetValue(e.Vm, out var our) && e.Epoch > our))
        {
            if (await stores.Vms.FindKnownAsync(said.Vm) is not { } known || said.Epoch <= known.Vm.Epoch) continue;
            if (await IsExplainedAsync(said.Vm, host, said.Epoch)) continue;
            await stores.Frozen.FreezeAsync(known, StoreAge.Behind(known.Vm, host, said.Epoch), host,
                evenIfBusy: StoreAge.IsBeyondAnyOperation(known.Vm, said.Epoch));
        }
    }

    private async Task<bool> IsExplainedAsync(VmId vm, HostId host, Epoch epoch) =>
        StoreAge.Explains(await stores.Moves.NewestAsync(vm), host, epoch);

    private async Task TakeAsync(KnownVm vm, HostId host, VmReport? report, CancellationToken stopping)
    {
        // Whose it is then, is settled first. What nothing explains is to be frozen, and was not only if the record changed in that moment:
        // the next round does it.
        if (report is not null && report.Epoch > vm.Vm.Epoch && (await stores.Frozen.FindAsync(vm.Vm.Spec.Id) is not null
            || (Rules.Keeps(SafetyRule.FrozenWhenBehind) && !await IsExplainedAsync(vm.Vm.Spec.Id, host, report.Epoch)))) return;
        switch (ReportRules.Judge(vm.Vm, host, report))
        {
            case Verdict.Changed changed: await stores.Vms.AdoptAsync(vm, changed.Now, changed.Happening); break;
            case Verdict.Behind: await RenewAsync(vm.Vm, host, stopping); break;
            case Verdict.Alarm alarm: await TellOnceAsync(alarm.Happening); break;
        }
    }

    /// <summary>A host that says no has changed since, or is busy with the VM: that is no silence; the next round asks again.</summary>
    private async Task RenewAsync(Vm vm, HostId host, CancellationToken stopping)
    {
        try { await agents.Of(host).RenewEpochAsync(vm.Spec.Id, vm.Epoch, stopping); }
        catch (RefusedException refused)
        {
            log.LogInformation("{Host} does not take epoch {Epoch}: {Why}", host, vm.Epoch, refused.Message);
        }
    }

    private async Task TellOrphanAsync(HostId host, VmReport report)
    {
        if (report.State is not (VmState.Running or VmState.Paused)) return;
        await TellOnceAsync(new Happening("vm-orphan",
            $"{host} runs {report.Spec.Name} ({report.Spec.Id}), which this server does not know: nothing was stopped",
            report.Spec.Name, host.Value));
    }

    private async Task TellOnceAsync(Happening happening)
    {
        if (_sightings.Count >= AlarmsRememberedMax) _sightings.Clear();
        var sightings = _sightings.AddOrUpdate(happening.Text, 1, (_, before) => Math.Min(before + 1, SightingsForAlarm + 1));
        if (sightings == SightingsForAlarm) await stores.Events.AppendAsync(happening);
    }

    /// <summary>Without what changes at every question.</summary>
    private static HostFacts Lasting(HostFacts facts) => facts with
    {
        Clock = default,
        MemoryAvailableBytes = 0,
        RamFileSpaceBytes = 0,
        JournalSilentSeconds = facts.JournalSilentSeconds > 0 ? 1 : 0,
        Pools = [.. facts.Pools.Select(p => p with { FreeBytes = 0 })],
    };

    private static string Why(Exception silent) => (silent as AgentUnreachableException)?.Why ?? silent.Message;
}
