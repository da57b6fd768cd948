using Godwit.Core.Hosts;

namespace Godwit.Core.Placement;

/// <summary>What one rule says of one VM on one host. Pure.</summary>
public static class RuleCheck
{
    private const string ApartCode = "rule-apart", TogetherCode = "rule-together", HostCode = "rule-host";

    public static bool IsCode(string code) => code is ApartCode or TogetherCode or HostCode;

    /// <summary>Null where the rule has nothing against it, or does not speak of this VM.</summary>
    public static PlacementReason? Against(PlacementRule rule, PlacementView view, PlacementVm vm, PlacementHost host)
    {
        if (!vm.Tags.Contains(rule.VmTag)) return null;
        return rule switch
        {
            PlacementRule.Apart when Others(view, rule, vm).FirstOrDefault(o => o.Host == host.Id || o.Heading == host.Id) is { } near =>
                Reason(rule, ApartCode, near.Host == host.Id
                    ? $"{near.Name} is on {host.Id}, and rule {rule.Name} keeps it apart from {vm.Name}"
                    : $"{near.Name} is on its way to {host.Id}, and rule {rule.Name} keeps it apart from {vm.Name}",
                    $"choose a host without a VM tagged {rule.VmTag}"),
            PlacementRule.Together when Others(view, rule, vm).FirstOrDefault(o => IsFar(view, o, host.Id)) is { } far =>
                Reason(rule, TogetherCode,
                    $"{far.Name} is on {far.Heading ?? far.Host}, and rule {rule.Name} keeps it together with {vm.Name}",
                    $"choose {far.Heading ?? far.Host}, or move all VMs tagged {rule.VmTag}"),
            PlacementRule.OnHosts on when !host.Tags.Contains(on.HostTag) => Reason(rule, HostCode,
                $"rule {rule.Name} keeps {vm.Name} on hosts tagged {on.HostTag}; {host.Id} is not", $"choose a host tagged {on.HostTag}"),
            PlacementRule.NotOnHosts off when host.Tags.Contains(off.HostTag) => Reason(rule, HostCode,
                $"rule {rule.Name} keeps {vm.Name} off hosts tagged {off.HostTag}; {host.Id} is",
                $"choose a host without the tag {off.HostTag}"),
            _ => null,
        };
    }

    /// <summary>VMs that are where the rule does not want them, in order of their names.</summary>
    public static IReadOnlyList<RuleBreach> Breaches(PlacementView view, PlacementRule rule) =>
    [
        .. view.Tagged(rule.VmTag).Where(vm => vm.Host is not null).OrderBy(vm => vm.Name, StringComparer.Ordinal)
            .Select(vm => (Vm: vm, Against: Against(rule, view, vm, view.Host(vm.Host!.Value)))).Where(pair => pair.Against is not null)
            .Select(pair => new RuleBreach(pair.Vm.Id, pair.Vm.Name, pair.Vm.Host!.Value, pair.Against!.Why.Cause)),
    ];

    private static IEnumerable<PlacementVm> Others(PlacementView view, PlacementRule rule, PlacementVm vm) =>
        view.Tagged(rule.VmTag).Where(other => other.Id != vm.Id && (other.Host ?? other.Heading) is not null);

    /// <summary>What is to leave a host, or is brought back from one that is off, follows: it keeps nobody.</summary>
    private static bool IsFar(PlacementView view, PlacementVm other, HostId host) =>
        (other.Heading ?? other.Host)!.Value is var place && place != host
        && view.Find(place) is not ({ IsDraining: true } or { State: HostState.Fenced or HostState.Standby });

    private static PlacementReason Reason(PlacementRule rule, string code, string cause, string fix) =>
        new(new(code, cause, fix), rule.IsHard);
}
