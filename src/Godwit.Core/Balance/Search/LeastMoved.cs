namespace Godwit.Core.Balance.Search;

/// <summary>What <see cref="LeastMoved"/> found.</summary>
/// <param name="Unplaced">Units that nobody has room for: at home, on a host that shall be emptied or that is too full.</param>
/// <param name="Moved">Sum of the prices of units away from home.</param>
/// <param name="Bound">No answer moves less: the sum of what each host must send away by itself.</param>
public sealed record LeastMovedResult(int[] HostOf, IReadOnlyList<int> Unplaced, double Moved, double Bound);

/// <summary>
/// Empties hosts and brings every host under its limits with the least moved, whatever that does to the level: each host sends
/// away its cheapest set that helps, those find room, others are pushed on where there is none; then parts of it are taken back
/// and done anew as long as that may gain anything. Rules forbid, their soft costs are not weighed. Counted in work, not in time.
/// </summary>
public sealed class LeastMoved
{
    private const int TrialsMax = 4_000, FruitlessMax = 500;
    /// <summary>Units and hosts looked at in all: a second or two.</summary>
    private const long WorkMax = 100_000_000;
    private const int PushesPerChain = 60, PushedHostsMax = 64;
    private const int HostsRedoneMax = 4;
    private const double Nothing = 1e-9;
    /// <summary>Who need not move and finds no way home again is far worse than one more that stays.</summary>
    private const double Bystander = 1e6;

    private readonly BalanceModel model;
    private readonly LeavingSet leaving;
    private readonly List<int>[] on;
    private readonly int[] hostOf;
    private readonly double[] loads;
    private readonly int[] pushed;
    private readonly List<int> pool = [];
    /// <summary>What was done for the one at hand: who left which host; −1 for who was put somewhere.</summary>
    private readonly List<(int Unit, int From)> chain = [];
    private SeededNumbers numbers;
    private long looked;
    private bool isStirred;

    private LeastMoved(BalanceModel model, ulong seed)
    {
        this.model = model;
        numbers = new SeededNumbers(seed);
        (hostOf, loads) = (new int[model.Units], new double[model.Limit.Length]);
        pushed = new int[model.Units];
        on = [.. Enumerable.Range(0, model.Hosts).Select(_ => new List<int>())];
        leaving = new LeavingSet(model);
    }

    /// <param name="start">Where to begin; from where all are now if null. What is away from home there is paid for already.</param>
    /// <param name="stop">What was found by then is answered.</param>
    public static LeastMovedResult Find(BalanceModel model, ulong seed = 1, int[]? start = null, CancellationToken stop = default) =>
        new LeastMoved(model, seed).Search(start ?? model.Home, stop);

    private LeastMovedResult Search(int[] start, CancellationToken stop)
    {
        var bound = Bound();
        Take(start);
        Mend(noise: 0);
        var best = new Answer((int[])hostOf.Clone(), Worth());
        var current = best;
        for (int trial = 0, gained = 0; trial < (best.Left > Nothing ? TrialsMax : gained + FruitlessMax) && Work < WorkMax; trial++)
        {
            if (stop.IsCancellationRequested || (best.Left < Nothing && best.Moved <= bound + Nothing)) break;
            Take(current.HostOf);
            TakeBack();
            isStirred = current.Left > Nothing && numbers.Below(2) == 0;
            if (isStirred) Stir();
            Mend(noise: trial % 3 * 0.15f);
            var worth = Worth();
            // As good is gone on from too; while somebody has no room, so is what costs a little more.
            var room = worth.Left > Nothing ? current.Moved / 50 : Nothing;
            if (worth.Left > current.Left + Nothing) continue;
            if (worth.Left > current.Left - Nothing && worth.Moved > current.Moved + room) continue;
            current = new((int[])hostOf.Clone(), worth);
            if (!current.Betters(best)) continue;
            (best, gained) = (current, trial);
        }
        var unplaced = Enumerable.Range(0, model.Units).Where(u => best.HostOf[u] < 0).ToList();
        foreach (var u in unplaced) best.HostOf[u] = model.Home[u];
        return new(best.HostOf, unplaced, best.Moved, bound);
    }

