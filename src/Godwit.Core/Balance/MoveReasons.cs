using Godwit.Core.Balance.Search;
using Godwit.Core.Placement;

namespace Godwit.Core.Balance;

/// <summary>Tells for each move why it is made and what else there was; for each VM that stays, why it does.</summary>
internal sealed class MoveReasons
{
    private readonly PlacementView view;
    private readonly BalancePolicy policy;
    private readonly ClusterModel cluster;
    private readonly BalanceModel model;
    private readonly double[] loads;
    private readonly int[] hostOf;
    private readonly MoveGains gains;
    /// <summary>In a large cluster the coolest ones stand for all: the next best is among them.</summary>
    private const int AlternativesMax = 64;
    private readonly int[] alternatives;

    /// <param name="loads">As the plan finds them.</param>
    public MoveReasons(
        PlacementView view, BalancePolicy policy, ClusterModel cluster, BalanceObjective objective, double[] loads, int[] hostOf)
    {
        (this.view, this.policy, this.cluster, this.loads) = (view, policy, cluster, loads);
        (model, this.hostOf) = (cluster.Model, (int[])hostOf.Clone());
        gains = new MoveGains(model, objective, loads);
        alternatives = [.. Enumerable.Range(0, model.Hosts).Where(h => !model.Closed[h])
            .OrderBy(h => Hottest(h).Share).ThenBy(h => h).Take(AlternativesMax)];
    }

    public IEnumerable<PlannedMove> Tell(OrderedMove move)
    {
        var (from, to) = (cluster.Host(move.From), cluster.Host(move.To));
        var goal = GoalOf(move);
        var (why, otherwise) = (Why(move, goal, from, to), Otherwise(move));
        var vms = cluster.Vms(move.Unit).ToList();
        // A rule that is mended or a host that is emptied has no measure in seconds.
        var gain = move.Gain >= UnitRules.Broken / 2 ? 0 : move.Gain;
        return vms.Select(vm => new PlannedMove(vm.Id, vm.Name, from.Id, to.Id, goal, move.Wave, gain / vms.Count,
            policy.Cost(vm), policy.CopySeconds(vm), why, otherwise));
    }

    private MoveGoal GoalOf(OrderedMove move) =>
        model.Emptied[move.From] ? MoveGoal.Drain
        : model.Rules.Has(move.Unit) && model.Rules.StayingCost(move.Unit, move.From, hostOf) >= UnitRules.Broken / 2 ? MoveGoal.Repair
        : move.Gain < 0 ? MoveGoal.MakeRoom
        : Hottest(move.From).Share > policy.Knee ? MoveGoal.Relieve
        : move.Gain < policy.MinGainRatio * model.Price[move.Unit] && model.Emptied.AsSpan().Contains(true) ? MoveGoal.MakeRoom
        : MoveGoal.Level;

    private (Resource Resource, double Share) Hottest(int host) => Enum.GetValues<Resource>()
        .Where(r => r is not (Resource.Memory or Resource.Vcpus))
        .Select(r => (r, Share(host, r))).MaxBy(pair => pair.Item2);

    private double Share(int host, Resource resource) =>
        loads[host * model.Resources + (int)resource] / model.Capacity[host * model.Resources + (int)resource];

    private string Why(OrderedMove move, MoveGoal goal, PlacementHost from, PlacementHost to)
    {
        var (resource, share) = Hottest(move.From);
        var figures = $"{Name(resource)} of {from.Id} is at {share * 100:0} %, of {to.Id} at {Share(move.To, resource) * 100:0} %";
        var worth = $"{move.Gain:0.0} guest-seconds an hour are saved for {model.Price[move.Unit]:0.0} that the move costs";
        return goal switch
        {
            MoveGoal.Drain => $"{from.Id} is being drained; {to.Id} has room",
            MoveGoal.Repair => string.Join("; ", cluster.Vms(move.Unit)
                .SelectMany(vm => PlacementCheck.Judge(view, vm, from).Reasons).Select(reason => reason.Why.Cause).Distinct()),
            MoveGoal.Relieve => $"guests of {from.Id} wait: {figures}; {worth}",
            MoveGoal.MakeRoom => $"makes room on {from.Id} for a VM that is to come",
            _ => $"{figures}; {worth}",
        };
    }

    private string Otherwise(OrderedMove move)
    {
        var best = alternatives.Where(h => h != move.From && h != move.To && gains.Fits(move.Unit, h))
            .Select(h => (Host: h, Gain: gains.Gain(move.Unit, move.From, h, hostOf)))
            .OrderByDescending(other => other.Gain).ThenBy(other => other.Host).FirstOrDefault((Host: -1, Gain: 0));
        var stays = $"staying leaves {cluster.Host(move.From).Id} as it is";
        return best.Host < 0 || best.Gain < -UnitRules.Broken / 2 ? $"{stays}; no other host may take it"
            : $"{stays}; next best is {cluster.Host(best.Host).Id}, which gains {Math.Min(best.Gain, UnitRules.Broken):0.0}";
    }

    private static string Name(Resource resource) => resource switch
    {
        Resource.Cpu => "CPU",
        Resource.MemoryActive => "memory in use",
        Resource.Network => "network",
        Resource.Disk => "disk",
        _ => resource.ToString().ToLowerInvariant(),
    };
}
