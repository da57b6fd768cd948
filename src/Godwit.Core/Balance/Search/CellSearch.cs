namespace Godwit.Core.Balance.Search;

/// <summary>Betters the placement inside one cell, step by step; every step is allowed and is made at once.</summary>
internal sealed class CellSearch(BalanceModel model, Cell cell)
{
    /// <summary>Less is no gain: floats do not know it from nothing.</summary>
    private const float Nothing = 1e-5f;
    private const int SweepsMax = 20, CoolingSteps = 64;

    private int[] order = [];
    private float[] pain = [];
    private bool[] touched = [];
    private int sinceRefresh;

    public long Judged { get; private set; }
    /// <summary>Weights and slopes are taken anew after so many: they change little by one.</summary>
    public int MovesBetweenRefreshes { get; set; } = 8;
    /// <summary>Units that may still leave their homes in sweeps.</summary>
    public int LeavesLeft { get; set; } = int.MaxValue;

    /// <summary>Single moves, the largest gains first: most is gained by the fewest moves.</summary>
    public void Descend(float largest, float least)
    {
        for (var bar = largest; bar > least; bar *= 0.6f) Sweep(bar);
        Settle();
    }

    /// <summary>Single moves until none pays. How many were made.</summary>
    /// <param name="awayOnly">Only of units that are away from home: no unit more is moved.</param>
    public int Settle(bool awayOnly = false)
    {
        var made = 0;
        for (var i = 0; i < SweepsMax; i++)
        {
            var now = Sweep(0, touchedOnly: i > 0, awayOnly);
            made += now;
            if (now == 0) break;
        }
        return made;
    }

    /// <summary>Moves that gain more than <paramref name="bar"/>, hosts in order of pain. How many were made.</summary>
    /// <param name="touchedOnly">Only from hosts whose load has changed since they were last looked at.</param>
    private int Sweep(float bar, bool touchedOnly = false, bool awayOnly = false)
    {
        var made = 0;
        OrderByPain();
        for (var i = 0; i < cell.Hosts; i++)
        {
            var s = order[i];
            if (touchedOnly && !touched[s]) continue;
            touched[s] = false;
            for (var j = 0; j < cell.Count[s];)
            {
                var at = cell.FirstPlace[s] + j;
                var leavesHome = cell.IsHome(at);
                if (!(leavesHome && (awayOnly || LeavesLeft == 0)) && BestMove(at, s) is var best
                    && best.Change < -Math.Max(bar, Nothing) && TryMove(at, s, best.Target))
                {
                    made++; // Another unit has come to this place.
                    if (leavesHome) LeavesLeft--;
                }
                else j++;
            }
        }
        return made;
    }

    /// <summary>The largest gain any single move offers, and any exchange of two where asked; 0 where none pays.</summary>
    public float LargestGain(bool exchanges)
    {
        var largest = 0f;
        for (var s = 0; s < cell.Hosts; s++)
            for (var j = 0; j < cell.Count[s]; j++)
            {
                var at = cell.FirstPlace[s] + j;
                var best = BestMove(at, s);
                if (-best.Change > Math.Max(largest, Nothing) && cell.Fits(cell.UnitAt[at], best.Target)) largest = -best.Change;
                for (var t = s + 1; exchanges && t < cell.Hosts; t++)
                {
                    best = BestExchange(at, s, t);
                    if (-best.Change > Math.Max(largest, Nothing) && MayExchange(at, s, best, -Nothing)) largest = -best.Change;
                }
            }
        return largest;
    }

    /// <summary>
    /// Every unit that is away from home against every unit of every other host. Those at home change places among themselves only
    /// by the way of <see cref="Anneal"/>: it would cost two moves.
    /// </summary>
    public int ExchangeAway()
    {
        var made = 0;
        for (var s = 0; s < cell.Hosts; s++)
            for (var j = 0; j < cell.Count[s]; j++)
            {
                var at = cell.FirstPlace[s] + j;
                if (cell.IsHome(at)) continue;
                var best = Candidate.None;
                for (var t = 0; t < cell.Hosts; t++)
                    if (t != s && BestExchange(at, s, t) is var other && other.Change < best.Change) best = other;
                if (best.Change < -Nothing && TryExchange(at, s, best, -Nothing)) made++;
            }
        return made;
    }

    /// <summary>Moves and exchanges of any two until none pays.</summary>
    public int SettleExchanging()
    {
        var made = 0;
        for (var i = 0; i < SweepsMax; i++)
        {
            var now = Settle() + ExchangeAll();
            made += now;
            if (now == 0) break;
        }
        return made;
    }

