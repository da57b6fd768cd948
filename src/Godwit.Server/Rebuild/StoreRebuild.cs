using System.Text.Json;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;
using Godwit.Server.Agents;
using Godwit.Server.Api;
using Godwit.Server.Audit;
using Godwit.Server.Hosts;
using Godwit.Server.Identity;
using Godwit.Server.Store;
using Godwit.Server.Templates;

namespace Godwit.Server.Rebuild;

/// <param name="Hosts">Each host's name and where its agent listens; its certificate must prove the name.</param>
/// <param name="Gone">Of these, hosts that are off for good by a person's word.</param>
public sealed record RebuildWish(IReadOnlyList<(HostId Host, string Endpoint)> Hosts, IReadOnlyCollection<HostId> Gone);

/// <summary>
/// The cluster's record, made anew from what its hosts have written down. First all questions, which change nothing;
/// then the plan, which a pure function makes; then a store that nobody uses yet is filled. Nothing is ordered.
/// </summary>
public sealed class StoreRebuild(AgentDirectory agents, IRandomness randomness, TimeProvider time)
{
    /// <summary>An agent may be just starting.</summary>
    private const int Tries = 5;

    /// <param name="old">A store that is to be put right; null: it is lost.</param>
    public async Task<RebuildPlan> PlanAsync(RebuildWish wish, Stores? old, CancellationToken cancel)
    {
        // A host that an older store knows and nobody names is silent, not absent.
        var known = old is null ? [] : await old.Hosts.ListAsync();
        var hosts = wish.Hosts.Concat(known.Where(k => wish.Hosts.All(h => h.Host != k.Id)).Select(k => (k.Id, k.Endpoint))).ToList();
        foreach (var (host, endpoint) in hosts)
        {
            HostVerbs.Check(host, endpoint);
            agents.Put(host, endpoint);
        }
        var said = await Questioning.AskAsync(hosts, agents.Of, leaksOnly: false, wish.Gone, Tries, time, cancel);
        var plan = RebuildRules.Plan(said, old is null ? [] : await old.Vms.ListAsync(), storeIsLost: old is null, time.GetUtcNow());
        return plan.Notes.Version == 0 || Notes(plan) is not null ? plan : plan with
        {
            LeftOut = [.. plan.LeftOut, new LeftOut("rules, policies, tags and marks",
                $"the hosts' copy, version {plan.Notes.Version}, cannot be read by this version of Godwit: set them anew")],
        };
    }

    /// <summary>Fills <paramref name="store"/>: empty, or a copy of an older one. It is in use by nobody else.</summary>
    /// <param name="lastHead">The newest row of the audit that anybody remembers; null: none.</param>
    public async Task WriteAsync(RebuildPlan plan, Stores store, AuditHead? lastHead, CancellationToken cancel)
    {
        var now = time.GetUtcNow();
        var answered = plan.Hosts.Where(h => h.Inventory is not null).ToList();
        foreach (var host in answered) await store.Hosts.SaveAsync(host.Host, host.Endpoint, host.Facts!);
        var sharing = new PoolSharing(store.Hosts, agents, randomness);
        foreach (var host in answered)
        {
            try { await sharing.ProveAsync(host.Host, host.Facts!, cancel); }
            catch (Exception silent) when (silent is AgentUnreachableException or RefusedException) { } // Proved when it answers again.
        }
        var shares = await store.Hosts.SharesAsync();
        var notes = Notes(plan);
        await store.Database.RunAsync(work =>
        {
            OperationStore.EndAll(work, Ended(), now);
            MoveStore.EndAll(work, "the store was rebuilt; what goes on was asked of the hosts", now);
            foreach (var host in plan.Hosts.Where(h => h.Inventory is null))
            {
                HostStore.PutUnheard(work, host.Host, host.Endpoint, Questioning.NothingKnown(now));
                if (!host.IsGone) FreezeStore.Await(work, host.Host, now);
            }
            foreach (var template in Named(plan.Templates, notes)) PutTemplate(work, template, shares, now);
            foreach (var denied in plan.Denied.Hosts)
                if (!IdentityStore.Denies(work, denied)) IdentityStore.Deny(work, denied, now + ClusterCa.LeafLife, now);
            foreach (var vm in plan.Vms)
                if (PlanWriter.Put(work, vm, now) is { } refusal) throw new RefusedException([refusal]);
            if (notes is not null) NotesStore.Restore(work, plan.Notes.Version, notes, [.. answered.Select(h => h.Host)]);
            // So that the watcher proves each host anew, and hears who was silent.
            work.Execute("UPDATE hosts SET reachable = 0");
            work.Execute("DELETE FROM meta WHERE name = 'rebuilt'");
            work.Execute("INSERT INTO meta (name, value) VALUES ('rebuilt', @at)",
                ("@at", Fields.Time(now).ToString(System.Globalization.CultureInfo.InvariantCulture)));
            EventStore.Append(work, new Happening("store-rebuilt", Summary(plan)), now);
        });
        var lost = lastHead is null ? "" : $"; the audit before ended at {lastHead}";
        await store.Audit.AppendAsync(new AuditEntry(
            $"rebuild-{randomness.NextHex(6)}", "local", "admin", "godwit server rebuild", null, "server rebuild", "the store")
        { Result = AuditResult.Done, Detail = Summary(plan) + lost });
    }

