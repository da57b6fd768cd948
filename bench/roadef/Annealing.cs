namespace Godwit.Roadef;

/// <summary>
/// Moves and exchanges at random: downhill always, uphill by a temperature that falls. One thread's worth; the best assignment seen
/// at the end of a run is kept. Temperature is in cost.
/// </summary>
internal sealed class Annealing
{
    /// <summary>Of so many machines drawn, the most wasteful gives a process: there is most to gain.</summary>
    private const int Drawn = 4;

    private readonly Instance instance;
    private readonly SearchState state;
    private readonly RandomNumbers numbers;

    public Annealing(Instance instance, IReadOnlyList<int> assignment, ulong seed)
    {
        (this.instance, state, numbers) = (instance, new SearchState(instance, assignment), new RandomNumbers(seed));
        (Best, BestCost) = ([.. assignment], state.Cost);
    }

    public int[] Best { get; }
    public long BestCost { get; private set; }
    public int[] Current => state.MachineOf;
    public long Cost => state.Cost;

    public void TakeOver(Annealing other) => state.TakeOver(other.Current);

    /// <inheritdoc cref="SearchState.GoBy"/>
    public void GoBy(double share) => state.GoBy(share);

    /// <summary>Tries that many changes at one temperature; 0 takes only what is not worse.</summary>
    public void Run(int tries, double temperature)
    {
        for (var n = 0; n < tries; n++)
        {
            var limit = temperature > 0 ? (long)(-temperature * Math.Log(numbers.Share())) : 0;
            if (numbers.Below(2) == 0) TryMove(limit);
            else TryExchange(limit);
        }
        if (state.Cost >= BestCost) return;
        state.MachineOf.CopyTo(Best, 0);
        BestCost = state.Cost;
    }

    private void TryMove(long limit)
    {
        var (p, to) = (OfWasteful(), numbers.Below(instance.Machines));
        var price = state.PriceOfMove(p, to);
        if (price <= limit) state.Move(p, to, price);
    }

    private void TryExchange(long limit)
    {
        var (p, q) = (OfWasteful(), numbers.Below(instance.Processes));
        var price = state.PriceOfExchange(p, q);
        if (price <= limit) state.Exchange(p, q, price);
    }

    private int OfWasteful()
    {
        var m = numbers.Below(instance.Machines);
        for (var n = 1; n < Drawn; n++)
            if (numbers.Below(instance.Machines) is var other && state.WasteOf(other) > state.WasteOf(m)) m = other;
        var on = state.On(m);
        return on.Count == 0 ? numbers.Below(instance.Processes) : on[numbers.Below(on.Count)];
    }
}
