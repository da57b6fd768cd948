namespace Godwit.Core.Balance.Search;

/// <summary>
/// Looks for a better placement: hosts are dealt into cells, each cell is bettered by itself, the hosts are dealt anew. One
/// cell, and random trials beside the sweeps, where the cluster is small. Ends, whenever it is stopped, with a placement that
/// breaks no limit and no rule that was kept before.
/// </summary>
public sealed class ClusterSearch
{
    /// <summary>Rounds and settlings to no end would be a bug: a model of squares gets there in two or three.</summary>
    private const int SettlingsMax = 10;
    /// <summary>Small clusters are searched several times over, from other seeds, where the trials allow.</summary>
    private const int TrialsPerUnitMax = 2_500, TrialsPerUnitOfSmall = 1_000, SearchesMax = 8;
    private const int SmallUnitsMax = 100;
    private const float Hot = 0.3f, Cold = 0.03f, HotterBy = 4;
    private const int HottestAfter = 4;
    /// <summary>Held to a number of moves, the outcome varies with the seed: the best of four.</summary>
    private const int SearchesHeld = 4, MovesBetweenRefreshesHeld = 32;
    /// <summary>Held: between which heats, as shares of what a move gains on average; and the price to begin with.</summary>
    private const float HotHeld = 0.6f, ColdHeld = 0.0005f, PriceHeld = 2;
    /// <summary>Moves grow about with the square root of what they may cost less: how the price follows the wanted number.</summary>
    private const double Elasticity = 1.8;

    private readonly BalanceModel model;
    private readonly BalanceObjective objective;
    private readonly SearchSettings settings;
    private readonly ICellRunner runner;
    private readonly SearchState state;
    private readonly Cell[] cells;
    private readonly CellSearch[] searches;
    private readonly int[] hosts, start;
    private readonly double[] mean;
    private float hot;
    private bool heldBack;
    private long judgedBeside;

    /// <param name="start">Where to begin; from where all are now if null. Prices are counted from there in any case.</param>
    public ClusterSearch(
        BalanceModel model, BalanceObjective objective, SearchSettings settings, ICellRunner runner, int[]? start = null)
    {
        (this.model, this.objective, this.settings, this.runner) = (model, objective, settings, runner);
        this.start = start ?? model.Home;
        state = new SearchState(model, this.start) { Price = settings.Price };
        mean = new double[model.Resources];
        hosts = [.. Enumerable.Range(0, model.Hosts)];
        var unit = new double[model.Resources];
        for (var i = 0; i < model.Capacity.Length; i++) unit[i % model.Resources] += model.Capacity[i] / model.Hosts;
        cells = [.. Enumerable.Range(0, (model.Hosts + settings.CellHosts - 1) / settings.CellHosts)
            .Select(_ => new Cell(model, objective, state, unit))];
        searches = [.. cells.Select(cell => new CellSearch(model, cell))];
    }

    /// <summary>
    /// Searches, and in a small cluster searches again from what was found until nothing more is found: there two moves are found
    /// that pay only together, so that no single one tells when to end.
    /// </summary>
    public static SearchResult Find(
        BalanceModel model, BalanceObjective objective, SearchSettings settings, ICellRunner runner, int[]? start = null,
        CancellationToken stop = default)
    {
        var found = new ClusterSearch(model, objective, settings, runner, start).Search(stop: stop);
        for (var n = 0; IsThorough(model, settings) && found.Settled && n < SettlingsMax; n++)
        {
            var again = new ClusterSearch(model.With(home: found.HostOf), objective, settings, runner).Search(stop: stop);
            if (again.HostOf.AsSpan().SequenceEqual(found.HostOf)) return found;
            found = again;
        }
        return IsThorough(model, settings) ? found with { Settled = false } : found;
    }

    private static bool IsThorough(BalanceModel model, SearchSettings settings) => model.Units <= SmallUnitsMax && !settings.SinglesOnly;

