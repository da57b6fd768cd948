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
    /// <summary>
    /// By machine, in rows of <see cref="Lanes"/>: what has room still, and what each part of the cost would come to (load above safety,
    /// balance), below zero where it costs nothing.
    /// </summary>
    private readonly long[] room, parts;
    /// <summary>
    /// By process: the amounts, then its share in the parts of the cost. The row behind the last one is nobody's, all zeros.
    /// </summary>
    private readonly long[] rows;
    private readonly int amounts, costs, nobody;
    /// <summary>Which amounts count where a process was not at first, and where it was: transient ones are taken there anyway.</summary>
    private readonly long[] all, withoutTransient;
    private readonly long[] machineCost, waste, processMoveCost;
    private readonly int[] scarce;
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
        (amounts, costs) = (Lanes.Row(resources), Lanes.Row(resources + instance.Balances.Length));
        (room, parts) = (new long[machines * amounts], new long[machines * costs]);
        (all, withoutTransient) = (new long[amounts], new long[amounts]);
        for (var r = 0; r < resources; r++) (all[r], withoutTransient[r]) = (-1, instance.IsTransient[r] ? 0 : -1);
        (rows, nobody) = (LayOut(), instance.Processes * (amounts + costs));
        processMoveCost = [.. instance.ProcessMoveCost.Select(cost => cost * instance.ProcessMoveWeight)];
        (machineCost, waste) = (new long[machines], new long[machines]);
        scarce = [.. Enumerable.Range(0, resources).Where(r => SumOf(instance.Requirement, r) > SumOf(instance.Safety, r))];
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

    private long[] LayOut()
    {
        var laidOut = new long[(instance.Processes + 1) * (amounts + costs)];
        for (var p = 0; p < instance.Processes; p++)
        {
            var needs = instance.Requirement.AsSpan(p * resources, resources);
            var row = laidOut.AsSpan(RowOf(p), amounts + costs);
            needs.CopyTo(row);
            for (var r = 0; r < resources; r++) row[amounts + r] = instance.LoadWeight[r] * needs[r];
            for (var b = 0; b < instance.Balances.Length; b++)
            {
                var balance = instance.Balances[b];
                row[amounts + resources + b] = balance.Weight * (needs[balance.With] - balance.Target * needs[balance.Of]);
            }
        }
        return laidOut;
    }

    private int RowOf(int p) => p * (amounts + costs);

    /// <summary>Begins anew from another assignment.</summary>
    public void TakeOver(IReadOnlyList<int> assignment)
    {
        Array.Clear(isOn);
        Array.Clear(inNeighbourhood);
        Array.Clear(inLocation);
        Array.Clear(spread);
        Array.Clear(moved);
        Array.Clear(servicesWithMoved);
        foreach (var list in on) list.Clear();
        (servicesWithMoved[0], movedMost, guidedCost, guide) = (instance.Services, 0, 0, 0);
        EmptyMachines();
        for (var p = 0; p < MachineOf.Length; p++)
        {
            var (m, s) = (assignment[p], serviceOf[p]);
            MachineOf[p] = m;
            placeOn[p] = on[m].Count;
            on[m].Add(p);
            Take(p, m, all, 1);
            // What left its first machine still takes its transient amounts there.
            if (m != first[p])
                for (var r = 0; r < resources; r++) room[first[p] * amounts + r] -= rows[RowOf(p) + r] & ~withoutTransient[r];
            Enter(s, m);
            if (m != first[p]) CountMove(s, 1);
            guidedCost += MoveCost(p, m);
            if (m != first[p]) guide += extra[p];
        }
        for (var m = 0; m < machines; m++)
        {
            guidedCost += machineCost[m] = CostOf(m, nobody, nobody);
            waste[m] = Waste(m);
        }
        guidedCost += instance.ServiceMoveWeight * movedMost;
    }

    private void EmptyMachines()
    {
        for (var m = 0; m < machines; m++)
        {
            var capacity = instance.Capacity.AsSpan(m * resources, resources);
            capacity.CopyTo(room.AsSpan(m * amounts));
            for (var r = 0; r < resources; r++) parts[m * costs + r] = -instance.LoadWeight[r] * instance.Safety[m * resources + r];
            for (var b = 0; b < instance.Balances.Length; b++)
            {
                var balance = instance.Balances[b];
                parts[m * costs + resources + b] = balance.Weight * (balance.Target * capacity[balance.Of] - capacity[balance.With]);
            }
        }
    }

    /// <summary>The machine bears the process, or, for −1, no longer.</summary>
    private void Take(int p, int m, long[] mask, int sign)
    {
        var row = RowOf(p);
        for (var r = 0; r < resources; r++) room[m * amounts + r] -= sign * (rows[row + r] & mask[r]);
        for (var i = 0; i < costs; i++) parts[m * costs + i] += sign * rows[row + amounts + i];
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
        var row = RowOf(p);
        return CostOf(from, nobody, row) - machineCost[from] + CostOf(to, row, nobody) - machineCost[to]
            + MoveCost(p, to) - MoveCost(p, from) + PriceInServices(p, to);
    }

    /// <summary>The same for two processes that change places.</summary>
    public long PriceOfExchange(int p, int q)
    {
        var (a, b, s, t) = (MachineOf[p], MachineOf[q], serviceOf[p], serviceOf[q]);
        if (a == b || s == t || isOn[s * machines + b] || isOn[t * machines + a] || !Fits(p, q, b) || !Fits(q, p, a)
            || !KeepsSpread(s, a, b) || !KeepsSpread(t, b, a)) return NotAllowed;
        if (!ExchangeKeepsDependencies(s, t, a, b)) return NotAllowed;
        var (rowOfP, rowOfQ) = (RowOf(p), RowOf(q));
        return CostOf(a, rowOfQ, rowOfP) - machineCost[a] + CostOf(b, rowOfP, rowOfQ) - machineCost[b] + MoveCost(p, b) - MoveCost(p, a)
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
        Take(p, from, CountedAt(p, from), -1);
        Take(p, to, CountedAt(p, to), 1);
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
        machineCost[from] = CostOf(from, nobody, nobody);
        machineCost[to] = CostOf(to, nobody, nobody);
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
    private bool Fits(int comes, int goes, int m) => Lanes.StayAboveZero(room, m * amounts, rows, RowOf(comes), CountedAt(comes, m),
        goes < 0 ? nobody : RowOf(goes), goes < 0 ? all : CountedAt(goes, m), amounts);

    /// <summary>Where it was at first its transient amounts count for good.</summary>
    private long[] CountedAt(int p, int m) => first[p] == m ? withoutTransient : all;

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

    /// <summary>Load and balance of a machine with one row more and one less.</summary>
    private long CostOf(int m, int more, int less) =>
        Lanes.SumAboveZero(parts, m * costs, rows, more + amounts, less + amounts, costs);

    private long Waste(int m)
    {
        var waste = machineCost[m];
        foreach (var r in scarce) waste -= parts[m * costs + r];
        return waste;
    }

    private long SumOf(long[] amounts, int r)
    {
        long sum = 0;
        for (var at = r; at < amounts.Length; at += resources) sum += amounts[at];
        return sum;
    }

    private long MoveCost(int p, int m) => m == first[p] ? 0
        : extra[p] + processMoveCost[p] + instance.MachineMoveWeight * instance.MachineMoveCost[first[p] * machines + m];

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
