namespace Godwit.Roadef;

/// <summary>
/// An assignment that obeys every rule, and what a change of it would cost, told from what changes alone: the price of a move is
/// O(resources), whatever the size of the problem. Not thread-safe: each thread has its own.
/// </summary>
internal sealed class SearchState
{
    public const long NotAllowed = long.MaxValue;

    private readonly Instance instance;
    private readonly int resources, machines, neighbourhoods, locations;
    private readonly int[] serviceOf, neighbourhood, location, first;
    private readonly int[][] dependants;
    /// <summary>What runs on a machine, and of the transient resources also what left it.</summary>
    private readonly long[] usage, taken, machineCost, waste;
    private readonly bool[] isScarce;
    private readonly bool[] isOn;
    private readonly ushort[] inNeighbourhood, inLocation;
    private readonly int[] spread, moved, servicesWithMoved;
    private int movedMost;
    /// <summary>The processes of each machine, in no order, and where each stands in its list.</summary>
    private readonly List<int>[] on;
    private readonly int[] placeOn;

    public SearchState(Instance instance, IReadOnlyList<int> assignment)
    {
        this.instance = instance;
        (resources, machines) = (instance.Resources, instance.Machines);
        (neighbourhoods, locations) = (instance.Neighbourhoods, instance.Locations);
        (serviceOf, neighbourhood, location, first) = (instance.ServiceOf, instance.Neighbourhood, instance.Location, instance.First);
        var needing = new List<int>[instance.Services];
        for (var s = 0; s < needing.Length; s++) needing[s] = [];
        for (var s = 0; s < needing.Length; s++)
            foreach (var needed in instance.DependsOn[s]) needing[needed].Add(s);
        dependants = [.. needing.Select(list => list.ToArray())];
        (on, placeOn) = (new List<int>[machines], new int[instance.Processes]);
        for (var m = 0; m < machines; m++) on[m] = [];
        (usage, taken, machineCost) = (new long[machines * resources], new long[machines * resources], new long[machines]);
        (waste, isScarce) = (new long[machines], new bool[resources]);
        for (var r = 0; r < resources; r++) isScarce[r] = SumOf(instance.Requirement, r) > SumOf(instance.Safety, r);
        isOn = new bool[instance.Services * machines];
        (inNeighbourhood, inLocation) = (new ushort[instance.Services * neighbourhoods], new ushort[instance.Services * locations]);
        (spread, moved) = (new int[instance.Services], new int[instance.Services]);
        servicesWithMoved = new int[instance.Processes + 1];
        (MachineOf, extra) = (new int[instance.Processes], new long[instance.Processes]);
        TakeOver(assignment);
    }

    public int[] MachineOf { get; }
    /// <summary>What the search goes by: the cost, and what stands for the future (<see cref="GoBy"/>).</summary>
    private long guidedCost;
    private long guide;
    private readonly long[] extra;

    public long Cost => guidedCost - guide;

    /// <summary>
    /// What a machine adds to the cost above the least that any assignment has: of a resource of which all machines together have
    /// less than is asked for up to their safety, what it leaves unused; of the others, what it uses too much.
    /// </summary>
    public long WasteOf(int m) => waste[m];

    public List<int> On(int m) => on[m];

    /// <summary>Begins anew from another assignment.</summary>
    public void TakeOver(IReadOnlyList<int> assignment)
    {
        Array.Clear(usage);
        Array.Clear(isOn);
        Array.Clear(inNeighbourhood);
        Array.Clear(inLocation);
        Array.Clear(spread);
        Array.Clear(moved);
        Array.Clear(servicesWithMoved);
        foreach (var list in on) list.Clear();
        (servicesWithMoved[0], movedMost, guidedCost, guide) = (instance.Services, 0, 0, 0);
        for (var p = 0; p < MachineOf.Length; p++)
        {
            var (m, s) = (assignment[p], serviceOf[p]);
            MachineOf[p] = m;
            placeOn[p] = on[m].Count;
            on[m].Add(p);
            for (var r = 0; r < resources; r++) usage[m * resources + r] += instance.Requirement[p * resources + r];
            Enter(s, m);
            if (m != first[p]) CountMove(s, 1);
            guidedCost += MoveCost(p, m);
            if (m != first[p]) guide += extra[p];
        }
        usage.CopyTo(taken, 0);
        for (var p = 0; p < MachineOf.Length; p++)
            if (MachineOf[p] != first[p])
                for (var r = 0; r < resources; r++) taken[first[p] * resources + r] += instance.Requirement[p * resources + r];
        for (var m = 0; m < machines; m++)
        {
            guidedCost += machineCost[m] = CostOf(m, -1, -1);
            waste[m] = Waste(m);
        }
        guidedCost += instance.ServiceMoveWeight * movedMost;
    }

