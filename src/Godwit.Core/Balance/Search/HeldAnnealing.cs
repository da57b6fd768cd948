namespace Godwit.Core.Balance.Search;

/// <summary>
/// Annealing of a cluster of one cell that is held to a number of moves. Each step draws by Boltzmann's weights (<see cref="Shake"/>), and
/// the price follows that number at every heat, so that about as many are away from the beginning as may be: which ones is
/// what is hard to find. Who is away is tried more often than who is at home.
/// </summary>
internal sealed class HeldAnnealing(BalanceModel model, Cell cell, CellSearch search, SearchSettings settings)
{
    /// <summary>In the last of the steps nobody leaves home beyond the number.</summary>
    private const int Steps = 1_000, StrictSteps = 100;
    /// <summary>By what part of the surplus the price rises in a step: slowly, as to keep closer to the number is no better.</summary>
    private const double Eagerness = 0.02;
    private const int ExchangesPercent = 70, AwayPercent = 70;

    private readonly int[] awayAt = new int[model.Units];
    private readonly List<int> away = [];
    private readonly int[] units = cell.AllUnits();
    private bool isStrict;

    /// <summary>All steps but the last ones, from hot to cold.</summary>
    public void Run(ref SeededNumbers numbers, Cooling cooling, CancellationToken stop)
    {
        FindAway();
        for (var step = 0; step < Steps - StrictSteps && !stop.IsCancellationRequested; step++)
        {
            var surplus = (double)(away.Count - settings.MovesMax) / settings.MovesMax;
            cell.State.Price = Math.Max(settings.Price, cell.State.Price * Math.Exp(Eagerness * surplus));
            cell.TakePrice();
            Step(ref numbers, cooling, step);
        }
    }

    /// <summary>The last steps, from a placement with no move too many: others may move instead.</summary>
    public void Finish(ref SeededNumbers numbers, Cooling cooling, CancellationToken stop)
    {
        isStrict = true;
        FindAway();
        for (var step = Steps - StrictSteps; step < Steps && !stop.IsCancellationRequested; step++) Step(ref numbers, cooling, step);
    }

    private void Step(ref SeededNumbers numbers, Cooling cooling, int step)
    {
        var heat = cooling.Hot * MathF.Pow(cooling.Cold / cooling.Hot, (float)step / Steps);
        for (var trial = 0; trial < cooling.Trials / Steps; trial++)
        {
            var isOfAway = away.Count > 0 && numbers.Below(100) < AwayPercent;
            Try(ref numbers, isOfAway ? away[numbers.Below(away.Count)] : units[numbers.Below(units.Length)], heat);
        }
    }

    private void Try(ref SeededNumbers numbers, int u, float heat)
    {
        var (s, at) = (cell.State.PlaceInCell[cell.State.HostOf[u]], cell.State.PlaceOf[u]);
        var shake = new Shake(heat, numbers.Below(Shake.Amounts));
        var worst = Shake.OfStaying(heat, numbers.Share());
        if (numbers.Below(100) >= ExchangesPercent)
        {
            if (Left <= 0 && cell.IsHome(at)) return;
            var best = search.BestMove(at, s, shake);
            if (best.Change < worst && search.TryMove(at, s, best.Target)) Note(u);
        }
        else if (numbers.Below(cell.Hosts) is var t && t != s && search.BestExchange(at, s, t, shake) is var best && best.Change < worst)
        {
            var partner = cell.UnitAt[best.Partner];
            var more = Away(u, t) + Away(partner, s) - Away(u, s) - Away(partner, t);
            if (more > Math.Max(Left, 0) || !search.TryExchange(at, s, best, worst)) return;
            Note(u);
            Note(partner);
        }
    }

    /// <summary>How many more may leave their homes.</summary>
    private int Left => isStrict ? settings.MovesMax - away.Count : int.MaxValue;

    private int Away(int u, int t) => cell.HostAt[t] == model.Home[u] ? 0 : 1;

    private void FindAway()
    {
        away.Clear();
        Array.Fill(awayAt, -1);
        for (var u = 0; u < model.Units; u++) Note(u);
    }

    private void Note(int u)
    {
        var isAway = cell.State.HostOf[u] != model.Home[u];
        if (isAway == (awayAt[u] >= 0)) return;
        if (isAway)
        {
            awayAt[u] = away.Count;
            away.Add(u);
            return;
        }
        var last = away[^1];
        (away[awayAt[u]], awayAt[last]) = (last, awayAt[u]);
        away.RemoveAt(away.Count - 1);
        awayAt[u] = -1;
    }
}

/// <summary>From which heat to which, in units of the score, and in how many trials.</summary>
internal readonly record struct Cooling(float Hot, float Cold, int Trials);
