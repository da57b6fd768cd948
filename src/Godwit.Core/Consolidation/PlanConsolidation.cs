namespace Godwit.Core.Consolidation;

public enum ConsolidationGoal
{
    /// <summary>Its host has more to do than it can.</summary>
    Relieve,
    /// <summary>Its host is emptied, to be turned off.</summary>
    Empty,
}

public readonly record struct ConsolidationMove(int Vm, int From, int To, ConsolidationGoal Goal);

/// <summary>
/// Fewest hosts that carry the load with room to spare. First hosts that have too much to do are relieved, if need be by waking one;
/// then hosts are emptied whole or not at all, those first whose power buys least. Only where VMs end counts: one that is put
/// somewhere twice on paper moves once. Pure.
/// </summary>
public sealed class PlanConsolidation
{
    private readonly ConsolidationPicture picture;
    private readonly ConsolidationPolicy policy;
    private readonly LoadWindows loads;
    private readonly List<int>[] on;
    private readonly double[] sums, memory, reckoned, level;
    private readonly int[] hostOf;
    private readonly bool[] isSource;
    private readonly ConsolidationGoal[] goal;
    private readonly int points;
    private readonly double packTo, adjust;

    private PlanConsolidation(ConsolidationPicture picture, ConsolidationPolicy policy)
    {
        (this.picture, this.policy, loads, points) = (picture, policy, picture.Loads, picture.Loads.Points);
        var hosts = picture.HostCpu.Length;
        (on, sums, memory, reckoned) = (new List<int>[hosts], new double[hosts * points], new double[hosts], new double[hosts]);
        adjust = Math.Clamp(policy.Gain * (policy.Want - picture.OverloadedLately), -0.1, 0.1);
        packTo = policy.PackTo + adjust;
        isSource = new bool[hosts];
        level = new double[hosts];
        goal = new ConsolidationGoal[picture.HostOf.Length];
        hostOf = [.. picture.HostOf];
        for (var h = 0; h < hosts; h++) on[h] = [];
        for (var v = 0; v < hostOf.Length; v++)
            if (hostOf[v] >= 0) Put(v, hostOf[v]);
        for (var h = 0; h < hosts; h++) Reckon(h);
    }

    public static IReadOnlyList<ConsolidationMove> Of(ConsolidationPicture picture, ConsolidationPolicy policy)
    {
        var plan = new PlanConsolidation(picture, policy);
        plan.Relieve();
        plan.EmptyHosts();
        return plan.Moves();
    }

    private List<ConsolidationMove> Moves()
    {
        var moves = new List<ConsolidationMove>();
        for (var v = 0; v < hostOf.Length; v++)
            if (hostOf[v] != picture.HostOf[v]) moves.Add(new(v, picture.HostOf[v], hostOf[v], goal[v]));
        return moves;
    }

    private double Now(int host) => sums[host * points];

    private void Relieve()
    {
        for (var h = 0; h < on.Length; h++)
        {
            var capacity = picture.HostCpu[h];
            if (Now(h) <= policy.NowAbove * capacity && (level[h] <= policy.ReliefAbove * capacity || Now(h) <= policy.ReliefTo * capacity)) continue;
            isSource[h] = true;
            // Each pass takes one VM away.
            while (Math.Max(Now(h), level[h]) > policy.ReliefTo * capacity && Relieving(h) is var (vm, to) && to >= 0)
                Move(vm, to, ConsolidationGoal.Relieve);
        }
    }

    /// <summary>The least dear VM that suffices, with a target; else the largest for which there is one.</summary>
    private (int Vm, int To) Relieving(int host)
    {
        var excess = Math.Max(Now(host), level[host]) - policy.ReliefTo * picture.HostCpu[host];
        var candidates = on[host].Where(v => !picture.IsFixed[v] && loads.Now(v) > 0)
            .OrderBy(v => loads.Now(v) >= excess ? 0 : 1)
            .ThenBy(v => loads.Now(v) >= excess ? (loads.Now(v) + policy.Bias) * Math.Pow(picture.VmMemoryBytes[v], policy.MemPower) : -loads.Now(v));
        foreach (var vm in candidates)
            if (Target(vm, relief: true, mayWake: false) is >= 0 and var to) return (vm, to);
        foreach (var vm in candidates)
            if (Target(vm, relief: true, mayWake: true) is >= 0 and var to) return (vm, to);
        return (-1, -1);
    }

    private void EmptyHosts()
    {
        var active = Enumerable.Range(0, on.Length).Where(h => on[h].Count > 0).ToList();
        var asked = active.Sum(h => reckoned[h]);
        var room = active.Sum(h => picture.HostCpu[h]) * packTo;
        if (asked * 1.5 < room)
        {
            Repack(active, asked);
            return;
        }
        var limit = policy.EmptiedAtOnceMax;
        foreach (var h in active.Where(MayBeEmptied).OrderByDescending(Worth).ThenBy(h => h).ToList())
        {
            if (limit <= 0 || room - (1 + policy.Slack) * picture.HostCpu[h] * packTo < asked) break;
            if (TryEmpty(h))
            {
                limit--;
                room -= picture.HostCpu[h] * packTo;
            }
        }
    }

