using Godwit.Core.Replay;

namespace Godwit.PlanetLab;

/// <summary>Which VM leaves an overloaded host first.</summary>
internal enum Selection
{
    /// <summary>MMT: the one with the least memory.</summary>
    LeastMemory,
    /// <summary>MU: the one with the lowest load.</summary>
    LeastLoad,
}

/// <summary>
/// The paper's policies as CloudSim 3.0.3 carries them out: overloaded hosts give VMs away, these go where power rises least, then the
/// least loaded hosts are emptied one after another. Written anew from what it does; each step keeps its peculiarities, which decide
/// the figures: loads of hosts are those of the beginning of the step, a host that sleeps looks free to wake.
/// </summary>
internal sealed class PaperPolicy(IOverloadTest test, Selection selection) : IReplayPolicy
{
    private ReplayView view = null!;
    private PaperHost[] hosts = [];

    public string Name => $"{test.Name.Replace("-", selection == Selection.LeastMemory ? "-MMT-" : "-MU-", StringComparison.Ordinal)}";

    public IReadOnlyList<ReplayMove> Decide(ReplayView now)
    {
        view = now;
        hosts = [.. Enumerable.Range(0, now.Hosts).Select(h => new PaperHost(now, h))];
        var overloaded = new bool[hosts.Length];
        for (var h = 0; h < hosts.Length; h++) overloaded[h] = hosts[h].IsOverloaded(test);
        var moves = new List<ReplayMove>();
        Relieve(overloaded, moves);
        Empty(overloaded, moves);
        return moves;
    }

    private void Relieve(bool[] overloaded, List<ReplayMove> moves)
    {
        var leaving = new List<int>();
        for (var h = 0; h < hosts.Length; h++)
            while (overloaded[h] && Select(hosts[h]) is >= 0 and var vm)
            {
                leaving.Add(vm);
                hosts[h].Remove(vm);
                if (!hosts[h].IsOverloaded(test)) break;
            }
        foreach (var vm in leaving.OrderByDescending(view.Request))
            if (Find(vm, overloaded) is >= 0 and var to)
            {
                hosts[to].Add(vm);
                moves.Add(new(vm, to));
            }
    }

    private int Select(PaperHost host)
    {
        var (chosen, least) = (-1, double.MaxValue);
        foreach (var vm in host.Vms)
        {
            if (view.IsMoving(vm)) continue;
            var (cpu, memory) = view.Size(vm);
            var metric = selection == Selection.LeastMemory ? memory : view.Request(vm) / cpu;
            if (metric < least) (chosen, least) = (vm, metric);
        }
        return chosen;
    }

    private void Empty(bool[] overloaded, List<ReplayMove> moves)
    {
        var (noSource, noTarget) = (new bool[hosts.Length], new bool[hosts.Length]);
        for (var h = 0; h < hosts.Length; h++) noSource[h] = noTarget[h] = overloaded[h] || hosts[h].Share == 0;
        // Each pass excludes one host more.
        while (LeastLoaded(noSource) is >= 0 and var source)
        {
            noSource[source] = noTarget[source] = true;
            var placed = new List<ReplayMove>();
            var leaving = hosts[source].Vms.Where(vm => !view.IsMoving(vm)).OrderByDescending(view.Request).ToList();
            foreach (var vm in leaving)
            {
                var to = Find(vm, noTarget);
                if (to < 0)
                {
                    foreach (var move in placed) hosts[move.To].Remove(move.Vm);
                    placed.Clear();
                    break;
                }
                hosts[to].Add(vm);
                placed.Add(new(vm, to));
            }
            foreach (var move in placed) noSource[move.To] = true;
            moves.AddRange(placed);
        }
    }

    private int LeastLoaded(bool[] excluded)
    {
        var (found, least) = (-1, 1.0);
        for (var h = 0; h < hosts.Length; h++)
            if (!excluded[h] && hosts[h].Share > 0 && hosts[h].Share < least && hosts[h].Vms.Count > 0)
                (found, least) = (h, hosts[h].Share);
        return found;
    }

    private int Find(int vm, bool[] excluded)
    {
        var (found, least) = (-1, double.MaxValue);
        for (var h = 0; h < hosts.Length; h++)
        {
            if (excluded[h] || !hosts[h].HasRoom(vm)) continue;
            if (!hosts[h].IsIdle && hosts[h].IsOverloaded(test, with: vm)) continue;
            var rise = hosts[h].RiseWith(vm);
            if (rise < least) (found, least) = (h, rise);
        }
        return found;
    }
}