    /// <param name="HostOf">−1 for who has no room.</param>
    private sealed record Answer(int[] HostOf, double Left, double Moved)
    {
        public Answer(int[] hostOf, (double Left, double Moved) worth) : this(hostOf, worth.Left, worth.Moved) { }

        public bool Betters(Answer other) =>
            Left < other.Left - Nothing || (Left < other.Left + Nothing && Moved < other.Moved - Nothing);
    }

    private long Work => looked + leaving.Steps;

    private double Bound()
    {
        Take(model.Home);
        return Enumerable.Range(0, model.Hosts).Sum(h => model.Emptied[h] ? on[h].Sum(u => (double)model.Price[u])
            : leaving.Find(h, on[h], loads, u => model.Price[u]).Bound);
    }

    private void Take(int[] placement)
    {
        pool.Clear();
        looked += model.Units;
        placement.CopyTo(hostOf, 0);
        foreach (var list in on) list.Clear();
        model.Standing.CopyTo(loads, 0);
        for (var u = 0; u < model.Units; u++)
        {
            if (placement[u] >= 0) Put(u, placement[u]);
            else pool.Add(u);
        }
    }

    private (double Left, double Moved) Worth()
    {
        var (left, moved) = (0.0, 0.0);
        for (var u = 0; u < model.Units; u++)
        {
            if (hostOf[u] < 0) left += model.Price[u] * (model.Emptied[model.Home[u]] ? 1 : Bystander);
            else if (hostOf[u] != model.Home[u]) moved += model.Price[u];
        }
        return (left, moved);
    }

    /// <summary>Some hosts get back who left them, and those who came to them go home.</summary>
    private void TakeBack()
    {
        Span<int> redone = stackalloc int[1 + numbers.Below(Math.Min(HostsRedoneMax, model.Hosts))];
        foreach (ref var host in redone) host = numbers.Below(model.Hosts);
        for (var u = 0; u < model.Units; u++)
        {
            if (hostOf[u] == model.Home[u] || model.Emptied[model.Home[u]] && hostOf[u] < 0) continue;
            if (!redone.Contains(model.Home[u]) && (hostOf[u] < 0 || !redone.Contains(hostOf[u]))) continue;
            if (hostOf[u] >= 0) Remove(u);
            pool.Remove(u);
            Put(u, model.Home[u]);
        }
    }

    /// <summary>One host's units are placed anew, together with who has no room.</summary>
    private void Stir()
    {
        var host = numbers.Below(model.Hosts);
        foreach (var u in on[host].ToArray())
            if (numbers.Below(3) > 0) SendAway(u);
    }

    /// <summary>Hosts that are too full, or shall be empty, send away; who is sent away finds a place, or stays in the pool.</summary>
    private void Mend(float noise)
    {
        Array.Clear(pushed);
        for (var h = 0; h < model.Hosts; h++)
        {
            var goes = model.Emptied[h] ? [.. on[h]]
                : leaving.Find(h, on[h], loads, u => LeavingPrice(u, noise)).Units;
            foreach (var u in goes) SendAway(u);
        }
        var unplaced = new List<int>();
        while (pool.Count > 0)
        {
            var u = TakeLargest(pool);
            if (BestRoom(u) is >= 0 and var room) Put(u, room);
            else if (!PushOn(u, noise)) unplaced.Add(u);
        }
        pool.AddRange(unplaced);
    }

    /// <summary>Makes room for one by pushing others on, those on again. False, and all is as before, where that comes to no end.</summary>
    private bool PushOn(int first, float noise)
    {
        chain.Clear();
        var waiting = new List<int> { first };
        for (var pushes = 0; waiting.Count > 0; pushes++)
        {
            var u = TakeLargest(waiting);
            if (pushes < PushesPerChain && BestRoom(u) is >= 0 and var room)
            {
                chain.Add((u, -1));
                Put(u, room);
            }
            else if (pushes >= PushesPerChain || !PushIn(u, noise, waiting)) return Undo();
        }
        return true;
    }

    private bool Undo()
    {
        for (var i = chain.Count - 1; i >= 0; i--)
        {
            if (chain[i].From < 0) Remove(chain[i].Unit);
            else Put(chain[i].Unit, chain[i].From);
        }
        return false;
    }

