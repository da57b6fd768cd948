namespace Godwit.Core.Balance.Search;

/// <summary>
/// Some hosts and what runs on them, laid out for scanning: one array for each resource, so that eight hosts (or eight
/// units of a host) are judged at once. A cell is worked on by one thread; no host is in two cells at a time.
/// </summary>
internal sealed class Cell
{
    public const int Lanes = 8;
    /// <summary>Free places behind each host's units, for those that come.</summary>
    private const int Slack = 8;

    private readonly BalanceModel model;
    private readonly BalanceObjective objective;
    private readonly double[] unit;          // scales a resource so that floats are near 1
    private readonly double[] mean;
    private readonly double[] variance;
    public readonly SearchState State;
    private int number;
    public int Units { get; private set; }

    public int Hosts { get; private set; }
    /// <summary>Hosts rounded up to whole lanes: the step between two resources.</summary>
    public int Row { get; private set; }
    public int Places { get; private set; }
    /// <summary>All hosts have the same capacity: a unit's square costs the same on each.</summary>
    public bool Uniform { get; private set; }
    public readonly int Resources;
    public readonly int[] Limited, Contended;
    public readonly float[] Knee, Steepness;

    public int[] HostAt = [];
    // By [k * Row + t]: load share, what a unit's square and what its amount cost on arriving, 1 / capacity, highest load share.
    public float[] Share = [], Square = [], Slope = [], Inverse = [], Limit = [];
    /// <summary>Contention of each host as it is; rules' costs of the unit at hand.</summary>
    public float[] Contention = [], Extra = [];
    public int[] FirstPlace = [], Count = [];
    // By [k * Places + place], and [place].
    public float[] Demand = [];
    /// <summary>Price of a move away from home; what going home saves (0 at home); infinite in an empty place.</summary>
    public float[] Price = [], Saved = [];
    public int[] HomeAt = [], UnitAt = [];

    public Cell(BalanceModel model, BalanceObjective objective, SearchState state, double[] unit)
    {
        (this.model, this.objective, State, this.unit) = (model, objective, state, unit);
        Resources = model.Resources;
        (mean, variance) = (new double[Resources], new double[Resources]);
        Limited = [.. Enumerable.Range(0, Resources).Where(k => state.IsLimited[k])];
        Contended = [.. Enumerable.Range(0, Resources).Where(k => objective.Steepness[k] > 0 && double.IsFinite(objective.Knee[k]))];
        Knee = [.. objective.Knee.Select(x => (float)x)];
        Steepness = [.. objective.Steepness.Select(x => (float)x)];
    }

    /// <param name="number">Which cell this is: every host's <see cref="SearchState.CellOf"/> says so already.</param>
    /// <param name="hosts">Their numbers.</param>
    /// <param name="clusterMean">Mean load share of each resource over the whole cluster.</param>
    public void Load(int number, ReadOnlySpan<int> hosts, double[] clusterMean)
    {
        this.number = number;
        clusterMean.CopyTo(mean, 0);
        Hosts = hosts.Length;
        Row = (Hosts + Lanes - 1) / Lanes * Lanes;
        MakeRoomForHosts();
        hosts.CopyTo(HostAt);
        for (var k = 0; k < Resources; k++)
            for (var t = 0; t < Row; t++)
            {
                var (at, from) = (k * Row + t, t < Hosts ? HostAt[t] * Resources + k : -1);
                Inverse[at] = from < 0 ? 1 : (float)(unit[k] / model.Capacity[from]);
                Limit[at] = from < 0 || model.Closed[HostAt[t]] ? float.NegativeInfinity
                    : (float)(model.Limit[from] / model.Capacity[from]);
            }
        Uniform = true;
        for (var k = 0; k < Resources; k++)
            for (var t = 1; t < Hosts; t++) Uniform &= Inverse[k * Row + t] == Inverse[k * Row];
        LayOutUnits();
        for (var t = 0; t < Hosts; t++) TakeShares(t);
        Refresh();
    }