    /// <summary>
    /// From now on a process away from its first machine costs this share of its transient amounts more: they are lost there for all
    /// others, and what goes early and easily would leave no room for what has to come. 0 is the plain cost.
    /// </summary>
    public void GoBy(double share)
    {
        guidedCost -= guide;
        guide = 0;
        for (var p = 0; p < extra.Length; p++)
        {
            double amounts = 0;
            for (var r = 0; r < resources; r++)
                if (instance.IsTransient[r]) amounts += instance.LoadWeight[r] * instance.Requirement[p * resources + r];
            extra[p] = (long)(share * amounts);
            if (MachineOf[p] != first[p]) guide += extra[p];
        }
        guidedCost += guide;
    }

    /// <summary>By how much the cost changes if the process goes to the machine; <see cref="NotAllowed"/> if a rule forbids it.</summary>
    public long PriceOfMove(int p, int to)
    {
        var (from, s) = (MachineOf[p], serviceOf[p]);
        if (from == to || isOn[s * machines + to] || !Fits(p, -1, to) || !KeepsSpread(s, from, to) || !KeepsDependencies(s, from, to))
            return NotAllowed;
        return CostOf(from, -1, p) - machineCost[from] + CostOf(to, p, -1) - machineCost[to]
            + MoveCost(p, to) - MoveCost(p, from) + PriceInServices(p, to);
    }

    /// <summary>The same for two processes that change places.</summary>
    public long PriceOfExchange(int p, int q)
    {
        var (a, b, s, t) = (MachineOf[p], MachineOf[q], serviceOf[p], serviceOf[q]);
        if (a == b || s == t || isOn[s * machines + b] || isOn[t * machines + a] || !Fits(p, q, b) || !Fits(q, p, a)
            || !KeepsSpread(s, a, b) || !KeepsSpread(t, b, a)) return NotAllowed;
        if (!ExchangeKeepsDependencies(s, t, a, b)) return NotAllowed;
        return CostOf(a, q, p) - machineCost[a] + CostOf(b, p, q) - machineCost[b] + MoveCost(p, b) - MoveCost(p, a)
            + MoveCost(q, a) - MoveCost(q, b) + PriceInServices(p, b, q, a);
    }

    /// <summary>Carries out a change whose price was asked for just before.</summary>
    public void Move(int p, int to, long price)
    {
        Put(p, to);
        guidedCost += price;
    }

    public void Exchange(int p, int q, long price)
    {
        var (a, b) = (MachineOf[p], MachineOf[q]);
        Put(p, b);
        Put(q, a);
        guidedCost += price;
    }

    private void Put(int p, int to)
    {
        var (from, s) = (MachineOf[p], serviceOf[p]);
        for (var r = 0; r < resources; r++)
        {
            var amount = instance.Requirement[p * resources + r];
            usage[from * resources + r] -= amount;
            usage[to * resources + r] += amount;
            // Where it was at first it counts for good.
            if (from != first[p]) taken[from * resources + r] -= amount;
            if (to != first[p]) taken[to * resources + r] += amount;
        }
        Leave(s, from);
        Enter(s, to);
        if (from == first[p])
        {
            CountMove(s, 1);
            guide += extra[p];
        }
        else if (to == first[p])
        {
            CountMove(s, -1);
            guide -= extra[p];
        }
        MachineOf[p] = to;
        var last = on[from][^1];
        (on[from][placeOn[p]], placeOn[last]) = (last, placeOn[p]);
        on[from].RemoveAt(on[from].Count - 1);
        placeOn[p] = on[to].Count;
        on[to].Add(p);
        machineCost[from] = CostOf(from, -1, -1);
        machineCost[to] = CostOf(to, -1, -1);
        (waste[from], waste[to]) = (Waste(from), Waste(to));
    }

    private void Enter(int s, int m)
    {
        isOn[s * machines + m] = true;
        inNeighbourhood[s * neighbourhoods + neighbourhood[m]]++;
        if (inLocation[s * locations + location[m]]++ == 0) spread[s]++;
    }

    private void Leave(int s, int m)
    {
        isOn[s * machines + m] = false;
        inNeighbourhood[s * neighbourhoods + neighbourhood[m]]--;
        if (--inLocation[s * locations + location[m]] == 0) spread[s]--;
    }

    private void CountMove(int s, int more)
    {
        servicesWithMoved[moved[s]]--;
        moved[s] += more;
        servicesWithMoved[moved[s]]++;
        if (moved[s] > movedMost) movedMost = moved[s];
        else while (movedMost > 0 && servicesWithMoved[movedMost] == 0) movedMost--;
    }

    /// <summary>Room on a machine for one that comes and, if not −1, without one that goes.</summary>
    private bool Fits(int comes, int goes, int m)
    {
        var (hasBeenHere, returns) = (comes >= 0 && first[comes] == m, goes >= 0 && first[goes] == m);
        for (var r = 0; r < resources; r++)
        {
            var at = m * resources + r;
            var transient = instance.IsTransient[r];
            var after = transient ? taken[at] : usage[at];
            if (!transient || !hasBeenHere) after += instance.Requirement[comes * resources + r];
            if (goes >= 0 && (!transient || !returns)) after -= instance.Requirement[goes * resources + r];
            if (after > instance.Capacity[at]) return false;
        }
        return true;
    }

