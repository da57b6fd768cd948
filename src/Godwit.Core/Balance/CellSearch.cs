namespace Godwit.Core.Balance;

/// <summary>Betters the placement inside one cell.</summary>
internal sealed class CellSearch(Cell cell)
{
    /// <summary>Below this nothing is gained: floats do not know it from nothing.</summary>
    private const float Nothing = 1e-5f;

    private const int SweepsMax = 20;

    private int[] order = [];
    private float[] pain = [];
    private int sinceRefresh;
    public long Judged;

    /// <summary>Moves that better the score by more than <paramref name="least"/>, hosts in order of pain. How many were made.</summary>
    public int Sweep(float least)
    {
        var made = 0;
        OrderByPain();
        for (var i = 0; i < cell.Hosts; i++)
        {
            var s = order[i];
            for (var at = cell.FirstPlace[s]; at < cell.FirstPlace[s] + cell.Count[s];)
            {
                var candidate = BestMove(at, s);
                if (candidate.Change < -Math.Max(least, Nothing) && TryMove(at, s, candidate.Target))
                    made++; // Another unit has come to this place.
                else at++;
            }
        }
        return made;
    }

    /// <summary>Single moves, the largest gains first, down to those that just pay.</summary>
    public void Descend(float least)
    {
        for (var bar = LargestGain(); bar > least; bar *= 0.7f) Sweep(bar);
        Settle();
    }

    /// <summary>Single moves until none pays.</summary>
    public void Settle()
    {
        for (var i = 0; i < SweepsMax && Sweep(0) > 0; i++) { }
    }

    /// <summary>Single moves and exchanges until none pays.</summary>
    public void SettleExchanging(ref SeededNumbers numbers)
    {
        for (var i = 0; i < SweepsMax && Sweep(0) + ExchangeSweep(ref numbers, cell.Hosts, cell.Hosts) > 0; i++) { }
    }

    /// <summary>The largest gain any single move offers.</summary>
    public float LargestGain()
    {
        var best = 0f;
        for (var s = 0; s < cell.Hosts; s++)
            for (var at = cell.FirstPlace[s]; at < cell.FirstPlace[s] + cell.Count[s]; at++)
                best = Math.Max(best, -BestMove(at, s).Change);
        return best;
    }

    /// <summary>Every unit of the hosts in most pain against every unit of <paramref name="partners"/> other hosts.</summary>
    public int ExchangeSweep(ref SeededNumbers numbers, int partners, int sources)
    {
        var made = 0;
        OrderByPain();
        for (var i = 0; i < Math.Min(sources, cell.Hosts); i++)
        {
            var s = order[i];
            for (var j = 0; j < cell.Count[s]; j++)
            {
                var at = cell.FirstPlace[s] + j;
                var best = Candidate.None;
                for (var n = 0; n < partners; n++)
                {
                    var t = partners >= cell.Hosts ? n : numbers.Below(cell.Hosts);
                    if (t == s || t >= cell.Hosts) continue;
                    var candidate = BestExchange(at, s, t);
                    if (candidate.Change < best.Change) best = candidate;
                }
                if (best.Change < -Nothing && TryExchange(at, s, best)) made++;
            }
        }
        return made;
    }

    /// <summary>
    /// Best responses of units drawn at random, worse ones accepted now and then, ever more seldom: leaves local optima.
    /// </summary>
    public void Anneal(ref SeededNumbers numbers, int steps, float hot, float cold)
    {
        var units = new List<int>();
        for (var s = 0; s < cell.Hosts; s++)
            for (var i = 0; i < cell.Count[s]; i++) units.Add(cell.UnitAt[cell.FirstPlace[s] + i]);
        if (units.Count == 0) return;
        var cooling = MathF.Pow(cold / hot, 1f / 64);
        var temperature = hot;
        for (var step = 0; step < steps; step++)
        {
            if (step % Math.Max(1, steps / 64) == 0 && step > 0) temperature *= cooling;
            var u = units[numbers.Below(units.Count)];
            var s = cell.State.PlaceInCell[cell.State.HostOf[u]];
            var at = cell.State.PlaceOf[u];
            var accept = -temperature * MathF.Log(numbers.Share());
            if (numbers.Below(2) == 0)
            {
                var candidate = BestMove(at, s);
                if (candidate.Change < accept) TryMove(at, s, candidate.Target);
            }
            else
            {
                var t = numbers.Below(cell.Hosts);
                if (t == s) continue;
                var candidate = BestExchange(at, s, t);
                if (candidate.Change < accept) TryExchange(at, s, candidate);
            }
        }
    }

    private Candidate BestMove(int at, int s)
    {
        Judged += cell.Hosts;
        return CellScan.BestMove(cell, at, s, false);
    }

    private Candidate BestExchange(int at, int s, int t)
    {
        Judged += cell.Count[t];
        return CellScan.BestExchange(cell, at, s, t);
    }

    private bool TryMove(int at, int s, int t)
    {
        if (!cell.Fits(cell.UnitAt[at], t)) return false;
        cell.Move(at, s, t);
        RefreshSometimes();
        return true;
    }

    private bool TryExchange(int at, int s, Candidate with)
    {
        var (u, v, t) = (cell.UnitAt[at], cell.UnitAt[with.Partner], with.Target);
        if (!cell.FitsExchanged(u, s, v, t)) return false;
        cell.Move(at, s, t);
        cell.Move(cell.State.PlaceOf[v], t, s);
        RefreshSometimes();
        return true;
    }

    private void RefreshSometimes()
    {
        if (++sinceRefresh < 8) return;
        sinceRefresh = 0;
        cell.Refresh();
    }

    private void OrderByPain()
    {
        if (order.Length < cell.Hosts) (order, pain) = (new int[cell.Hosts], new float[cell.Hosts]);
        for (var t = 0; t < cell.Hosts; t++)
        {
            (order[t], pain[t]) = (t, -cell.Contention[t]);
            for (var k = 0; k < cell.Resources; k++)
            {
                var at = k * cell.Row + t;
                pain[t] -= cell.Slope[at] * cell.Slope[at] / (4 * cell.Square[at] + 1e-20f);
            }
        }
        Array.Sort(pain, order, 0, cell.Hosts);
    }
}
