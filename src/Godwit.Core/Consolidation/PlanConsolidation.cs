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
/// Fewest hosts that carry the load with room to spare. Overloaded hosts are relieved first, of the VM, or the two, that take least
/// to move and suffice; then hosts are emptied, whole or not at all, those with the fewest VMs first. VMs go where there is most
/// room: on as many hosts as are awake, even load is overloaded least. Only where a VM ends counts: put somewhere twice on paper, it
/// moves once. Pure.
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
    private readonly HostsOnPaper paper;
    private readonly List<int>[] on;
    private readonly bool[] takesNone;
    private readonly ConsolidationGoal[] goal;

    private PlanConsolidation(ConsolidationPicture picture, ConsolidationPolicy policy)
    {
        (this.picture, this.policy, loads) = (picture, policy, picture.Loads);
        paper = new(picture, policy.Spreads);
        (on, takesNone, goal) = (paper.On, paper.TakesNone, new ConsolidationGoal[picture.HostOf.Length]);
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
        for (var v = 0; v < goal.Length; v++)
            if (paper.HostOf[v] != picture.HostOf[v]) moves.Add(new(v, picture.HostOf[v], paper.HostOf[v], goal[v]));
        var before = picture.HostOf.Where(h => h >= 0).ToHashSet();
        var woken = moves.Select(move => move.To).Distinct().Where(h => !before.Contains(h)).Order();
        var emptied = moves.Select(move => move.From).Distinct().Where(h => on[h].Count == 0).Order();
        return new(moves, [.. woken], [.. emptied]);
    }

    private void Relieve()
    {
        for (var v = 0; v < goal.Length; v++)
            if (paper.HostOf[v] is >= 0 and var h && loads.Now(v) > picture.HostCore[h] && !picture.IsFixed[v])
                // It wants more than one processor of its host can give, however idle the host is.
                _ = TryRelieve([v], mayWake: false) || TryRelieve([v], mayWake: true);
        for (var h = 0; h < on.Length; h++)
        {
            if (Excess(h) <= 0) continue;
            takesNone[h] = true;
            var movable = on[h].Where(v => !picture.IsFixed[v] && loads.Now(v) > 0).ToList();
            var choices = ReliefChoices.Of(movable, picture, policy, h, Excess(h));
            if (choices.Exists(vms => TryRelieve(vms, mayWake: false)) || choices.Exists(vms => TryRelieve(vms, mayWake: true))) continue;
            // No two suffice that have room somewhere: the largest, until it is enough.
            foreach (var vm in movable.OrderByDescending(loads.Now).ThenBy(v => v))
                if (Excess(h) > 0) _ = TryRelieve([vm], mayWake: false) || TryRelieve([vm], mayWake: true);
        }
    }

    private double Excess(int host) => paper.Now(host) - picture.HostCpu[host];

    private bool TryRelieve(int[] vms, bool mayWake) => TryMove(vms, ConsolidationGoal.Relieve, mayWake);

    /// <summary>All of them or none.</summary>
    private bool TryMove(IReadOnlyList<int> vms, ConsolidationGoal why, bool mayWake)
    {
        var moved = new List<(int Vm, int From, ConsolidationGoal Goal)>();
        foreach (var vm in vms)
        {
            var to = Target(vm, mayWake);
            if (to < 0)
            {
                foreach (var (back, from, was) in moved) Move(back, from, was);
                return false;
            }
            moved.Add((vm, paper.HostOf[vm], goal[vm]));
            Move(vm, to, why);
        }
        return true;
    }

    private void Move(int vm, int to, ConsolidationGoal why)
    {
        paper.Move(vm, to);
        goal[vm] = why;
    }

    /// <summary>
    /// An awake host before one to be woken, then the best kind, of these one that gets a VM anyway, then the one with most room; −1
    /// for none.
    /// </summary>
    private int Target(int vm, bool mayWake)
    {
        var (best, bestRank) = (-1, (IsAsleep: true, Watts: double.PositiveInfinity, IsQuiet: true, Share: double.PositiveInfinity));
        for (var h = 0; h < on.Length; h++)
        {
            if (takesNone[h] || h == paper.HostOf[vm] || (on[h].Count == 0 && !mayWake)) continue;
            var rank = (on[h].Count == 0, WattsPerUnit(h), !paper.Receives(h), paper.Reckoned(h) / picture.HostCpu[h]);
            if (rank.CompareTo(bestRank) < 0 && paper.Fits(vm, h, policy.FitNow, policy.SpreadsToFit))
                (best, bestRank) = (h, rank);
        }
        return best;
    }

    private double WattsPerUnit(int host) => picture.FullWatts[host] / picture.HostCpu[host];

    private void EmptyHosts()
    {
        var awake = Enumerable.Range(0, on.Length).Where(h => on[h].Count > 0).OrderBy(WattsPerUnit).ThenBy(h => h).ToList();
        var (bytes, bytesRoom) = (awake.Sum(h => paper.Memory[h]), awake.Sum(BytesRoom));
        var (mean, square) = (awake.Sum(h => paper.Mean[h]), awake.Sum(h => paper.Spread[h] * paper.Spread[h]));
        // On fewer hosts the same surprises need less room: they come at different moments.
        double Asked(int hosts) => mean + policy.Spreads * Math.Sqrt(hosts * square);
        var (room, enough) = (0.0, 0);
        while (enough < awake.Count && room < Asked(Math.Max(enough, 1))) room += picture.HostCpu[awake[enough++]];
        room = awake.Sum(Room);
        if (room > Asked(enough) * UnpackedFrom && bytesRoom > bytes * UnpackedFrom)
        {
            DealOut(awake, Asked(enough), bytes * (1 + DealingMargin));
            return;
        }
        var emptied = 0;
        foreach (var h in awake.Where(MayBeEmptied).OrderByDescending(WattsPerUnit)
                     .ThenBy(h => on[h].Count + paper.Reckoned(h) / picture.HostCpu[h]).ThenBy(h => h).ToList())
        {
            var less = picture.HostCpu[h];
            if (emptied >= policy.EmptiedAtOnceMax
                || room - (1 + policy.SpareHosts) * less < Asked(awake.Count - emptied - 1)) return;
            if (!TryEmpty(h)) continue;
            emptied++;
            room -= less;
        }
    }

    /// <summary>What it carries and may come to carry.</summary>
    private double Room(int host) =>
        takesNone[host] ? Math.Min(paper.Reckoned(host), picture.HostCpu[host]) : picture.HostCpu[host];

    private double BytesRoom(int host) => takesNone[host] ? paper.Memory[host] : picture.HostMemoryBytes[host];

    private bool MayBeEmptied(int host) => !takesNone[host] && picture.NowSeconds - picture.TookAt[host] >= policy.HostRestSeconds
        && !on[host].Any(v => picture.IsFixed[v]) && picture.IdleWatts[host] >= policy.WattsPerMove * on[host].Count;

    private bool TryEmpty(int host)
    {
        takesNone[host] = true;
        takesNone[host] = TryMove(LargestFirst(on[host]), ConsolidationGoal.Empty, mayWake: false);
        return takesNone[host];
    }

    /// <summary>The best kind of hosts, of these those with most VMs, are kept; all others' VMs go there, the largest first.</summary>
    private void DealOut(List<int> awake, double asked, double bytes)
    {
        var (room, bytesRoom, leaving) = (0.0, 0.0, new List<int>());
        foreach (var h in awake.OrderBy(WattsPerUnit).ThenByDescending(h => on[h].Count).ThenByDescending(paper.Reckoned).ThenBy(h => h))
        {
            if (room < asked || bytesRoom < bytes || takesNone[h])
                (room, bytesRoom) = (room + Room(h), bytesRoom + BytesRoom(h));
            else
            {
                takesNone[h] = true;
                leaving.AddRange(on[h].Where(v => !picture.IsFixed[v]));
            }
        }
        foreach (var vm in LargestFirst(leaving)) TryMove([vm], ConsolidationGoal.Empty, mayWake: false);
    }

    private List<int> LargestFirst(IEnumerable<int> vms) => [.. vms.OrderByDescending(paper.ReckonedAlone).ThenBy(v => v)];
}