    /// <summary>One cell is the whole cluster: small enough for trials and for every exchange.</summary>
    private bool IsAlone => cells.Length == 1 && !settings.SinglesOnly;

    /// <summary>One cell, and a number of moves that it may not pass.</summary>
    private bool IsHeld => IsAlone && settings.MovesMax != int.MaxValue && !IsThorough(model, settings);

    /// <param name="told">After each round; never where <see cref="HeldAnnealing"/> searches, which knows no rounds.</param>
    public SearchResult Search(Action<SearchProgress>? told = null, CancellationToken stop = default)
    {
        if (model.Hosts < 2 || model.Units == 0) return new(state.HostOf, true, 0);
        DealFirst();
        // The same question as at the end: a placement that was found good is left alone.
        var largest = LargestGain();
        if (largest <= 0 && !IsThorough(model, settings)) return new(state.HostOf, true, Judged());

        var small = IsThorough(model, settings);
        var perUnit = small ? TrialsPerUnitOfSmall : TrialsPerUnitMax;
        var searches = small ? (int)Math.Clamp(settings.Trials / 2 / ((long)perUnit * model.Units), 1, SearchesMax)
            : IsHeld ? SearchesHeld : 1;
        var trials = (int)Math.Min(settings.Trials, (long)perUnit * model.Units);
        SearchFrom(searches, largest, trials, small, told, stop);
        var settled = SettleAll(awayOnly: heldBack, stop);
        heldBack |= !KeepToMovesMax();
        return new(state.HostOf, settled && !heldBack, Judged());
    }

    /// <summary>Ends with the best of some searches of one beginning, each with numbers of its own.</summary>
    private void SearchFrom(int searches, float largest, int trials, bool small, Action<SearchProgress>? told, CancellationToken stop)
    {
        var untouched = ScoreWithPrices();
        // They run beside each other where there are threads: each but the first has a state of its own.
        var beside = new ClusterSearch[searches];
        for (var n = 0; n < searches; n++) beside[n] = n == 0 ? this : new(model, objective, settings, new OneByOne(), start);
        if (searches == 1) Run(0);
        else runner.Run(searches, Run);
        judgedBeside = beside.Skip(1).Sum(search => search.Judged());
        // Compared as they end, with no move too many and none left over.
        var best = beside.MinBy(search => search.ScoreWithPrices())!;
        var isBetter = best.ScoreWithPrices() < untouched;
        heldBack = isBetter && best.heldBack;
        (isBetter ? best.state.HostOf : start).CopyTo(state.HostOf, 0);
        state.Price = settings.Price;
        state.Rebuild();

        void Run(int n)
        {
            var seed = settings.Seed + (ulong)n;
            beside[n].hot = Heat(n, small);
            if (IsHeld) beside[n].SearchHeld(largest, trials, seed, stop);
            else beside[n].SearchOnce(largest, trials, seed, n == 0 ? told : null, stop);
            beside[n].HoldToMovesMax();
        }
    }

    /// <summary>Among few units each begins hotter than the one before: a steep ridge can lie between two good placements.</summary>
    private static float Heat(int n, bool small) => small ? Hot * MathF.Pow(HotterBy, n % HottestAfter) : Hot;

    private void HoldToMovesMax()
    {
        // A price that was raised held moves back that would pay: no unit more may leave its home.
        heldBack |= !KeepToMovesMax() || state.Price > settings.Price;
        if (heldBack) FillUpToMovesMax(state.Price);
    }

