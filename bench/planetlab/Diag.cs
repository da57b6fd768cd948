using Godwit.Core.Consolidation;
using Godwit.Core.Replay;
namespace Godwit.PlanetLab;
internal sealed class Diag(IReplayPolicy inner) : IReplayPolicy
{
    public List<string> Lines = [];
    int[] ov = new int[12], rl = new int[12]; double[] ut = new double[12], act = new double[12];
    int n, relief, empty, wakes, emptied, first, overs; double relMips, empMips, relMem, empMem, targets;
    public IReadOnlyList<ReplayMove> Decide(ReplayView view)
    {
        var m = inner.Decide(view);
        var g = ConsolidationInReplay.Last;
        var active = Enumerable.Range(0, view.Hosts).Where(h => view.On(h).Count > 0).ToList();
        ov[n / 24] += active.Count(h => view.On(h).Sum(view.Request) > view.Host(h).Cpu); if (n > 0) rl[n/24] += g.Count(x => x.Goal == ConsolidationGoal.Relieve); ut[n/24] += active.Sum(view.Used) / active.Sum(h => view.Host(h).Cpu)/24; act[n/24] += active.Count/24.0;
        overs += active.Count(h => view.On(h).Sum(view.Request) > view.Host(h).Cpu);
        if (n == 0) first = m.Count; else {
            foreach (var x in g) if (x.Goal == ConsolidationGoal.Relieve) { relief++; relMips += view.Request(x.Vm); relMem += view.Size(x.Vm).MemoryBytes; } else { empty++; empMips += view.Request(x.Vm); empMem += view.Size(x.Vm).MemoryBytes; }
            wakes += g.Select(x => x.To).Distinct().Count(h => view.On(h).Count == 0);
            emptied += g.Where(x => x.Goal == ConsolidationGoal.Empty).Select(x => x.From).Distinct().Count();
            targets += g.Select(x => x.To).Distinct().Count();
        }
        n++;
        return m;
    }
    public override string ToString() => $"first {first} relief {relief} ({relMips / relief:0} MIPS {relMem / relief / 1e6:0} MB) empty {empty} ({empMips / empty:0} MIPS {empMem / empty / 1e6:0} MB) of {emptied} hosts; wakes {wakes}; targets {targets}; host-ticks over {overs} by 2 h: {string.Join(' ', ov)} relief {string.Join(' ', rl)} util {string.Join(' ', ut.Select(x => x.ToString("0.00")))} hosts {string.Join(' ', act.Select(x => x.ToString("0")))}";
}
