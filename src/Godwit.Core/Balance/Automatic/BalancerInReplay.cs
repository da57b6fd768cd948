using Godwit.Core.Balance.Search;
using Godwit.Core.Loads;
using Godwit.Core.Placement;
using Godwit.Core.Replay;

namespace Godwit.Core.Balance.Automatic;

/// <summary>
/// The balancer as a policy of one replay: the same plan, the same rules of what it may begin, from loads as they were known at that
/// moment. Hosts and VMs are numbered as in the picture it is given. Keeps what it has to remember of its own moves.
/// </summary>
public sealed class BalancerInReplay(
    BalancerSettings settings, PlacementView today, DateTimeOffset from, double stepSeconds, CancellationToken stop = default)
    : IReplayPolicy
{
    /// <summary>A plan each few minutes of a day: each one is searched less widely than one that is really carried out.</summary>
    private const int TrialsMax = 20_000;
    private static readonly IReadOnlySet<(VmId, HostId)> nothing = new HashSet<(VmId, HostId)>();

    private readonly Dictionary<VmId, int> vmNumber = today.Vms.Select((vm, v) => (vm.Id, v)).ToDictionary();
    private readonly Dictionary<HostId, int> hostNumber = today.Hosts.Select((host, h) => (host.Id, h)).ToDictionary();
    private readonly List<RecentMove>[] recent = [.. today.Vms.Select(_ => new List<RecentMove>())];
    // The work that no VM does is not in the record of VMs.
    private readonly PlacementHost[] hosts = [.. today.Hosts.Select(host => host with { Standing = host.Standing with { CpuCores = 0 } })];
    private readonly BalancePolicy policy = new()
    {
        MinGainRatio = settings.MinGainRatio, LevelsToo = settings.LevelsToo, Knee = settings.BusyAbove, TrialsMax = TrialsMax,
    };
    private LookHistory history = LookHistory.Empty;

    public IReadOnlyList<ReplayMove> Decide(ReplayView view)
    {
        if (settings.Mode is BalanceMode.Off or BalanceMode.Manual) return [];
        // What it sees while its moves go on is half of what it began.
        if (Enumerable.Range(0, view.Vms).Any(view.IsMoving)) return [];
        var now = from.AddSeconds(view.NowSeconds);
        var vms = Enumerable.Range(0, view.Vms).Where(v => view.HostOf(v) >= 0).Select(v => VmAt(view, v, now)).ToArray();
        var plan = PlanBalance.Of(new PlacementView(hosts, vms, today.Policy), policy, now, new OneByOne(), stop);
        // It looks every minute, and one recorded value is several of them: what is in it has lasted.
        for (var look = 0; look < (stepSeconds >= 180 ? LookHistory.Needed : 1); look++) history = history.With(plan);
        var begun = BalancerRules.Decide(settings, plan, history, _ => BalancerRules.SamplesMin, 0, nothing)
            .Where(advice => advice.Act == Act.Begin).Select(advice => advice.Move).ToList();
        foreach (var move in begun) recent[vmNumber[move.Vm]].Add(new RecentMove(move.From, now));
        return [.. begun.Select(move => new ReplayMove(vmNumber[move.Vm], hostNumber[move.To]))];
    }

    private PlacementVm VmAt(ReplayView view, int v, DateTimeOffset now)
    {
        recent[v].RemoveAll(move => now - move.At >= policy.Cooldown);
        var vm = today.Vms[v];
        var known = view.History(v);
        var points = new List<LoadPoint>();
        // Oldest first; as far back as the balancer's own window.
        var wanted = Math.Max(1, (int)(BalancerPace.Real.Window.TotalSeconds / stepSeconds));
        for (var i = Math.Min(known.Length, wanted) - 1; i >= 0; i--)
            points.Add(new LoadPoint(now.AddSeconds(-i * stepSeconds), (float)(known[i] * view.Size(v).Cpu), 0, 0, 0, 0));
        return vm with
        {
            Host = today.Hosts[view.HostOf(v)].Id, Heading = null, RecentMoves = [.. recent[v]],
            Demand = vm.Demand with { CpuCores = LoadSummary.CpuToReckonWith(points) },
        };
    }
}
