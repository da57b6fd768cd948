using Godwit.Core.Replay;

namespace Godwit.Core.Consolidation;

/// <summary>Consolidation as a policy of one replay: keeps what it has to remember of its own moves. Sees the past only.</summary>
public sealed class ConsolidationInReplay(ConsolidationPolicy policy) : IReplayPolicy
{
    private double[] tookAt = [];
    private List<(int Host, double At)>[] left = [];

    public IReadOnlyList<ReplayMove> Decide(ReplayView view)
    {
        if (tookAt.Length == 0)
        {
            tookAt = [.. Enumerable.Repeat(double.NegativeInfinity, view.Hosts)];
            left = [.. Enumerable.Range(0, view.Vms).Select(_ => new List<(int, double)>())];
        }
        foreach (var leaves in left) leaves.RemoveAll(leave => view.NowSeconds - leave.At >= policy.NoReturnSeconds);
        var moves = PlanConsolidation.Of(Picture(view), policy).Moves;
        foreach (var move in moves)
        {
            tookAt[move.To] = view.NowSeconds;
            left[move.Vm].Add((move.From, view.NowSeconds));
        }
        return [.. moves.Select(move => new ReplayMove(move.Vm, move.To))];
    }

    private ConsolidationPicture Picture(ReplayView view)
    {
        var hosts = Enumerable.Range(0, view.Hosts).Select(view.Host).ToArray();
        var vms = Enumerable.Range(0, view.Vms).ToArray();
        var present = vms.Where(v => view.HostOf(v) >= 0).ToList();
        var clusterShare = present.Sum(view.Request) / Math.Max(present.Sum(v => view.Size(v).Cpu), double.Epsilon);
        var loads = new LoadWindows(vms.Length, policy);
        foreach (var v in present) loads.Set(v, view.History(v), view.Size(v).Cpu, clusterShare);
        return new ConsolidationPicture
        {
            NowSeconds = view.NowSeconds, HostCpu = [.. hosts.Select(h => h.Cpu)], HostCore = [.. hosts.Select(h => h.CpuOfOneCore)],
            HostMemoryBytes = [.. hosts.Select(h => view.MemoryIsHard ? h.MemoryBytes : double.PositiveInfinity)],
            IdleWatts = [.. hosts.Select(h => h.Power.Idle)], FullWatts = [.. hosts.Select(h => h.Power.Full)],
            IsClosed = new bool[hosts.Length], TookAt = tookAt,
            HostOf = [.. vms.Select(view.HostOf)], VmMemoryBytes = [.. vms.Select(v => view.Size(v).MemoryBytes)],
            IsFixed = [.. vms.Select(view.IsMoving)], LeftLately = [.. left.Select(l => l.ConvertAll(leave => leave.Host))], Loads = loads,
        };
    }
}
