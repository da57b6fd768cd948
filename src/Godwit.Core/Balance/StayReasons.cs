using Godwit.Core.Balance.Search;

namespace Godwit.Core.Balance;

/// <summary>Tells for VMs that stay why they do, after the plan's moves: "why not this VM".</summary>
internal sealed class StayReasons(
    BalancePolicy policy, ClusterModel cluster, BalanceObjective objective, double[] loads, int[] hostOf)
{
    public const int Max = 500;
    private readonly BalanceModel model = cluster.Model;
    private readonly MoveGains gains = new(cluster.Model, objective, loads);

    public IReadOnlyList<StayingVm> Tell(IReadOnlySet<int> moved)
    {
        var stays = new List<StayingVm>();
        for (var unit = 0; unit < model.Units; unit++)
            if (!moved.Contains(unit)) stays.AddRange(Unit(unit));
        return
        [
            .. cluster.KeptVms
                .Select(kept => new StayingVm(kept.Vm.Id, kept.Vm.Name, kept.Vm.Host!.Value, double.NegativeInfinity, kept.Why))
                .Concat(stays).OrderByDescending(s => s.BestGainSeconds).ThenBy(s => s.VmName, StringComparer.Ordinal).Take(Max)
                .Select(s => s with { BestGainSeconds = double.IsFinite(s.BestGainSeconds) ? s.BestGainSeconds : 0 }),
        ];
    }

    private IEnumerable<StayingVm> Unit(int unit)
    {
        var from = hostOf[unit];
        var (best, gain) = (-1, double.NegativeInfinity);
        for (var to = 0; to < model.Hosts; to++)
        {
            if (to == from || model.Closed[to] || !gains.Fits(unit, to)) continue;
            var here = gains.Gain(unit, from, to, hostOf);
            if (here > gain) (best, gain) = (to, here);
        }
        var must = policy.MinGainRatio * model.Price[unit];
        var why = best < 0 || gain < -UnitRules.Broken / 2 ? "no other host may take it"
            : gain <= 0 ? $"it is best where it is; next best is {cluster.Host(best).Id}"
            : $"{cluster.Host(best).Id} would save {gain:0.0} guest-seconds an hour, and its move must save {must:0.0}";
        if (best < 0) gain = double.NegativeInfinity;
        return cluster.Vms(unit).Select(vm => new StayingVm(vm.Id, vm.Name, cluster.Host(from).Id, gain, why));
    }
}
