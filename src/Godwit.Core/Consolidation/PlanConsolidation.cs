namespace Godwit.Core.Consolidation;

public enum ConsolidationGoal
{
    /// <summary>Its host is asked for more than it has.</summary>
    Relieve,
    /// <summary>Its host is emptied, to be turned off.</summary>
    Empty,
}

public readonly record struct ConsolidationMove(int Vm, int From, int To, ConsolidationGoal Goal);

/// <param name="Woken">Hosts without VMs that get some: to be turned on before.</param>
/// <param name="Emptied">Hosts that lose all: to be turned off after.</param>
public sealed record ConsolidationPlan(
    IReadOnlyList<ConsolidationMove> Moves, IReadOnlyList<int> Woken, IReadOnlyList<int> Emptied);

/// <summary>
/// Fewest hosts that carry the load with room to spare. Overloaded hosts are relieved first, of the VM that takes least to move and
/// suffices; then hosts are emptied, whole or not at all, those with the fewest VMs first. VMs go where there is most room: on as
/// many hosts as are awake, even load is overloaded least. Only where a VM ends counts: put somewhere twice on paper, it moves once.
/// Pure.
/// </summary>
public sealed class PlanConsolidation
{
    /// <summary>Awake hosts with so many times the room that is needed were never packed: all are dealt out anew.</summary>
    private const double UnpackedFrom = 1.5;
    /// <summary>Room for VMs that do not divide evenly, when all are dealt out.</summary>
    private const double DealingMargin = 0.05;

    private readonly ConsolidationPicture picture;
    private readonly ConsolidationPolicy policy;
    private readonly LoadWindows loads;
    private readonly int points;
    private readonly double packTo;
    private double ceiling;
    /// <summary>By host, as it is on paper by now.</summary>
    private readonly List<int>[] on;
    private readonly double[] sums, memory, mean, reckoned;
    private readonly bool[] takesNone;
    /// <summary>By VM.</summary>
    private readonly int[] hostOf;
    private readonly ConsolidationGoal[] goal;

    private PlanConsolidation(ConsolidationPicture picture, ConsolidationPolicy policy)
    {
        (this.picture, this.policy, loads, points) = (picture, policy, picture.Loads, picture.Loads.Points);
        var adjust = Math.Clamp(policy.OverloadGain * (policy.OverloadedWanted - picture.OverloadedLately),
            -policy.AdjustMax, policy.AdjustMax);
        (packTo, ceiling) = (policy.PackTo + adjust, policy.Ceiling + adjust);
        var hosts = picture.HostCpu.Length;
        (on, sums, memory) = (new List<int>[hosts], new double[hosts * points], new double[hosts]);
        (mean, reckoned, takesNone) = (new double[hosts], new double[hosts], [.. picture.IsClosed]);
        (hostOf, goal) = ([.. picture.HostOf], new ConsolidationGoal[picture.HostOf.Length]);
        for (var h = 0; h < hosts; h++) on[h] = [];
        for (var v = 0; v < hostOf.Length; v++)
            if (hostOf[v] >= 0) Put(v, hostOf[v]);
        for (var h = 0; h < hosts; h++) Reckon(h);
    }

    public static ConsolidationPlan Of(ConsolidationPicture picture, ConsolidationPolicy policy)
    {
        var plan = new PlanConsolidation(picture, policy);
        plan.Relieve();
        plan.EmptyHosts();
        return plan.Result();
    }

    private ConsolidationPlan Result()
    {
        var moves = new List<ConsolidationMove>();
        for (var v = 0; v < hostOf.Length; v++)
            if (hostOf[v] != picture.HostOf[v]) moves.Add(new(v, picture.HostOf[v], hostOf[v], goal[v]));
        var before = picture.HostOf.Where(h => h >= 0).ToHashSet();
        var woken = moves.Select(move => move.To).Distinct().Where(h => !before.Contains(h)).Order();
        var emptied = moves.Select(move => move.From).Distinct().Where(h => on[h].Count == 0).Order();
        return new(moves, [.. woken], [.. emptied]);
    }

    private void Relieve()
    {
        for (var h = 0; h < on.Length; h++)
        {
            if (Now(h) <= policy.ReliefAbove * picture.HostCpu[h]) continue;
            takesNone[h] = true;
            // Each pass takes one VM away.
            while (Excess(h) > 0 && Relieving(h) is (>= 0 and var vm, var to)) Move(vm, to, ConsolidationGoal.Relieve);
        }
    }

    private double Excess(int host) => Math.Max(Now(host), mean[host]) - policy.ReliefAbove * picture.HostCpu[host];

    /// <summary>
    /// The VM that takes least to move of those that suffice, else the largest; where no awake host has room, one is woken.
    /// </summary>
    private (int Vm, int To) Relieving(int host)
    {
        var (excess, plus) = (Excess(host), policy.LoadPlus * picture.HostCpu[host]);
        var candidates = on[host].Where(v => !picture.IsFixed[v] && loads.Now(v) > 0)
            .OrderBy(v => loads.Now(v) < excess)
            .ThenBy(v => loads.Now(v) < excess ? -loads.Now(v) : (loads.Now(v) + plus) * picture.VmMemoryBytes[v])
            .ThenBy(v => v).ToList();
        foreach (var mayWake in new[] { false, true })
            foreach (var vm in candidates)
                if (Target(vm, isRelief: true, mayWake) is >= 0 and var to) return (vm, to);
        return (-1, -1);
    }

