namespace Godwit.Roadef;

/// <summary>
/// Moves and exchanges at random: downhill always, uphill by a temperature that falls. One thread's worth; the best assignment seen
/// is kept. Temperature is in cost.
/// </summary>
internal sealed class Annealing
{
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
    public long Cost => state.Cost;
    public int[] Current => state.MachineOf;
    public long Tried { get; private set; }

    public void TakeOver(IReadOnlyList<int> assignment) => state.TakeOver(assignment);

    /// <summary>Tries that many changes at one temperature; 0 takes only what is better or equal.</summary>
    public void Run(int tries, double temperature)
    {
        for (var n = 0; n < tries; n++)
        {
            // An uphill change passes if its price is under this: drawn beforehand, most are refused without a logarithm's cost later.
            var limit = temperature > 0 ? (long)(-temperature * Math.Log(numbers.Share())) : 0;
            if (numbers.Below(2) == 0) TryMove(limit);
            else TryExchange(limit);
        }
        Tried += tries;
        Keep();
    }

    private void TryMove(long limit)
    {
        var (p, to) = (OfCostly(), numbers.Below(instance.Machines));
        var price = state.PriceOfMove(p, to);
        if (price <= limit) state.Move(p, to, price);
    }

    private void TryExchange(long limit)
    {
        var (p, q) = (OfCostly(), numbers.Below(instance.Processes));
        var price = state.PriceOfExchange(p, q);
        if (price <= limit) state.Exchange(p, q, price);
    }

    public int Tournament = 2;
    /// <summary>A process of the costlier of two machines: there is more to gain.</summary>
    private int OfCostly()
    {
        var m = numbers.Below(instance.Machines);
        for (var n = 1; n < Tournament; n++)
            if (numbers.Below(instance.Machines) is var other && state.CostOf(other) > state.CostOf(m)) m = other;
        var on = state.On(m);
        return on.Count == 0 ? numbers.Below(instance.Processes) : on[numbers.Below(on.Count)];
    }

    private void Keep()
    {
        if (state.Cost >= BestCost) return;
        state.MachineOf.CopyTo(Best, 0);
        BestCost = state.Cost;
    }
}
