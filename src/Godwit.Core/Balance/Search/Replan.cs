namespace Godwit.Core.Balance.Search;

/// <summary>What is best now, after something has changed.</summary>
/// <param name="Changed">Units whose place differs from the one kept.</param>
public sealed record ReplanResult(int[] HostOf, IReadOnlyList<int> Changed, long Judged);

/// <summary>
/// Plans again after a change on a few hosts: what was found before is carried over, what became impossible is taken back, and only one
/// cell is searched: the changed hosts, those that their units came from, and others with room. Milliseconds for clusters of any size.
/// Pure: no memory of its own.
/// </summary>
public sealed class Replan
{
    /// <summary>Hosts with room, and any hosts, that are looked at beside the changed ones.</summary>
    private const int RoomyHosts = 64, OtherHosts = 16;
    private const int RoundsMax = 3;

    private readonly BalanceModel model;
    private readonly BalanceObjective objective;
    private readonly SearchSettings settings;
    private readonly int[] kept;
    private readonly SearchState state;
    private readonly double[] atHome;
    private readonly HashSet<int> around = [];

    private Replan(BalanceModel model, BalanceObjective objective, SearchSettings settings, int[] kept)
    {
        (this.model, this.objective, this.settings, this.kept) = (model, objective, settings, kept);
        state = new SearchState(model, kept) { Price = settings.Price };
        atHome = new double[model.Limit.Length];
        model.LoadsOf(model.Home, atHome);
    }

    /// <param name="model">The cluster as it is now.</param>
    /// <param name="kept">The placement that was found for it before the change; its home for a unit that is new.</param>
    /// <param name="changedHosts">
    /// Where loads, room or state changed, and hosts that changed units were to go to. Many of them, or new rules, are better
    /// planned from the beginning.
    /// </param>
    public static ReplanResult Around(
        BalanceModel model, BalanceObjective objective, SearchSettings settings, int[] kept, IReadOnlyCollection<int> changedHosts) =>
        new Replan(model, objective, settings, kept).Search(changedHosts);

    private ReplanResult Search(IReadOnlyCollection<int> changedHosts)
    {
        around.UnionWith(changedHosts);
        TakeBack(changedHosts);
        foreach (var host in around.ToArray())
            for (var u = state.FirstOn[host]; u >= 0; u = state.NextOn[u]) around.Add(model.Home[u]);
        var mean = Mean();
        AddPartners(mean);

        int[] hosts = [.. around.Order()];
        Array.Fill(state.CellOf, -1);
        for (var place = 0; place < hosts.Length; place++)
            (state.CellOf[hosts[place]], state.PlaceInCell[hosts[place]]) = (0, place);
        var cell = new Cell(model, objective, state, MeanCapacity());
        cell.Load(0, hosts, mean);
        var search = new CellSearch(model, cell);
        search.Settle();
        // Exchanges of units that are on their way anyway; and what these open.
        for (var round = 0; round < RoundsMax && search.ExchangeAway() + search.Settle() > 0; round++) { }
        return new(state.HostOf, [.. Enumerable.Range(0, model.Units).Where(u => state.HostOf[u] != kept[u])], search.Judged);
    }

    /// <summary>
    /// Who was to come to a host that now has no room, or takes nobody any more, stays at home; so does who was to come there instead.
    /// Everybody goes home once at most, and with all at home nothing is fuller than it is.
    /// </summary>
    private void TakeBack(IEnumerable<int> changedHosts)
    {
        var hosts = new Queue<int>(changedHosts);
        while (hosts.TryDequeue(out var host))
        {
            var comers = new List<int>();
            for (var u = state.FirstOn[host]; u >= 0; u = state.NextOn[u])
                if (model.Home[u] != host) comers.Add(u);
            foreach (var u in comers.OrderByDescending(u => model.Demand[u * model.Resources]).ThenBy(u => u))
            {
                if (!model.Closed[host] && !IsTooFull(host)) break;
                state.Move(u, host, model.Home[u]);
                around.Add(model.Home[u]);
                hosts.Enqueue(model.Home[u]);
            }
        }
    }

    private bool IsTooFull(int host)
    {
        for (var at = host * model.Resources; at < (host + 1) * model.Resources; at++)
            if (state.Loads[at] > Math.Max(model.Limit[at], atHome[at] * (1 + 1e-9))) return true;
        return false;
    }

    private double[] Mean()
    {
        var mean = new double[model.Resources];
        for (var i = 0; i < state.Loads.Length; i++) mean[i % model.Resources] += state.Loads[i] / model.Capacity[i] / model.Hosts;
        return mean;
    }

    private double[] MeanCapacity()
    {
        var unit = new double[model.Resources];
        for (var i = 0; i < model.Capacity.Length; i++) unit[i % model.Resources] += model.Capacity[i] / model.Hosts;
        return unit;
    }

    /// <summary>Hosts that are furthest below the mean, by the objective's weights; and some drawn at random.</summary>
    private void AddPartners(double[] mean)
    {
        var (above, hosts) = (new double[model.Hosts], new int[model.Hosts]);
        for (var h = 0; h < model.Hosts; h++)
        {
            hosts[h] = h;
            if (model.Closed[h]) above[h] = double.PositiveInfinity;
            for (var k = 0; k < model.Resources; k++)
            {
                var share = state.Loads[h * model.Resources + k] / model.Capacity[h * model.Resources + k];
                above[h] += objective.Weight[k] * (share - mean[k]);
                if (share > objective.Knee[k]) above[h] += objective.Steepness[k] * (share - objective.Knee[k]);
            }
        }
        Array.Sort(above, hosts);
        for (var i = 0; i < Math.Min(RoomyHosts, model.Hosts) && !double.IsPositiveInfinity(above[i]); i++) around.Add(hosts[i]);
        var numbers = new SeededNumbers(settings.Seed);
        for (var i = 0; i < OtherHosts; i++) around.Add(numbers.Below(model.Hosts));
    }
}
