using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Migrations;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Rebuild;

/// <summary>
/// Ends a VM's being frozen: at a person's word, when the hosts' records prove whose it is or the person says where it
/// is to be; by itself only where nothing but a host's silence was in the way. Kills and starts nothing.
/// </summary>
public sealed class Settling(Stores stores, AgentDirectory agents, MigrationRunner migrations, TimeProvider time, ILogger<Settling> log)
{
    /// <summary>Reasons that are over once the silent host has spoken.</summary>
    private static readonly string[] OverWithTheSilence = ["host-silent", "owner-silent"];

    /// <param name="nameOrId">A VM the store knows, or the id of one that only hosts know.</param>
    /// <param name="on">The person's word where it is to be; null: what hosts prove.</param>
    /// <param name="gone">Hosts that are off for good.</param>
    /// <exception cref="RefusedException">With every reason why it cannot be settled so.</exception>
    public async Task<Vm> AdoptAsync(string nameOrId, HostId? on, IReadOnlyCollection<HostId> gone, CancellationToken cancel)
    {
        var hosts = await stores.Hosts.ListAsync();
        if (gone.FirstOrDefault(g => hosts.Any(h => h.Id == g && h.Answers)) is { Value: not null } answers)
            throw new RefusedException("host-answers", $"{answers} answers, so it is not gone", "leave --gone out: it is asked");
        var testimonies = await AskAsync(hosts, gone, cancel);
        var stored = await stores.Vms.FindAsync(nameOrId);
        if (on is not null && stored is not null && await stores.Frozen.FindAsync(stored.Spec.Id) is null)
            throw new RefusedException("vm-not-frozen", $"{stored.Spec.Name} is not frozen: it is on {stored.Owner}",
                $"to bring it elsewhere: godwit vm migrate {stored.Spec.Name} --to {on}");
        var id = stored?.Spec.Id ?? new VmId(nameOrId);
        var claims = VmClaims.Of(id, testimonies);
        var settled = on is { } host ? Adoption.At(host, stored, claims, time.GetUtcNow())
            : Adoption.AsProved(stored, Ownership.Decide(claims, time.GetUtcNow()), time.GetUtcNow());
        if (settled.Reasons.Count > 0) throw new RefusedException(settled.Reasons);
        var why = on is null ? "its host's record proves it" : "by a person's word";
        if (await stores.Frozen.SettleAsync(settled.Vm!, why) is { } refusal) throw new RefusedException([refusal]);
        return (await stores.Vms.FindAsync(id))!;
    }

    /// <summary>Hosts answered a round of questions: those that were silent when the store was rebuilt are heard now.</summary>
    public async Task HearAsync(IReadOnlyCollection<HostId> answered, CancellationToken cancel)
    {
        var awaited = (await stores.Frozen.AwaitedAsync()).Where(answered.Contains).ToList();
        if (awaited.Count == 0) return;
        var testimonies = await AskAsync(await stores.Hosts.ListAsync(), [], cancel);
        foreach (var host in awaited.Where(h => testimonies.Any(t => t.Host == h && t.Inventory is not null)))
            await TakeInAsync(host, testimonies);
    }

    private async Task TakeInAsync(HostId host, IReadOnlyList<Testimony> testimonies)
    {
        var now = time.GetUtcNow();
        var known = (await stores.Vms.ListAsync()).ToDictionary(v => v.Spec.Id);
        var frozen = (await stores.Frozen.ListAsync()).ToDictionary(f => f.Vm);
        foreach (var id in VmClaims.Named(testimonies))
        {
            var isWaiting = frozen.TryGetValue(id, out var why) && why.Reasons.All(r => OverWithTheSilence.Contains(r.Code));
            if (known.ContainsKey(id) && !isWaiting) continue;
            if (Ownership.Decide(VmClaims.Of(id, testimonies), now) is not { } verdict) continue;
            // What the store says of one that waits was made up: only its name and age are kept.
            var before = known.GetValueOrDefault(id);
            var planned = new PlannedVm(new Vm
            {
                Spec = before is null ? verdict.Spec : verdict.Spec with { Name = before.Spec.Name },
                Owner = verdict.Owner, Epoch = verdict.Epoch, State = verdict.State, SavedFile = verdict.SavedFile,
                CreatedAt = before?.CreatedAt ?? now,
            }, verdict.Frozen, verdict.Moves);
            var refusal = await stores.Database.RunAsync(work => PlanWriter.PutIfFree(work, planned, now));
            if (refusal is not null) log.LogWarning("{Vm} of {Host} is not taken in: {Why}", planned.Vm.Spec.Name, host, refusal.Cause);
        }
        await stores.Frozen.ArrivedAsync(host);
        await migrations.ResumeAsync(); // Moves of its that go on.
        await stores.Events.AppendAsync(new Happening("host-heard", $"{host} answers: what it has is in the record now", Host: host.Value));
    }

    private Task<IReadOnlyList<Testimony>> AskAsync(List<Host> hosts, IReadOnlyCollection<HostId> gone, CancellationToken cancel) =>
        Questioning.AskAsync([.. hosts.Select(h => (h.Id, h.Endpoint))], agents.Of, leaksOnly: false, gone, tries: 1, time, cancel);
}