    private void MakeRoomForHosts()
    {
        if (HostAt.Length < Hosts) (HostAt, FirstPlace, Count) = (new int[Hosts], new int[Hosts + 1], new int[Hosts]);
        if (Contention.Length < Row) (Contention, Extra) = (new float[Row], new float[Row]);
        var cells = Resources * Row;
        if (Share.Length < cells)
            (Share, Square, Slope, Inverse, Limit) =
                (new float[cells], new float[cells], new float[cells], new float[cells], new float[cells]);
        Array.Clear(Share);
        Array.Fill(Extra, float.PositiveInfinity);
        Array.Clear(Extra, 0, Hosts);
    }

    private void LayOutUnits()
    {
        var place = 0;
        for (var t = 0; t < Hosts; t++)
        {
            FirstPlace[t] = place;
            Count[t] = 0;
            for (var u = State.FirstOn[HostAt[t]]; u >= 0; u = State.NextOn[u]) Count[t]++;
            place += (Count[t] + Slack + Lanes - 1) / Lanes * Lanes;
        }
        FirstPlace[Hosts] = place;
        Units = 0;
        for (var t = 0; t < Hosts; t++) Units += Count[t];
        Places = place;
        if (UnitAt.Length < place)
        {
            var room = place + place / 4;
            (Demand, Price, Saved, HomeAt, UnitAt) =
                (new float[room * Resources], new float[room], new float[room], new int[room], new int[room]);
        }
        Array.Fill(Price, float.PositiveInfinity, 0, place);
        Array.Clear(Saved, 0, place);
        Array.Fill(UnitAt, -1, 0, place);
        Array.Fill(HomeAt, -1, 0, place);
        for (var t = 0; t < Hosts; t++)
        {
            var at = FirstPlace[t];
            for (var u = State.FirstOn[HostAt[t]]; u >= 0; u = State.NextOn[u]) Put(u, at++, t);
        }
    }

    /// <summary>The price has changed since the units were laid out.</summary>
    public void TakePrice()
    {
        for (var t = 0; t < Hosts; t++)
            for (var at = FirstPlace[t]; at < FirstPlace[t] + Count[t]; at++)
            {
                Price[at] = (float)(model.Price[UnitAt[at]] * State.Price);
                Saved[at] = IsHome(at) ? 0 : Price[at];
            }
    }

    private void Put(int u, int at, int t)
    {
        UnitAt[at] = u;
        State.PlaceOf[u] = at;
        for (var k = 0; k < Resources; k++) Demand[k * Places + at] = (float)(model.Demand[u * Resources + k] / unit[k]);
        var home = model.Home[u];
        HomeAt[at] = State.CellOf[home] == number ? State.PlaceInCell[home] : -1;
        Price[at] = (float)(model.Price[u] * State.Price);
        Saved[at] = home == HostAt[t] ? 0 : Price[at];
    }

    private void Clear(int at)
    {
        (UnitAt[at], Price[at], Saved[at], HomeAt[at]) = (-1, float.PositiveInfinity, 0, -1);
    }

    private void TakeShares(int t)
    {
        var from = HostAt[t] * Resources;
        for (var k = 0; k < Resources; k++) Share[k * Row + t] = (float)(State.Loads[from + k] / model.Capacity[from + k]);
        float contention = 0;
        foreach (var k in Contended)
        {
            var over = Math.Max(0, Share[k * Row + t] - Knee[k]);
            contention += Steepness[k] * over * over;
        }
        Contention[t] = contention;
    }