    private void Repack(List<int> active, double asked)
    {
        double room = 0;
        var leaving = new List<int>();
        foreach (var h in active.OrderBy(h => picture.FullWatts[h] / picture.HostCpu[h]).ThenByDescending(h => reckoned[h]).ThenBy(h => h))
        {
            if (room >= asked && !isSource[h])
            {
                isSource[h] = true;
                leaving.AddRange(on[h].Where(v => !picture.IsFixed[v]));
            }
            else room += picture.HostCpu[h] * packTo;
        }
        foreach (var vm in leaving.OrderByDescending(loads.Now).ThenBy(v => v))
            if (Target(vm, relief: false, mayWake: false) is >= 0 and var to) Move(vm, to, ConsolidationGoal.Empty);
    }

    private bool MayBeEmptied(int host) => !isSource[host] && picture.NowSeconds - picture.TookAt[host] >= policy.HostRestSeconds
        && on[host].All(v => !picture.IsFixed[v]) && picture.IdleWatts[host] >= policy.WattsPerMove * on[host].Count;

    /// <summary>Watts that emptying it saves, less what its load draws elsewhere, for each move; the dearest kind of host first.</summary>
    private double Worth(int host) =>
        picture.FullWatts[host] / picture.HostCpu[host] * 1e6 - (policy.Order == 0 ? reckoned[host] / picture.HostCpu[host] : on[host].Count + reckoned[host] / picture.HostCpu[host]);

    private bool TryEmpty(int host)
    {
        isSource[host] = true;
        var placed = new List<(int Vm, ConsolidationGoal Goal)>();
        foreach (var vm in on[host].OrderByDescending(loads.Now).ThenBy(v => v).ToList())
        {
            var to = Target(vm, relief: false, mayWake: false);
            if (to < 0)
            {
                foreach (var (back, was) in placed) { Move(back, host, was); }
                isSource[host] = false;
                return false;
            }
            placed.Add((vm, goal[vm]));
            Move(vm, to, ConsolidationGoal.Empty);
        }
        return true;
    }

    /// <summary>The best kind of host, of these the fullest that stays under the ceiling; −1 for none.</summary>
    private int Target(int vm, bool relief, bool mayWake)
    {
        var (best, bestKind, bestShare) = (-1, double.MaxValue, -99.0);
        for (var h = 0; h < on.Length; h++)
        {
            if (isSource[h] || picture.IsClosed[h] || h == hostOf[vm] || (on[h].Count == 0 && !mayWake)) continue;
            var kind = picture.FullWatts[h] / picture.HostCpu[h] + (on[h].Count == 0 ? 1e6 : 0);
            var share = reckoned[h] / picture.HostCpu[h];
            if (policy.Delta > 0 && on[h].Count > 0) share += policy.Delta * (With(vm, h) - reckoned[h]) / picture.HostCpu[h];
            if (relief ? policy.WorstFitRelief : policy.WorstFitEmpty) share = 1 - share;
            if (kind > bestKind || (kind == bestKind && share <= bestShare) || !Fits(vm, h, relief)) continue;
            (best, bestKind, bestShare) = (h, kind, share);
        }
        return best;
    }

    private bool Fits(int vm, int host, bool relief)
    {
        var ceiling = picture.HostCpu[host] * (relief ? policy.ReliefFit : policy.Ceiling + adjust);
        if (loads.Now(vm) > picture.HostCore[host] || Now(host) + loads.Now(vm) > ceiling) return false;
        if (memory[host] + picture.VmMemoryBytes[vm] > picture.HostMemoryBytes[host]) return false;
        foreach (var left in picture.LeftLately[vm])
            if (left == host) return false;
        Span<double> with = stackalloc double[points];
        var window = loads.Of(vm);
        for (var i = 0; i < points; i++) with[i] = sums[host * points + i] + window[i];
        return loads.Level(with) <= ceiling && (relief || loads.Peak(with, policy.Sigma) <= ceiling);
    }

    private double With(int vm, int host)
    {
        Span<double> with = stackalloc double[points];
        var window = loads.Of(vm);
        for (var i = 0; i < points; i++) with[i] = sums[host * points + i] + window[i];
        return Math.Max(loads.Level(with), loads.Peak(with, policy.Sigma));
    }

    private void Move(int vm, int to, ConsolidationGoal why)
    {
        var from = hostOf[vm];
        on[from].Remove(vm);
        var window = loads.Of(vm);
        for (var i = 0; i < points; i++) sums[from * points + i] -= window[i];
        memory[from] -= picture.VmMemoryBytes[vm];
        Reckon(from);
        Put(vm, to);
        Reckon(to);
        (hostOf[vm], goal[vm]) = (to, why);
    }

    private void Put(int vm, int host)
    {
        on[host].Add(vm);
        var window = loads.Of(vm);
        for (var i = 0; i < points; i++) sums[host * points + i] += window[i];
        memory[host] += picture.VmMemoryBytes[vm];
    }

    private void Reckon(int host)
    {
        level[host] = on[host].Count == 0 ? 0 : loads.Level(sums.AsSpan(host * points, points));
        reckoned[host] = on[host].Count == 0 ? 0 : Math.Max(level[host], loads.Peak(sums.AsSpan(host * points, points), policy.Sigma));
    }
}