    /// <summary>Annealing finds which units to move; the few too many go home, and the last steps keep to the number.</summary>
    private void SearchHeld(float largest, int trials, ulong seed, CancellationToken stop)
    {
        var numbers = new SeededNumbers(seed);
        DealFirst();
        state.Price = FirstPrice(largest);
        cells[0].Load(0, Dealt(0), mean);
        var before = objective.Score(model, state.Loads);
        searches[0].Descend(largest, 0.05f * (float)state.Price);
        // Loads only: what mends a broken rule is not what heats.
        var gain = (before - objective.Score(model, state.Loads)) / Math.Clamp(state.Moved(), 1, settings.MovesMax);
        var scale = (float)Math.Max(gain, settings.Price);
        state.Price = PriceHeld * scale;
        searches[0].MovesBetweenRefreshes = MovesBetweenRefreshesHeld;
        var annealing = new HeldAnnealing(model, cells[0], searches[0], settings);
        var cooling = new Cooling(HotHeld * scale, ColdHeld * scale, trials);
        annealing.Run(ref numbers, cooling, stop);
        heldBack = !KeepToMovesMax() || state.Price > settings.Price;
        state.Price = settings.Price;
        cells[0].Load(0, Dealt(0), mean);
        annealing.Finish(ref numbers, cooling, stop);
    }

    private void SearchOnce(float largest, int trials, ulong seed, Action<SearchProgress>? told, CancellationToken stop)
    {
        var numbers = new SeededNumbers(seed);
        state.Price = FirstPrice(largest);
        for (var round = 0; round < settings.Rounds && !stop.IsCancellationRequested; round++)
        {
            Deal(ref numbers);
            var (r, cellSeed) = (round, numbers.Next());
            runner.Run(cells.Length, c => Solve(c, r, largest, trials, cellSeed + (ulong)c));
            told?.Invoke(new(round, objective.Score(model, state.Loads), state.Moved()));
            if (round < settings.Rounds - 1) Reprice();
        }
    }

    /// <summary>A tenth of the largest gain is where many moves begin to pay; from there the price falls, or rises, as wanted.</summary>
    private double FirstPrice(float largest) =>
        Math.Max(settings.Price, settings.MovesMax == int.MaxValue ? 0 : Math.Min(largest, UnitRules.Broken / 1000) / 10);

    private void Solve(int c, int round, float largest, int trials, ulong seed)
    {
        var (search, numbers) = (searches[c], new SeededNumbers(seed));
        var price = (float)state.Price;
        cells[c].Load(c, Dealt(c), mean);
        if (round == 0) search.Descend(largest, 0.05f * price);
        else search.Settle();
        if (settings.SinglesOnly) return;
        if (IsAlone)
        {
            var (from, to) = ((float)round / settings.Rounds, (float)(round + 1) / settings.Rounds);
            search.Anneal(ref numbers, trials / settings.Rounds, price * Temperature(from), price * Temperature(to));
            search.Settle();
            if (round == settings.Rounds - 1) search.SettleExchanging();
        }
        else if (round > 0)
        {
            search.ExchangeAway();
            search.Settle();
        }
    }

    private float Temperature(float share) => hot * MathF.Pow(Cold / hot, share);

    private void Reprice()
    {
        var factor = Math.Clamp(Math.Pow((double)state.Moved() / settings.MovesMax, Elasticity), 0.5, 2);
        state.Price = Math.Max(settings.Price, state.Price * factor);
    }

    private float LargestGain()
    {
        var gains = new float[cells.Length];
        runner.Run(cells.Length, c =>
        {
            cells[c].Load(c, Dealt(c), mean);
            gains[c] = searches[c].LargestGain(exchanges: IsAlone);
        });
        return gains.Max();
    }

    /// <summary>Sends those home first whose move gains least. False where that was needed.</summary>
    private bool KeepToMovesMax()
    {
        var surplus = state.Moved() - settings.MovesMax;
        if (surplus <= 0) return true;
        var gains = new MoveGains(model, objective, state.Loads);
        var away = Enumerable.Range(0, model.Units).Where(u => state.HostOf[u] != model.Home[u]).ToArray();
        // Moved from home to where it is, seen from the end: what would be lost by sending it home, for its price.
        var lost = away.Select(u =>
            -gains.Gain(u, state.HostOf[u], model.Home[u], state.HostOf) / Math.Max(model.Price[u], 1e-6f)).ToArray();
        Array.Sort(lost, away);
        var atHome = new double[state.Loads.Length];
        model.LoadsOf(model.Home, atHome);
        // One that does not fit at home now may fit when others have left it.
        for (var pass = 0; pass < SettlingsMax && surplus > 0; pass++)
            foreach (var u in away)
                if (surplus > 0 && state.HostOf[u] != model.Home[u] && MayReturn(u, atHome))
                {
                    state.Move(u, state.HostOf[u], model.Home[u]);
                    surplus--;
                }
        if (surplus > 0) model.Home.CopyTo(state.HostOf, 0); // They keep each other out: none moves.
        state.Rebuild();
        return false;
    }