    private int ExchangeAll()
    {
        var made = 0;
        for (var s = 0; s < cell.Hosts; s++)
            for (var j = 0; j < cell.Count[s]; j++)
                for (var t = s + 1; t < cell.Hosts; t++)
                {
                    var at = cell.FirstPlace[s] + j;
                    var best = BestExchange(at, s, t);
                    if (best.Change < -Nothing && TryExchange(at, s, best, -Nothing)) made++;
                }
        return made;
    }

    /// <summary>
    /// The best move or exchange of units drawn at random; worse ones are made now and then, ever more seldom. Leaves the local
    /// optima in which the sweeps end.
    /// </summary>
    public void Anneal(ref SeededNumbers numbers, int trials, float hot, float cold)
    {
        var units = cell.AllUnits();
        if (units.Length == 0 || cell.Hosts < 2) return;
        var (cooling, temperature) = (MathF.Pow(cold / hot, 1f / CoolingSteps), hot);
        for (var trial = 0; trial < trials; trial++)
        {
            if (trial % Math.Max(1, trials / CoolingSteps) == 0 && trial > 0) temperature *= cooling;
            var u = units[numbers.Below(units.Length)];
            var (s, at) = (cell.State.PlaceInCell[cell.State.HostOf[u]], cell.State.PlaceOf[u]);
            var worst = -temperature * MathF.Log(numbers.Share());
            if (numbers.Below(2) == 0)
            {
                var best = BestMove(at, s);
                if (best.Change < worst) TryMove(at, s, best.Target);
            }
            else if (numbers.Below(cell.Hosts) is var t && t != s)
            {
                var best = BestExchange(at, s, t);
                if (best.Change < worst) TryExchange(at, s, best, worst);
            }
        }
    }

    public Candidate BestMove(int at, int s, Shake shake = default)
    {
        Judged += cell.Hosts;
        var u = cell.UnitAt[at];
        var ruled = model.Rules.Has(u);
        if (ruled) cell.TakeRules(u);
        var best = CellScan.BestMove(cell, at, s, ruled, shake);
        if (ruled) cell.ForgetRules();
        return best;
    }

    /// <summary>Rules are asked when it is made: most units have none.</summary>
    public Candidate BestExchange(int at, int s, int t, Shake shake = default)
    {
        Judged += cell.Count[t];
        return CellScan.BestExchange(cell, at, s, t, shake);
    }

    public bool TryMove(int at, int s, int t)
    {
        if (!cell.Fits(cell.UnitAt[at], t)) return false;
        cell.Move(at, s, t);
        Touch(s, t);
        return true;
    }

    public bool TryExchange(int at, int s, Candidate with, float worst)
    {
        if (!MayExchange(at, s, with, worst)) return false;
        var (v, t) = (cell.UnitAt[with.Partner], with.Target);
        cell.Move(at, s, t);
        cell.Move(cell.State.PlaceOf[v], t, s);
        Touch(s, t);
        return true;
    }

    private bool MayExchange(int at, int s, Candidate with, float worst)
    {
        var (u, v, t) = (cell.UnitAt[at], cell.UnitAt[with.Partner], with.Target);
        return cell.FitsExchanged(u, s, v, t)
            && (!(model.Rules.Has(u) || model.Rules.Has(v)) || with.Change + RuleChange(u, s, v, t) < worst);
    }

    private float RuleChange(int u, int s, int v, int t)
    {
        var (rules, hostOf, here, there) = (model.Rules, cell.State.HostOf, cell.HostAt[s], cell.HostAt[t]);
        var after = rules.Cost(u, there, hostOf, without: v) + rules.Cost(v, here, hostOf, without: u);
        return float.IsPositiveInfinity(after) ? after
            : after - rules.StayingCost(u, here, hostOf) - rules.StayingCost(v, there, hostOf);
    }

    private void Touch(int s, int t)
    {
        if (touched.Length > Math.Max(s, t)) (touched[s], touched[t]) = (true, true);
        if (++sinceRefresh < MovesBetweenRefreshes) return;
        sinceRefresh = 0;
        cell.Refresh();
    }

    private void OrderByPain()
    {
        if (order.Length < cell.Hosts)
            (order, pain, touched) = (new int[cell.Hosts], new float[cell.Hosts], new bool[cell.Hosts]);
        for (var t = 0; t < cell.Hosts; t++) (order[t], pain[t]) = (t, -cell.Pain(t));
        Array.Sort(pain, order, 0, cell.Hosts);
    }
}