    private bool KeepsSpread(int s, int from, int to) => spread[s] > instance.SpreadMin[s] || location[from] == location[to]
        || inLocation[s * locations + location[from]] > 1 || inLocation[s * locations + location[to]] == 0;

    private bool KeepsDependencies(int s, int from, int to)
    {
        var (a, b) = (neighbourhood[from], neighbourhood[to]);
        if (a == b) return true;
        if (inNeighbourhood[s * neighbourhoods + b] == 0)
            foreach (var needed in instance.DependsOn[s])
                if (inNeighbourhood[needed * neighbourhoods + b] == 0) return false;
        if (inNeighbourhood[s * neighbourhoods + a] == 1)
            foreach (var dependant in dependants[s])
                if (inNeighbourhood[dependant * neighbourhoods + a] > 0) return false;
        return true;
    }

    /// <summary>The counts as they would be after both, so that two who need each other may pass.</summary>
    private bool ExchangeKeepsDependencies(int s, int t, int from, int to)
    {
        var (a, b) = (neighbourhood[from], neighbourhood[to]);
        if (a == b) return true;
        Shift(s, a, b);
        Shift(t, b, a);
        var keeps = Satisfied(s, b) && Satisfied(t, a) && NotMissed(s, a) && NotMissed(t, b);
        Shift(s, b, a);
        Shift(t, a, b);
        return keeps;
    }

    private void Shift(int s, int from, int to)
    {
        inNeighbourhood[s * neighbourhoods + from]--;
        inNeighbourhood[s * neighbourhoods + to]++;
    }

    private bool Satisfied(int s, int n)
    {
        foreach (var needed in instance.DependsOn[s])
            if (inNeighbourhood[needed * neighbourhoods + n] == 0) return false;
        return true;
    }

    private bool NotMissed(int s, int n)
    {
        if (inNeighbourhood[s * neighbourhoods + n] > 0) return true;
        foreach (var dependant in dependants[s])
            if (inNeighbourhood[dependant * neighbourhoods + n] > 0) return false;
        return true;
    }

    /// <summary>Load and balance of a machine with one more and one less; −1 is none.</summary>
    private long CostOf(int m, int more, int less)
    {
        long cost = 0;
        var at = m * resources;
        for (var r = 0; r < resources; r++)
        {
            var over = usage[at + r] - instance.Safety[at + r];
            if (more >= 0) over += instance.Requirement[more * resources + r];
            if (less >= 0) over -= instance.Requirement[less * resources + r];
            if (over > 0) cost += instance.LoadWeight[r] * over;
        }
        foreach (var balance in instance.Balances)
        {
            var missing = balance.Target * Free(m, balance.Of, more, less) - Free(m, balance.With, more, less);
            if (missing > 0) cost += balance.Weight * missing;
        }
        return cost;
    }

    private long Waste(int m)
    {
        var (sum, used) = (machineCost[m], 0L);
        for (var r = 0; r < resources; r++)
            if (isScarce[r]) used += instance.LoadWeight[r] * (usage[m * resources + r] - instance.Safety[m * resources + r]);
        return sum - used;
    }

    private long SumOf(long[] amounts, int r)
    {
        long sum = 0;
        for (var at = r; at < amounts.Length; at += resources) sum += amounts[at];
        return sum;
    }

    private long Free(int m, int r, int more, int less)
    {
        var free = instance.Capacity[m * resources + r] - usage[m * resources + r];
        if (more >= 0) free -= instance.Requirement[more * resources + r];
        if (less >= 0) free += instance.Requirement[less * resources + r];
        return free;
    }

    private long MoveCost(int p, int m) => m == first[p] ? 0
        : extra[p] + instance.ProcessMoveWeight * instance.ProcessMoveCost[p]
            + instance.MachineMoveWeight * instance.MachineMoveCost[first[p] * machines + m];

    private long PriceInServices(int p, int to)
    {
        var more = MoreMoved(p, to);
        if (more == 0) return 0;
        var before = movedMost;
        CountMove(serviceOf[p], more);
        var price = instance.ServiceMoveWeight * (movedMost - before);
        CountMove(serviceOf[p], -more);
        return price;
    }

    private long PriceInServices(int p, int pTo, int q, int qTo)
    {
        var (more, moreToo) = (MoreMoved(p, pTo), MoreMoved(q, qTo));
        if (more == 0 && moreToo == 0) return 0;
        var before = movedMost;
        CountMove(serviceOf[p], more);
        CountMove(serviceOf[q], moreToo);
        var price = instance.ServiceMoveWeight * (movedMost - before);
        CountMove(serviceOf[q], -moreToo);
        CountMove(serviceOf[p], -more);
        return price;
    }

    private int MoreMoved(int p, int to) => MachineOf[p] == first[p] ? 1 : to == first[p] ? -1 : 0;
}