    private void EmptyHosts()
    {
        var awake = Enumerable.Range(0, on.Length).Where(h => on[h].Count > 0).ToList();
        var asked = awake.Sum(h => reckoned[h]);
        var (room, bytes, bytesRoom) = (awake.Sum(Room), awake.Sum(h => memory[h]), awake.Sum(BytesRoom));
        if (room > asked * UnpackedFrom && bytesRoom > bytes * UnpackedFrom)
        {
            DealOut(awake, asked, bytes * (1 + DealingMargin));
            return;
        }
        var emptied = 0;
        foreach (var h in awake.Where(MayBeEmptied).OrderByDescending(WattsPerUnit)
                     .ThenBy(h => on[h].Count + reckoned[h] / picture.HostCpu[h]).ThenBy(h => h).ToList())
        {
            var less = picture.HostCpu[h] * packTo;
            if (emptied >= policy.EmptiedAtOnceMax || room - (1 + policy.SpareHosts) * less < asked) return;
            if (!TryEmpty(h)) continue;
            emptied++;
            room -= less;
        }
    }

    /// <summary>What it carries and may come to carry.</summary>
    private double Room(int host)
    {
        var packed = picture.HostCpu[host] * packTo;
        return takesNone[host] ? Math.Min(reckoned[host], packed) : packed;
    }

    private double BytesRoom(int host) => takesNone[host] ? memory[host] : picture.HostMemoryBytes[host];

    /// <summary>The best kind of hosts, of these the fullest, are kept; all others' VMs go there, the largest first.</summary>
    private void DealOut(List<int> awake, double asked, double bytes)
    {
        var (room, bytesRoom, leaving) = (0.0, 0.0, new List<int>());
        foreach (var h in awake.OrderBy(WattsPerUnit).ThenByDescending(h => reckoned[h]).ThenBy(h => h))
        {
            if (room < asked || bytesRoom < bytes || takesNone[h])
                (room, bytesRoom) = (room + Room(h), bytesRoom + BytesRoom(h));
            else
            {
                takesNone[h] = true;
                leaving.AddRange(on[h].Where(v => !picture.IsFixed[v]));
            }
        }
        ceiling = Math.Max(ceiling, packTo + DealingMargin);
        foreach (var vm in leaving.OrderByDescending(loads.Now).ThenBy(v => v))
            if (Target(vm, isRelief: false, mayWake: false) is >= 0 and var to) Move(vm, to, ConsolidationGoal.Empty);
    }

    private bool MayBeEmptied(int host) => !takesNone[host] && picture.NowSeconds - picture.TookAt[host] >= policy.HostRestSeconds
        && !on[host].Any(v => picture.IsFixed[v]) && picture.IdleWatts[host] >= policy.WattsPerMove * on[host].Count;

    private bool TryEmpty(int host)
    {
        takesNone[host] = true;
        var placed = new List<(int Vm, ConsolidationGoal Goal)>();
        foreach (var vm in on[host].OrderByDescending(loads.Now).ThenBy(v => v).ToList())
        {
            var to = Target(vm, isRelief: false, mayWake: false);
            if (to < 0)
            {
                foreach (var (back, was) in placed) Move(back, host, was);
                takesNone[host] = false;
                return false;
            }
            placed.Add((vm, goal[vm]));
            Move(vm, to, ConsolidationGoal.Empty);
        }
        return true;
    }

    private double WattsPerUnit(int host) => picture.FullWatts[host] / picture.HostCpu[host];

    /// <summary>An awake host before one to be woken, then the best kind, of these the one with most room; −1 for none.</summary>
    private int Target(int vm, bool isRelief, bool mayWake)
    {
        var (best, bestRank) = (-1, (IsAsleep: true, Watts: double.PositiveInfinity, Share: double.PositiveInfinity));
        for (var h = 0; h < on.Length; h++)
        {
            if (takesNone[h] || h == hostOf[vm] || (on[h].Count == 0 && !mayWake)) continue;
            var rank = (on[h].Count == 0, WattsPerUnit(h), reckoned[h] / picture.HostCpu[h]);
            if (rank.CompareTo(bestRank) < 0 && Fits(vm, h, isRelief)) (best, bestRank) = (h, rank);
        }
        return best;
    }

    private bool Fits(int vm, int host, bool isRelief)
    {
        var limit = picture.HostCpu[host] * (isRelief ? policy.ReliefFit : ceiling);
        if (loads.Now(vm) > picture.HostCore[host] || Now(host) + loads.Now(vm) > limit) return false;
        if (memory[host] + picture.VmMemoryBytes[vm] > picture.HostMemoryBytes[host]) return false;
        if (picture.LeftLately[vm].Contains(host)) return false;
        Span<double> with = stackalloc double[points];
        var window = loads.Of(vm);
        for (var i = 0; i < points; i++) with[i] = sums[host * points + i] + window[i];
        var (meanWith, reckonedWith) = loads.Reckon(with);
        return (isRelief ? meanWith : reckonedWith) <= limit;
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

    private void Reckon(int host) =>
        (mean[host], reckoned[host]) = on[host].Count == 0 ? (0, 0) : loads.Reckon(sums.AsSpan(host * points, points));

    private double Now(int host) => sums[host * points];
}
