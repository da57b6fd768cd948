using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Checking;
using Godwit.Core.Hosts;
using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Audit;
using Godwit.Server.Migrations;
using Godwit.Server.Operations;
using Godwit.Server.Rebuild;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Checking;

/// <summary>
/// Compares store and hosts: on request, with what can be repaired repaired; and every few minutes by itself, when it only
/// tells. It ends no process and deletes no disk.
/// </summary>
public sealed class ClusterChecker(
    Stores stores, AgentDirectory agents, MigrationRunner migrations, OperationRunner operations, AuditTrail audit, TimeProvider time,
    ILogger<ClusterChecker> log)
{
    private const int RememberedMax = 10_000, ToldMax = 100;
    private static readonly TimeSpan Every = TimeSpan.FromMinutes(5);

    private readonly ConcurrentDictionary<(string Code, HostId? Host, string Thing), DateTimeOffset> _since = new();
    private readonly ConcurrentDictionary<(string Code, HostId? Host, string Thing), bool> _told = new();

    private readonly SemaphoreSlim _one = new(1, 1);

    /// <summary>Whether VMs marked <c>ha</c> have a place if hosts die; null: not looked at.</summary>
    public Func<CancellationToken, Task<SpareVerdict>>? SpareRoom { private get; set; }

    /// <summary>Looks every 5 minutes. What is still so at the next look is told once, as an event; nothing is done about it.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                await Task.Delay(Every, time, stopping);
                await RoundAsync(stopping);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The server stops.
    }

    public async Task RoundAsync(CancellationToken stopping)
    {
        try
        {
            var before = _since.Keys.ToHashSet();
            var found = await FindAsync(whole: false, auditProblems: [], stopping);
            // Told by others already, or of no concern: a person freezes nothing by looking.
            foreach (var finding in found.Where(f => before.Contains(KeyOf(f))
                && f.Code is not ("vm-frozen" or "host-silent" or "move-in-doubt"))
                .Where(f => !_told.ContainsKey(KeyOf(f))).Take(ToldMax))
            {
                _told[KeyOf(finding)] = true;
                await stores.Events.AppendAsync(new Happening("check-finding", $"{finding.Code}: {finding.What}",
                    Host: finding.Host?.Value));
            }
        }
        catch (StoreFailedException error) { log.LogError(error, "The store refused what a check found"); }
    }

    /// <summary>Everything, the audit's chain too.</summary>
    /// <param name="repair">Puts right what can be without a person; the answer says what was.</param>
    /// <param name="knownHead">The head of the audit known from elsewhere, or null.</param>
    public async Task<IReadOnlyList<Finding>> CheckAsync(bool repair, AuditHead? knownHead, CancellationToken cancel)
    {
        await _one.WaitAsync(); // Each asks every host and reads all of the audit: one after the other.
        try
        {
            var verdict = await audit.VerifyAsync(knownHead is null ? [] : [knownHead]);
            var found = await FindAsync(whole: true, [.. verdict.Problems.Select(p => p.Cause)], cancel);
            return repair ? await RepairAsync(found, cancel) : found;
        }
        finally { _one.Release(); }
    }

    private async Task<IReadOnlyList<Finding>> FindAsync(bool whole, IReadOnlyList<string> auditProblems, CancellationToken cancel)
    {
        var hosts = await stores.Hosts.ListAsync();
        var said = await Questioning.AskAsync(
            [.. hosts.Where(h => h.State != HostState.Standby).Select(h => (h.Id, h.Endpoint))], agents.Of,
            leaksOnly: !whole, [], tries: 1, time, cancel);
        // The store is read after the hosts: what began meanwhile is known there.
        var words = await WordsAsync(auditProblems) with
        {
            Spare = SpareRoom is null ? null : await SpareRoom(cancel),
            PowerProblems = [.. hosts.Where(h => h.Power.Problem is not null).Select(h => (h.Id, h.Power.Problem!))],
        };
        var found = CheckRules.Findings(words, said);
        var now = time.GetUtcNow();
        var keys = found.Select(KeyOf).ToHashSet();
        foreach (var gone in _since.Keys.Where(k => !keys.Contains(k)).ToList())
        {
            _since.TryRemove(gone, out _);
            _told.TryRemove(gone, out _);
        }
        return [.. found.Take(RememberedMax).Select(f => f with { Since = _since.GetOrAdd(KeyOf(f), now) })];
    }

    private async Task<StoreWords> WordsAsync(IReadOnlyList<string> auditProblems)
    {
        var unfinished = await stores.Operations.UnfinishedAsync();
        var vms = await stores.Vms.ListAsync();
        var unknown = vms.Where(v => v.State == VmState.Unknown).Select(v => v.Spec.Id).ToHashSet();
        return new StoreWords
        {
            Vms = vms,
            Frozen = (await stores.Frozen.ListAsync()).ToDictionary(f => f.Vm, f => f.Reasons),
            Reservations = await stores.Operations.ReservationsAsync(),
            Open =
            [
                .. unfinished.Select(o => new OpenOperation(o.Id, o.Vm, o.VmName, o.Kind == OperationKind.Migrate,
                    o.Kind == OperationKind.Migrate ? migrations.IsRun(new MoveId(o.Id)) : operations.IsRun(o.Id))),
            ],
            Doubtful = [.. (await stores.Moves.ListAsync(null, activeOnly: false, MoveStore.ListMax))
                .Where(m => m.End == MoveEnd.NeedsOperator && unknown.Contains(m.Vm)).DistinctBy(m => m.Vm)],
            AuditProblems = auditProblems,
        };
    }

    private async Task<IReadOnlyList<Finding>> RepairAsync(IReadOnlyList<Finding> found, CancellationToken cancel)
    {
        var repaired = new HashSet<(string Code, HostId? Host, string Thing)>();
        foreach (var ofHost in found.Where(f => f is { CanBeRepaired: true, Host: not null })
            .Where(f => f.Code.StartsWith("leak-", StringComparison.Ordinal)).GroupBy(f => f.Host!.Value))
        {
            try
            {
                var inventory = await agents.Of(ofHost.Key).TakeInventoryAsync(leaksOnly: true, cancel);
                var things = ofHost.Select(f => f.Thing).ToHashSet(StringComparer.Ordinal);
                var asked = inventory.Leaks.Where(l => things.Contains(l.Thing) && HostLeaks.MayBeRemoved(l.Kind)).ToList();
                var gone = (await agents.Of(ofHost.Key).SweepAsync(asked, cancel)).Select(l => l.Thing).ToHashSet(StringComparer.Ordinal);
                repaired.UnionWith(ofHost.Where(f => gone.Contains(f.Thing)).Select(KeyOf));
            }
            catch (Exception silent) when (silent is AgentUnreachableException or RefusedException)
            {
                log.LogWarning("{Host} was not swept: {Why}", ofHost.Key, silent.Message);
            }
        }
        foreach (var finding in found.Where(f => f.Code == "reservation-left"))
            if (await stores.Operations.ReleaseLeftAsync(finding.Thing)) repaired.Add(KeyOf(finding));
        if (found.Any(f => f.Code == "move-without-runner")) await migrations.ResumeAsync();
        if (found.Any(f => f.Code == "operation-without-runner")) await operations.ResumeAsync();
        repaired.UnionWith(found.Where(f => f.Code == "move-without-runner" && migrations.IsRun(new MoveId(f.Thing))).Select(KeyOf));
        repaired.UnionWith(found.Where(f => f.Code == "operation-without-runner" && operations.IsRun(f.Thing)).Select(KeyOf));
        return [.. found.Select(f => f with { IsRepaired = repaired.Contains(KeyOf(f)) })];
    }

    private static (string Code, HostId? Host, string Thing) KeyOf(Finding finding) => (finding.Code, finding.Host, finding.Thing);
}
