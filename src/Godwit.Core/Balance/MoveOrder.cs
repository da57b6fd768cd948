using Godwit.Core.Balance.Search;

namespace Godwit.Core.Balance;

/// <param name="Gain">By how much the score falls, its price aside, when it is its turn.</param>
public readonly record struct OrderedMove(int Unit, int From, int To, int Wave, double Gain);

/// <summary>
/// Puts moves in an order in which every one has room when it starts: a VM on its way takes its memory on both hosts until its
/// wave has ended. What helps most goes first; what would hurt by itself waits for what it belongs to. Moves that wait for each
/// other's room for ever are left out. Pure.
/// </summary>
public sealed class MoveOrder
{
    private readonly BalanceModel model;
    private readonly int movesAtOncePerHost;
    private readonly int[] hostOf;
    /// <summary>Loads between two waves, and within one: with those that come, and still with those that go.</summary>
    private readonly double[] loads, during;
    private readonly MoveGains gains;

    private MoveOrder(BalanceModel model, BalanceObjective objective, int movesAtOncePerHost)
    {
        (this.model, this.movesAtOncePerHost) = (model, movesAtOncePerHost);
        hostOf = (int[])model.Home.Clone();
        (loads, during) = (new double[model.Hosts * model.Resources], new double[model.Hosts * model.Resources]);
        model.LoadsOf(hostOf, loads);
        gains = new MoveGains(model, objective, loads);
    }

    public static (IReadOnlyList<OrderedMove> Moves, IReadOnlyList<int> LeftOut) Of(
        BalanceModel model, BalanceObjective objective, int[] target, int movesAtOncePerHost) =>
        new MoveOrder(model, objective, Math.Max(1, movesAtOncePerHost)).Put(target);

    private (IReadOnlyList<OrderedMove>, IReadOnlyList<int>) Put(int[] target)
    {
        var waiting = Enumerable.Range(0, model.Units).Where(u => target[u] != model.Home[u]).ToList();
        var ordered = new List<OrderedMove>(waiting.Count);
        var (leaving, coming) = (new int[model.Hosts], new int[model.Hosts]);
        // Every wave makes at least one move, so there are at most as many waves as moves.
        for (var wave = 1; waiting.Count > 0; wave++)
        {
            Array.Clear(leaving);
            Array.Clear(coming);
            loads.CopyTo(during, 0);
            var started = new HashSet<int>();
            var arrived = (int[])hostOf.Clone();
            foreach (var (u, gain) in waiting.Select(u => (u, gain: gains.Gain(u, hostOf[u], target[u], hostOf)))
                         .OrderByDescending(pair => pair.gain).ThenBy(pair => pair.u))
            {
                // By itself it would hurt: it pays once those before it are through, or it only makes room for them.
                if (gain < 0 && started.Count > 0) break;
                var (from, to) = (hostOf[u], target[u]);
                if (leaving[from] >= movesAtOncePerHost || coming[to] >= movesAtOncePerHost || !HasRoom(u, to)) continue;
                if (MayNot(u, to, arrived)) continue;
                ordered.Add(new(u, from, to, wave, gain));
                started.Add(u);
                arrived[u] = to;
                leaving[from]++;
                coming[to]++;
                Add(during, u, to, 1);
            }
            if (started.Count == 0) break;
            foreach (var u in started)
            {
                Add(loads, u, hostOf[u], -1);
                Add(loads, u, target[u], 1);
                hostOf[u] = target[u];
            }
            waiting.RemoveAll(started.Contains);
        }
        return (ordered, waiting);
    }

    private bool HasRoom(int unit, int host)
    {
        for (var k = 0; k < model.Resources; k++)
            if (model.Demand[unit * model.Resources + k] is > 0 and var amount
                && during[host * model.Resources + k] + amount > model.Limit[host * model.Resources + k]) return false;
        return !model.Closed[host];
    }

    /// <summary>True where a hard rule would be broken by those there before the wave, or by those that come in it.</summary>
    private bool MayNot(int unit, int host, int[] arrived) => model.Rules.Has(unit)
        && (float.IsPositiveInfinity(model.Rules.Cost(unit, host, hostOf))
            || float.IsPositiveInfinity(model.Rules.Cost(unit, host, arrived)));

    private void Add(double[] to, int unit, int host, int sign)
    {
        for (var k = 0; k < model.Resources; k++)
            to[host * model.Resources + k] += sign * model.Demand[unit * model.Resources + k];
    }
}