    private float LeavingPrice(int u, float noise)
    {
        var price = hostOf[u] == model.Home[u] ? model.Price[u] : 0;
        // Who was pushed before costs more: two do not push each other for ever.
        return price * (1 + noise * numbers.Share()) + pushed[u] * pushed[u] * model.Price[u] / 8;
    }

    /// <summary>The one that is hardest to place: by its largest share of the host it is from.</summary>
    private int TakeLargest(List<int> pool)
    {
        var (at, size) = (0, -1.0);
        for (var i = 0; i < pool.Count; i++)
            if (Size(pool[i]) * (1 + 0.2 * numbers.Share()) is var now && now > size) (at, size) = (i, now);
        var u = pool[at];
        pool.RemoveAt(at);
        return u;
    }

    private double Size(int u)
    {
        var size = 0.0;
        for (var k = 0; k < model.Resources; k++)
            size = Math.Max(size, model.Demand[u * model.Resources + k] / model.Capacity[model.Home[u] * model.Resources + k]);
        return size;
    }

    /// <summary>Home if it has room, which costs nothing; else where least is left over in the resource that is scarcest there.</summary>
    private int BestRoom(int u)
    {
        if (!(isStirred && numbers.Below(2) == 0) && !model.Emptied[model.Home[u]] && MayBe(u, model.Home[u]) && Fits(u, model.Home[u]))
            return model.Home[u];
        var (best, least) = (-1, double.PositiveInfinity);
        looked += model.Hosts;
        for (var h = 0; h < model.Hosts; h++)
        {
            if (!Fits(u, h)) continue;
            var left = double.PositiveInfinity;
            for (var k = 0; k < model.Resources; k++)
            {
                var at = h * model.Resources + k;
                if (double.IsFinite(model.Limit[at]))
                    left = Math.Min(left, (model.Limit[at] - loads[at] - model.Demand[u * model.Resources + k]) / model.Capacity[at]);
            }
            left *= 1 + 0.2 * numbers.Share();
            if (left < least && MayBe(u, h)) (best, least) = (h, left);
        }
        return best;
    }

    /// <summary>Where those who must leave for it cost least. False where no host can take it even so.</summary>
    private bool PushIn(int u, float noise, List<int> waiting)
    {
        var (best, goes, least) = (-1, Array.Empty<int>(), double.PositiveInfinity);
        var first = numbers.Below(model.Hosts);
        for (int i = 0, tried = 0; i < model.Hosts && tried < PushedHostsMax; i++)
        {
            var h = (first + i) % model.Hosts;
            if (model.Emptied[h] || !MayBe(u, h)) continue;
            tried++;
            Add(u, h, 1);
            var found = leaving.Find(h, on[h], loads, v => LeavingPrice(v, noise));
            Add(u, h, -1);
            var cost = found.Cost - (h == model.Home[u] ? model.Price[u] : 0);
            if (found.Helps && cost < least) (best, goes, least) = (h, found.Units, cost);
        }
        if (best < 0) return false;
        foreach (var v in goes)
        {
            chain.Add((v, best));
            Remove(v);
            waiting.Add(v);
            pushed[v]++;
        }
        chain.Add((u, -1));
        Put(u, best);
        return true;
    }

    private bool MayBe(int u, int h) => (!model.Closed[h] || h == model.Home[u])
        && !(model.Rules.Has(u) && float.IsPositiveInfinity(model.Rules.Cost(u, h, hostOf)));

    private bool Fits(int u, int h)
    {
        if (model.Emptied[h] || (model.Closed[h] && h != model.Home[u])) return false;
        for (var k = 0; k < model.Resources; k++)
            if (model.Demand[u * model.Resources + k] is > 0 and var amount
                && loads[h * model.Resources + k] + amount > LeavingSet.LimitOf(model, h, k)) return false;
        return true;
    }

    private void Put(int u, int h)
    {
        hostOf[u] = h;
        on[h].Add(u);
        Add(u, h, 1);
    }

    private void SendAway(int u)
    {
        Remove(u);
        pool.Add(u);
    }

    private void Remove(int u)
    {
        on[hostOf[u]].Remove(u);
        Add(u, hostOf[u], -1);
        hostOf[u] = -1;
    }

    private void Add(int u, int h, int sign)
    {
        for (var k = 0; k < model.Resources; k++)
            loads[h * model.Resources + k] += sign * model.Demand[u * model.Resources + k];
    }
}