    /// <summary>The moves still allowed go to what gains most by itself; the raised price has done its work by then.</summary>
    private void FillUpToMovesMax(double price)
    {
        var left = settings.MovesMax - state.Moved();
        DealFirst();
        state.Price = settings.Price;
        runner.Run(cells.Length, c =>
        {
            cells[c].Load(c, Dealt(c), mean);
            searches[c].LeavesLeft = left / cells.Length + (c < left % cells.Length ? 1 : 0);
            searches[c].Descend(searches[c].LargestGain(exchanges: false), 0.05f * (float)price);
            searches[c].LeavesLeft = int.MaxValue;
        });
    }

    /// <summary>A host that was too full before may be as full again.</summary>
    private bool MayReturn(int u, double[] atHome)
    {
        var home = model.Home[u];
        for (var k = 0; k < model.Resources; k++)
        {
            var at = home * model.Resources + k;
            var after = state.Loads[at] + model.Demand[u * model.Resources + k];
            if (after > Math.Max(model.Limit[at], atHome[at] * (1 + 1e-9))) return false;
        }
        var cost = model.Rules.Has(u) ? model.Rules.Cost(u, home, state.HostOf) : 0;
        return !float.IsPositiveInfinity(cost) || float.IsPositiveInfinity(model.Rules.Cost(u, home, model.Home));
    }

    /// <summary>Until nothing pays any more in the cells that every search of this cluster begins with.</summary>
    private bool SettleAll(bool awayOnly, CancellationToken stop)
    {
        for (var n = 0; n < SettlingsMax && !stop.IsCancellationRequested; n++)
        {
            state.Rebuild();
            DealFirst();
            var made = new int[cells.Length];
            runner.Run(cells.Length, c =>
            {
                cells[c].Load(c, Dealt(c), mean);
                made[c] = IsAlone && !awayOnly ? searches[c].SettleExchanging() : searches[c].Settle(awayOnly);
            });
            if (made.Sum() == 0) return true;
        }
        return false;
    }

    private void DealFirst()
    {
        for (var h = 0; h < hosts.Length; h++) hosts[h] = h;
        var numbers = new SeededNumbers(settings.Seed);
        Deal(ref numbers);
    }

    private void Deal(ref SeededNumbers numbers)
    {
        Array.Clear(mean);
        for (var i = 0; i < state.Loads.Length; i++) mean[i % model.Resources] += state.Loads[i] / model.Capacity[i] / model.Hosts;
        if (cells.Length > 1) numbers.Shuffle(hosts);
        for (var c = 0; c < cells.Length; c++)
        {
            var place = 0;
            foreach (var host in Dealt(c)) (state.CellOf[host], state.PlaceInCell[host]) = (c, place++);
        }
    }

    private ReadOnlySpan<int> Dealt(int c) =>
        hosts.AsSpan((int)((long)model.Hosts * c / cells.Length)..(int)((long)model.Hosts * (c + 1) / cells.Length));

    private double ScoreWithPrices()
    {
        var score = objective.Score(model, state.Loads);
        for (var u = 0; u < model.Units; u++)
        {
            if (state.HostOf[u] != model.Home[u]) score += settings.Price * model.Price[u];
            if (model.Emptied[state.HostOf[u]]) score += UnitRules.Broken;
            if (model.Rules.Has(u)) score += model.Rules.StayingCost(u, state.HostOf[u], state.HostOf);
        }
        return score;
    }

    private long Judged() => judgedBeside + searches.Sum(search => search.Judged);
}
