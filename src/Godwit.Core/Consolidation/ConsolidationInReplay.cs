using Godwit.Core.Replay;

namespace Godwit.Core.Consolidation;

/// <summary>Consolidation as a policy of a replay: keeps what it has to remember of its own moves.</summary>
public sealed class ConsolidationInReplay(ConsolidationPolicy policy) : IReplayPolicy
{
    [ThreadStatic] public static IReadOnlyList<ConsolidationMove> Last = null!;
    private double overloaded = policy.Want;
    private double[] tookAt = [];
    private List<(int Host, double At)>[] left = [];

    public IReadOnlyList<ReplayMove> Decide(ReplayView view)
    {
        if (tookAt.Length == 0)
        {
            tookAt = [.. Enumerable.Repeat(double.NegativeInfinity, view.Hosts)];
            left = [.. Enumerable.Range(0, view.Vms).Select(_ => new List<(int, double)>())];
        }
        var (active, over) = (0, 0);
        for (var h = 0; h < view.Hosts; h++)
        {
            if (view.On(h).Count == 0) continue;
            active++;
            if (view.On(h).Sum(view.Request) > view.Host(h).Cpu) over++;
        }
        if (active > 0) overloaded += policy.Alpha * (over / (double)active - overloaded);
        var moves = PlanConsolidation.Of(Picture(view), policy);
        Last = moves;
        foreach (var move in moves)
        {
            tookAt[move.To] = view.NowSeconds;
            left[move.Vm].Add((move.From, view.NowSeconds));
        }
        return [.. moves.Select(move => new ReplayMove(move.Vm, move.To))];
    }

    private ConsolidationPicture Picture(ReplayView view)
    {
        var (points, vms) = (policy.WindowPoints, Enumerable.Range(0, view.Vms));
        var hosts = Enumerable.Range(0, view.Hosts).Select(view.Host).ToArray();
        var loads = new double[view.Vms * points];
        var (used, all) = (0.0, 0.0);
        for (var v = 0; v < view.Vms; v++)
            if (view.HostOf(v) >= 0) { used += view.Request(v); all += view.Size(v).Cpu; }
        for (var v = 0; v < view.Vms; v++)
        {
            var (history, cpu) = (view.History(v).ToArray(), view.Size(v).Cpu);
            for (var i = 0; i < points && history.Length > 0; i++) loads[v * points + i] = i < history.Length ? history[i] * cpu : cpu * (policy.Fill * history[^1] + (1 - policy.Fill) * used / all);
            left[v].RemoveAll(leave => view.NowSeconds - leave.At >= policy.NoReturnSeconds);
        }
        return new ConsolidationPicture
        {
            NowSeconds = view.NowSeconds, OverloadedLately = overloaded, HostCpu = [.. hosts.Select(h => h.Cpu)], HostCore = [.. hosts.Select(h => h.CpuOfOneCore)],
            HostMemoryBytes = [.. hosts.Select(h => view.MemoryIsHard ? h.MemoryBytes : double.PositiveInfinity)],
            IdleWatts = [.. hosts.Select(h => h.Power.Idle)], FullWatts = [.. hosts.Select(h => h.Power.Full)],
            IsClosed = new bool[hosts.Length], TookAt = tookAt, HostOf = [.. vms.Select(view.HostOf)],
            VmMemoryBytes = [.. vms.Select(v => view.Size(v).MemoryBytes)], IsFixed = [.. vms.Select(view.IsMoving)],
            LeftLately = [.. left.Select(l => l.ConvertAll(leave => leave.Host))],
            Loads = new LoadWindows(loads, points, policy.Follow, policy.Percentile),
        };
    }
}
