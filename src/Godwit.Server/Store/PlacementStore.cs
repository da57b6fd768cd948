using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Vms;

namespace Godwit.Server.Store;

/// <summary>The rules and the policy of placement; and the last look at the rules before a VM comes to a host.</summary>
public sealed class PlacementStore(Database database, TimeProvider time)
{
    public const int RulesMax = 200;

    /// <summary>With every rule, in order of their names.</summary>
    public Task<PlacementPolicy> PolicyAsync() => database.RunAsync(Policy);

    public Task<List<RuleRecord>> RulesAsync() => database.RunAsync(Rules);

    /// <summary>Null, or why it cannot be. The same rule twice is one.</summary>
    public Task<Refusal?> AddAsync(RuleRecord rule) => database.RunAsync(work =>
    {
        var rules = Rules(work);
        if (rules.FirstOrDefault(r => r.Name == rule.Name) is { } known)
            return known == rule ? null : new Refusal("name-taken", $"there is a rule {rule.Name} already, and it says something else",
                $"look at it: 'godwit rule show {rule.Name}'; remove it first, or choose another name");
        if (rules.Count >= RulesMax)
            return new Refusal("too-many-rules", $"there are {RulesMax} rules", "remove one: 'godwit rule remove NAME'");
        work.Execute("INSERT INTO placement_rules (name, doc) VALUES (@name, @doc)", ("@name", rule.Name), ("@doc", Fields.Doc(rule)));
        Say(work, new Happening("rule-added", $"rule {rule.Name} holds from now on"));
        return null;
    });

    /// <summary>False where there is no such rule.</summary>
    public Task<bool> RemoveAsync(string name) => database.RunAsync(work =>
    {
        if (work.Execute("DELETE FROM placement_rules WHERE name = @name", ("@name", name)) == 0) return false;
        Say(work, new Happening("rule-removed", $"rule {name} holds no longer"));
        return true;
    });

    public Task<PlacementPolicy> ChangePolicyAsync(Func<PlacementPolicy, PlacementPolicy> change) => database.RunAsync(work =>
    {
        var (before, after) = (Policy(work), change(Policy(work)));
        work.Execute("INSERT INTO placement_policy (id, doc) VALUES (1, @doc) ON CONFLICT (id) DO UPDATE SET doc = @doc",
            ("@doc", Fields.Doc(after)));
        if (Fields.Doc(before) != Fields.Doc(after)) Say(work, new Happening("placement-policy", "the policy of placement was changed"));
        return Policy(work);
    });

    internal static PlacementPolicy Policy(Work work) =>
        (work.Query("SELECT doc FROM placement_policy WHERE id = 1", row => row.Doc<PlacementPolicy>(0)).FirstOrDefault()
            ?? new PlacementPolicy()) with
        { Rules = [.. Rules(work).Select(rule => rule.ToRule())] };

    /// <summary>
    /// Which hard rule is against this VM on this host, as of this transaction: what runs there, is started there, or is on its
    /// way. Two that are to be apart and begin at the same moment do not both get the host.
    /// </summary>
    internal static Refusal? WhyNot(Work work, VmId id, HostId to)
    {
        var rules = Rules(work).Where(rule => rule.IsHard).ToList();
        if (rules.Count == 0 || VmStore.Find(work, id) is not { Tags.Count: > 0 } vm) return null;
        rules = [.. rules.Where(rule => vm.Tags.Contains(rule.VmTag))];
        if (rules.Count == 0) return null;

        var tags = rules.Select(rule => rule.VmTag).ToHashSet();
        var comes = MoveStore.OpenTargets(work);
        var starts = work.Query("SELECT vm, host FROM reservations ORDER BY operation",
            row => (Vm: new VmId(row.GetString(0)), Host: new HostId(row.GetString(1)))).ToLookup(r => r.Vm, r => (HostId?)r.Host);
        var view = new PlacementView(
            [.. HostStore.List(work).Select(host => new PlacementHost
            {
                Id = host.Id, State = host.State, Capacity = default, Tags = host.Tags,
                IsDraining = DrainStore.IsLeft(work, host.Id),
            })],
            [.. VmStore.List(work).Where(other => other.Spec.Id == id || other.Tags.Any(tags.Contains)).Select(other => new PlacementVm
            {
                Id = other.Spec.Id, Name = other.Spec.Name, Demand = default, Tags = other.Tags,
                Host = HasMemory(other) ? other.Owner : starts[other.Spec.Id].FirstOrDefault(),
                Heading = comes.TryGetValue(other.Spec.Id, out var target) ? target : starts[other.Spec.Id].FirstOrDefault(),
            })], new PlacementPolicy());
        if (view.Find(to) is not { } host) return null;
        var self = view.Vms.First(other => other.Id == id);
        return rules.Select(rule => RuleCheck.Against(rule.ToRule(), view, self, host)).FirstOrDefault(reason => reason is not null)?.Why;
    }

    /// <summary>A guest nobody can place counts as there.</summary>
    internal static bool HasMemory(Vm vm) => vm.State is VmState.Running or VmState.Paused or VmState.Unknown;

    private static List<RuleRecord> Rules(Work work) =>
        work.Query($"SELECT doc FROM placement_rules ORDER BY name LIMIT {RulesMax}", Read);

    private static RuleRecord Read(DbDataReader row) => row.Doc<RuleRecord>(0);

    private void Say(Work work, Happening happening) => EventStore.Append(work, happening, time.GetUtcNow());
}
