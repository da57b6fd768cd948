using Godwit.Core;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Hosts;
using Godwit.Server.Store;

namespace Godwit.Server.Placing;

/// <summary>What people say about who is to be where: tags, pins, priorities, rules, and how full hosts may be.</summary>
public sealed class PlacementVerbs(Stores stores, PlacementDesk desk)
{
    private const int BreachesMax = 100;
    private const double OvercommitMin = 0.1, MemoryOvercommitMax = 4, VcpuOvercommitMax = 100, LoadCeilingMin = 0.1, SpareMemoryMax = 0.9;

    public async Task SetVmAsync(VmId id, VmSettingsRequest wish)
    {
        if (wish is { Ha: null, Tag: null, Untag: null, Pin: null, Priority: null, Moves: null or { SaysNothing: true } })
            throw Nothing();
        if (wish.Priority is { } priority && VmPriority.WhyNot(priority) is { } refusal) throw new RefusedException([refusal]);
        if (wish.Moves?.Broken().ToList() is { Count: > 0 } wrong) throw new RefusedException(wrong);
        _ = await stores.Vms.SetPlacementAsync(id, vm => vm with
        {
            Tags = PlacementTags.Changed(vm.Tags, wish.Tag, wish.Untag), IsPinned = wish.Pin ?? vm.IsPinned,
            Priority = wish.Priority ?? vm.Priority,
        }) ?? throw new RefusedException("vm-not-found", $"there is no VM {id}", "see 'godwit vm list'");
        if (wish.Moves is { } moves) await stores.Vms.SetMoveLimitsAsync(id, kept => moves.Over(kept));
    }

    public async Task SetHostAsync(HostId id, HostSettingsRequest wish)
    {
        if (wish == new HostSettingsRequest()) throw Nothing();
        if (!await stores.Hosts.SetTagsAsync(id, tags => PlacementTags.Changed(tags, wish.Tag, wish.Untag))) throw HostVerbs.NotFound(id);
    }

    /// <summary>A rule that is broken already is taken, and its breaches are told: nothing is moved for it here.</summary>
    public async Task<RuleView> AddRuleAsync(RuleRecord rule)
    {
        var wrong = rule.Broken().ToList();
        if (wrong.Count > 0) throw new RefusedException(wrong);
        if (await stores.Placement.AddAsync(rule) is { } refusal) throw new RefusedException([refusal]);
        return View(rule, (await desk.LookAsync()).View);
    }

    public async Task<IReadOnlyList<RuleView>> RulesAsync()
    {
        var view = (await desk.LookAsync()).View;
        return [.. (await stores.Placement.RulesAsync()).Select(rule => View(rule, view))];
    }

    public async Task<RuleView> RuleAsync(string name) =>
        (await RulesAsync()).FirstOrDefault(view => view.Rule.Name == name) ?? throw NotFound(name);

    public async Task RemoveRuleAsync(string name)
    {
        if (!await stores.Placement.RemoveAsync(name)) throw NotFound(name);
    }

    public Task<PlacementPolicy> SetPolicyAsync(PolicyWish wish)
    {
        var wrong = new List<Refusal>();
        Check("memory-overcommit", wish.MemoryOvercommit, OvercommitMin, MemoryOvercommitMax);
        Check("vcpu-overcommit", wish.VcpuOvercommit, OvercommitMin, VcpuOvercommitMax);
        Check("load-ceiling", wish.LoadCeiling, LoadCeilingMin, 1);
        Check("spare-memory", wish.SpareMemory, 0, SpareMemoryMax);
        if (wish == new PolicyWish()) wrong.AddRange(Nothing().Reasons);
        if (wrong.Count > 0) throw new RefusedException(wrong);
        return stores.Placement.ChangePolicyAsync(policy => policy with
        {
            MemoryOvercommit = wish.MemoryOvercommit ?? policy.MemoryOvercommit,
            VcpuOvercommit = wish.VcpuOvercommit ?? policy.VcpuOvercommit,
            LoadCeiling = wish.LoadCeiling ?? policy.LoadCeiling, SpareMemory = wish.SpareMemory ?? policy.SpareMemory,
        });

        void Check(string what, double? value, double min, double max)
        {
            if (value is { } given && !(given >= min && given <= max))
                wrong.Add(new($"bad-{what}", FormattableString.Invariant($"a {what} of {given}"),
                    FormattableString.Invariant($"{min} to {max} are possible")));
        }
    }

    private static RuleView View(RuleRecord rule, PlacementView view)
    {
        var breaches = RuleCheck.Breaches(view, rule.ToRule());
        return new RuleView(rule, view.Tagged(rule.VmTag).Count, breaches.Count, [.. breaches.Take(BreachesMax)]);
    }

    private static RefusedException Nothing() =>
        new("nothing-to-set", "nothing is said that could be set", "name at least one setting: --help lists them");

    private static RefusedException NotFound(string name) =>
        new("rule-not-found", $"there is no rule {name}", "see 'godwit rule list'");
}

/// <summary>A rule, and how the cluster keeps it now.</summary>
/// <param name="Vms">How many VMs that run it speaks of.</param>
/// <param name="Broken">How many of them are where it does not want them.</param>
/// <param name="Breaches">The first hundred of those.</param>
public sealed record RuleView(RuleRecord Rule, int Vms, int Broken, IReadOnlyList<RuleBreach> Breaches);

/// <summary>POST /api/v1/placement. What is null stays as it is.</summary>
/// <param name="MemoryOvercommit">Bytes that may be promised to guests for each byte a host offers.</param>
/// <param name="VcpuOvercommit">Virtual processors for each real one.</param>
/// <param name="LoadCeiling">Share of processors, network and disk that VMs may come to use.</param>
/// <param name="SpareMemory">Share of the memory that is kept for VMs of hosts that die; only a warning.</param>
public sealed record PolicyWish(
    double? MemoryOvercommit = null, double? VcpuOvercommit = null, double? LoadCeiling = null, double? SpareMemory = null);
