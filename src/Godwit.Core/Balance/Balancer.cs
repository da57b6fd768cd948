namespace Godwit.Core.Balance;

/// <summary>How long and how finely is searched. The same settings and model give the same answer, on one thread or many.</summary>
public sealed record SearchSettings
{
    /// <summary>What one move must better the score by, at least.</summary>
    public double Price { get; init; } = 0.2;
    public int MovesMax { get; init; } = int.MaxValue;
    /// <summary>Trials for each unit, over all rounds.</summary>
    public int TrialsPerUnit { get; init; } = 300;
    public int Rounds { get; init; } = 8;
    public int CellHosts { get; init; } = 128;
    public float Hot { get; init; } = 0.3f;
    public float Cold { get; init; } = 0.03f;
    public ulong Seed { get; init; } = 1;
}

/// <summary>Runs cells, in any order, at the same time or one after another: none touches another's.</summary>
public interface ICellRunner
{
    void Run(int cells, Action<int> solve);
}

public sealed class OneByOne : ICellRunner
{
    public void Run(int cells, Action<int> solve)
    {
        for (var cell = 0; cell < cells; cell++) solve(cell);
    }
}

public sealed class Balancer
{
    private readonly BalanceModel model;
    private readonly BalanceObjective objective;
    private readonly SearchSettings settings;
    private readonly ICellRunner runner;
    private readonly SearchState state;
    private readonly Cell[] cells;
    private readonly CellSearch[] searches;
    private readonly int[] hosts;
    private readonly double[] mean;
    public Action<string>? Say;

    public Balancer(BalanceModel model, BalanceObjective objective, SearchSettings settings, ICellRunner runner)
    {
        (this.model, this.objective, this.settings, this.runner) = (model, objective, settings, runner);
        state = new SearchState(model, model.Home) { Price = settings.Price };
        var unit = new double[model.Resources];
        mean = new double[model.Resources];
        for (var i = 0; i < model.Capacity.Length; i++) unit[i % model.Resources] += model.Capacity[i] / model.Hosts;
        var count = (model.Hosts + settings.CellHosts - 1) / settings.CellHosts;
        cells = [.. Enumerable.Range(0, count).Select(_ => new Cell(model, objective, state, unit))];
        searches = [.. cells.Select(cell => new CellSearch(cell))];
        hosts = [.. Enumerable.Range(0, model.Hosts)];
    }

    public int[] Search()
    {
        var numbers = new SeededNumbers(settings.Seed);
        for (var round = 0; round < settings.Rounds; round++)
        {
            Deal(ref numbers);
            if (round == 0) state.Price = Math.Max(settings.Price, LargestGain() / 10);
            var seed = numbers.Next();
            var r = round;
            runner.Run(cells.Length, c => Solve(c, r, seed + (ulong)c));
            Report($"round {round} price {state.Price:0.000}");
            if (round < settings.Rounds - 1) Reprice(round);
        }
        return state.HostOf;
    }

    private float LargestGain()
    {
        var gains = new float[cells.Length];
        runner.Run(cells.Length, c =>
        {
            LoadCell(c);
            gains[c] = searches[c].LargestGain();
        });
        return gains.Max();
    }

    private void LoadCell(int c) => cells[c].Load(c, Dealt(c), mean);

    private ReadOnlySpan<int> Dealt(int c) =>
        hosts.AsSpan((int)((long)model.Hosts * c / cells.Length)..(int)((long)model.Hosts * (c + 1) / cells.Length));

    private void Deal(ref SeededNumbers numbers)
    {
        Array.Clear(mean);
        for (var i = 0; i < model.Capacity.Length; i++)
            mean[i % model.Resources] += state.Loads[i] / model.Capacity[i] / model.Hosts;
        if (cells.Length > 1) numbers.Shuffle(hosts);
        for (var c = 0; c < cells.Length; c++)
        {
            var place = 0;
            foreach (var host in Dealt(c)) (state.CellOf[host], state.PlaceInCell[host]) = (c, place++);
        }
    }

    private void Solve(int c, int round, ulong seed)
    {
        var (search, numbers) = (searches[c], new SeededNumbers(seed));
        var price = (float)state.Price;
        LoadCell(c);
        if (round == 0) search.Descend(0.05f * price);
        else search.Settle();
        if (round == 0 && cells.Length > 1) return;
        var (from, to) = ((float)round / settings.Rounds, (float)(round + 1) / settings.Rounds);
        var steps = (int)((long)cells[c].Units * settings.TrialsPerUnit / settings.Rounds);
        search.Anneal(ref numbers, steps, price * Temperature(from), price * Temperature(to));
        search.Settle();
        if (round == settings.Rounds - 1) search.SettleExchanging(ref numbers);
    }

    private float Temperature(float share) => settings.Hot * MathF.Pow(settings.Cold / settings.Hot, share);

    private void Reprice(int round)
    {
        var moved = state.Moved();
        var factor = Math.Clamp(Math.Pow((double)moved / settings.MovesMax, 1.8), 0.5, 2);
        state.Price = Math.Max(settings.Price, state.Price * factor);
    }

    private void Report(string what)
    {
        if (Say is null) return;
        var loads = new double[state.Loads.Length];
        model.LoadsOf(state.HostOf, loads);
        var score = objective.Score(model, loads);
        Say($"{what}: J {score + settings.Price * state.Moved():0.000} | {score / model.Hosts:0.00000} moves {state.Moved()} judged {searches.Sum(s => s.Judged) / 1e6:0.0} M");
    }
}
