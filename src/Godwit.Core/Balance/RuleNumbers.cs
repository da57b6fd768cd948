using Godwit.Core.Balance.Search;
using Godwit.Core.Placement;

namespace Godwit.Core.Balance;

/// <summary>Rules, compatibility and recent moves as costs of units on hosts and of units with each other.</summary>
internal sealed class RuleNumbers(
    PlacementView view, List<int[]> units, Dictionary<HostId, int> numberOf, Dictionary<VmId, string> kept,
    Func<PlacementVm, IEnumerable<HostId>> recentlyLeft)
{
    /// <summary>What a broken wish costs, in guest-seconds: some moves' worth.</summary>
    private const float WishBroken = 100;

    private readonly Dictionary<string, int> rowOf = new(StringComparer.Ordinal);
    private readonly List<float[]> rows = [];

    public UnitRules Build()
    {
        var costRow = units.Select(Row).ToArray();
        var (groupStart, groups, memberStart, members, company) = Groups();
        return new()
        {
            CostRow = costRow.All(row => row < 0) ? [] : costRow, HostCost = [.. rows],
            GroupStart = groupStart, Groups = groups, MemberStart = memberStart, Members = members, CompanyCost = company,
        };
    }

    /// <summary>Units that are alike in what hosts they may be on share a row.</summary>
    private int Row(int[] unit)
    {
        var key = string.Join('\n', unit.Select(v => Key(view.Vms[v])));
        if (rowOf.TryGetValue(key, out var row)) return row;
        var costs = new float[view.Hosts.Count];
        foreach (var v in unit)
        {
            var vm = view.Vms[v];
            for (var h = 0; h < costs.Length; h++)
                foreach (var reason in PlacementCheck.Lasting(view, vm, view.Hosts[h])) costs[h] += Cost(reason.IsHard);
            foreach (var left in recentlyLeft(vm))
                if (numberOf.TryGetValue(left, out var number) && vm.Host != left) costs[number] = float.PositiveInfinity;
            foreach (var (number, cost) in KeptCompany(vm)) costs[number] += cost;
        }
        if (Array.TrueForAll(costs, cost => cost == 0)) return rowOf[key] = -1;
        rows.Add(costs);
        return rowOf[key] = rows.Count - 1;
    }

    private string Key(PlacementVm vm) => string.Join('|',
        vm.Accelerator, vm.MachineType, vm.CpuModel, string.Join(',', vm.Bridges),
        string.Join(',', vm.Pools.OrderBy(pool => pool.Key, StringComparer.Ordinal).Select(pool => $"{pool.Key}={pool.Value}")),
        string.Join(',', view.Policy.Rules.Where(rule => vm.Tags.Contains(rule.VmTag)).Select(rule => rule.Name)),
        string.Join(',', recentlyLeft(vm).Where(left => left != vm.Host)));

    /// <summary>VMs that never move are company too.</summary>
    private IEnumerable<(int Host, float Cost)> KeptCompany(PlacementVm vm) =>
        from rule in view.Policy.Rules
        where rule is PlacementRule.Apart or PlacementRule.Together && vm.Tags.Contains(rule.VmTag)
        from other in view.Tagged(rule.VmTag)
        where other.Host is not null && kept.ContainsKey(other.Id)
        select (numberOf[other.Host!.Value], rule is PlacementRule.Apart ? Cost(rule.IsHard) : -UnitRules.Finite(Cost(rule.IsHard)));

    private (int[] GroupStart, int[] Groups, int[] MemberStart, int[] Members, float[] Company) Groups()
    {
        var rules = view.Policy.Rules.Where(rule => rule is PlacementRule.Apart or PlacementRule.Together).ToArray();
        if (rules.Length == 0) return ([], [], [], [], []);
        var (groupStart, groups) = (new int[units.Count + 1], new List<int>());
        var members = rules.Select(_ => new List<int>()).ToArray();
        for (var u = 0; u < units.Count; u++)
        {
            for (var g = 0; g < rules.Length; g++)
                if (units[u].Any(v => view.Vms[v].Tags.Contains(rules[g].VmTag)))
                {
                    groups.Add(g);
                    members[g].Add(u);
                }
            groupStart[u + 1] = groups.Count;
        }
        var memberStart = new int[rules.Length + 1];
        for (var g = 0; g < rules.Length; g++) memberStart[g + 1] = memberStart[g] + members[g].Count;
        return (groupStart, [.. groups], memberStart, [.. members.SelectMany(list => list)],
            [.. rules.Select(rule => rule is PlacementRule.Apart ? Cost(rule.IsHard) : -UnitRules.Finite(Cost(rule.IsHard)))]);
    }

    private static float Cost(bool isHard) => isHard ? float.PositiveInfinity : WishBroken;
}