    /// <summary>Null where no host has a copy, or what they have is of a version we do not understand.</summary>
    private static ClusterNotes? Notes(RebuildPlan plan)
    {
        if (plan.Notes.Version == 0) return null;
        try { return Fields.Parse<ClusterNotes>(plan.Notes.Document); }
        catch (JsonException) { return null; }
    }

    /// <summary>By the names and versions people gave, where a host keeps those, and by what clones say: a file may have several.</summary>
    private static IEnumerable<PlannedTemplate> Named(IReadOnlyList<PlannedTemplate> found, ClusterNotes? notes) =>
        found.GroupBy(t => (t.Pool, t.File)).SelectMany(file =>
        {
            var noted = (notes?.Templates ?? []).Where(n => (n.Pool, n.File) == file.Key).Select(n => file.First() with
            {
                Name = n.Name, Version = n.Version, By = n.By, Note = n.Note, CreatedAt = n.CreatedAt, IsNameless = false,
            }).ToList();
            return noted.Concat(file.Where(t => !t.IsNameless || noted.Count == 0)).DistinctBy(t => (t.Name, t.Version));
        });

    private static string Summary(RebuildPlan plan) =>
        $"rebuilt from {plan.Hosts.Count(h => h.Inventory is not null)} of {plan.Hosts.Count} hosts: {plan.Vms.Count} VMs, "
        + $"{plan.Vms.Count(v => v.Frozen.Count > 0)} of them frozen, "
        + $"{plan.Vms.Sum(v => v.Moves.Count(m => m.End is null))} moves that go on, "
        + $"{plan.Templates.Count} templates"
        + (plan.Notes.Version > 0 ? $", what people had set as of version {plan.Notes.Version}" : "");

    /// <summary>Which directory it is was proved this moment; without such proof it is told by no host's share.</summary>
    private static void PutTemplate(Work work, PlannedTemplate found, IReadOnlyList<PoolShare> shares, DateTimeOffset now)
    {
        if (TemplateStore.Has(work, found.Name, found.Version)) return;
        if (found.IsNameless // An older store knows its true name.
            && work.Number("SELECT COUNT(*) FROM template_versions WHERE file = @file", ("@file", found.File)) > 0) return;
        if (shares.FirstOrDefault(s => s.Pool == found.Pool && found.SeenBy.Contains(s.Host))?.Share is not { } share) return;
        TemplateStore.Put(work, new Template
        {
            Name = found.Name, Pool = found.Pool, Share = share, File = found.File, Format = found.Format, Sha256 = found.Sha256,
            VirtualBytes = found.VirtualBytes, FileBytes = found.FileBytes, CreatedAt = found.CreatedAt ?? now, Version = found.Version,
            By = found.By, Note = found.Note,
        });
    }

    private static ApiProblem Ended() => new()
    {
        Title = "The store was rebuilt", Status = 409, Code = "store-rebuilt",
        Cause = "the store was rebuilt while this went on", Detail = "the store was rebuilt while this went on",
        Next = "see what the VM is now ('godwit vm show'), and ask again",
    };
}