    /// <summary>What one unit of load more costs on each host now: to be called when loads have changed a good deal.</summary>
    public void Refresh()
    {
        for (var k = 0; k < Resources; k++)
        {
            double squares = 0;
            // On unequal hosts the mean share changes with every move; a cell that is the whole cluster sees it.
            if (Hosts == model.Hosts)
            {
                mean[k] = 0;
                for (var t = 0; t < Hosts; t++) mean[k] += Share[k * Row + t] / (double)Hosts;
            }
            for (var t = 0; t < Hosts; t++)
            {
                var away = Share[k * Row + t] - mean[k];
                squares += away * away;
            }
            variance[k] = squares / Hosts;
            var weight = objective.Levelling == Levelling.Squares ? objective.Weight[k]
                : objective.Weight[k] / (2 * Math.Sqrt(variance[k] + 1e-9));
            for (var t = 0; t < Row; t++)
            {
                var at = k * Row + t;
                Square[at] = (float)weight * Inverse[at] * Inverse[at];
                Slope[at] = (float)(2 * weight * (Share[at] - mean[k])) * Inverse[at];
            }
        }
    }

    private void TakeCosts(int t)
    {
        TakeShares(t);
        for (var k = 0; k < Resources; k++)
        {
            var at = k * Row + t;
            Slope[at] = 2 * Square[at] * (float)(Share[at] - mean[k]) / Inverse[at];
        }
    }

    /// <summary>Fills <see cref="Extra"/> with what the rules say of this unit on each host.</summary>
    public void TakeRules(int u)
    {
        var rules = model.Rules;
        if (rules.CostRow.Length > 0 && rules.CostRow[u] >= 0)
        {
            var costs = rules.HostCost[rules.CostRow[u]];
            for (var t = 0; t < Hosts; t++) Extra[t] = costs[HostAt[t]];
        }
        if (rules.GroupStart.Length == 0) return;
        for (var g = rules.GroupStart[u]; g < rules.GroupStart[u + 1]; g++)
        {
            var group = rules.Groups[g];
            for (var m = rules.MemberStart[group]; m < rules.MemberStart[group + 1]; m++)
            {
                var host = rules.Members[m] == u ? -1 : State.HostOf[rules.Members[m]];
                if (host >= 0 && State.CellOf[host] == number) Extra[State.PlaceInCell[host]] += rules.CompanyCost[group];
            }
        }
    }

    public void ForgetRules() => Array.Clear(Extra, 0, Hosts);

    /// <summary>What staying on this host costs beside its load: it shall be emptied.</summary>
    public float StayingCost(int t) => model.Emptied[HostAt[t]] ? UnitRules.Broken : 0;

    public bool IsHome(int place) => Saved[place] == 0;

    /// <summary>How far a host is from the mean, and its contention.</summary>
    public float Pain(int t)
    {
        var pain = Contention[t] + StayingCost(t);
        for (var k = 0; k < Resources; k++)
        {
            var away = Share[k * Row + t] - (float)mean[k];
            pain += Square[k * Row + t] / (Inverse[k * Row + t] * Inverse[k * Row + t]) * away * away;
        }
        return pain;
    }

    public int[] AllUnits()
    {
        var units = new int[Units];
        var next = 0;
        for (var t = 0; t < Hosts; t++)
            for (var i = 0; i < Count[t]; i++) units[next++] = UnitAt[FirstPlace[t] + i];
        return units;
    }

    public bool Fits(int u, int t) => State.Fits(u, HostAt[t]);

    public bool FitsExchanged(int u, int s, int v, int t) => State.FitsInstead(u, v, HostAt[t]) && State.FitsInstead(v, u, HostAt[s]);

    /// <summary>Takes the unit at that place of host <paramref name="s"/> to host <paramref name="t"/>.</summary>
    public void Move(int place, int s, int t)
    {
        var u = UnitAt[place];
        State.Move(u, HostAt[s], HostAt[t]);
        var last = FirstPlace[s] + --Count[s];
        if (last != place) Put(UnitAt[last], place, s);
        Clear(last);
        if (FirstPlace[t] + Count[t] < FirstPlace[t + 1]) Put(u, FirstPlace[t] + Count[t]++, t);
        else LayOutUnits();
        TakeCosts(s);
        TakeCosts(t);
    }
}
