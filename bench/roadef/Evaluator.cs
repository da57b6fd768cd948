namespace Godwit.Roadef;

/// <summary>What an assignment costs, part by part, and which rules it breaks.</summary>
internal sealed record Evaluation(long Load, long Balance, long ProcessMoves, long ServiceMoves, long MachineMoves,
    IReadOnlyList<string> Broken)
{
    public long Total => Load + Balance + ProcessMoves + ServiceMoves + MachineMoves;
    public bool IsValid => Broken.Count == 0;
}

/// <summary>
/// The challenge's objective and rules, written straight down from their definition and from nothing else: it shares no code with the
/// search, and judges what the search finds.
/// </summary>
internal static class Evaluator
{
    public static Evaluation Judge(Instance instance, IReadOnlyList<int> assignment)
    {
        var broken = new List<string>();
        var usage = new long[instance.Machines, instance.Resources];
        var onTheWay = new long[instance.Machines, instance.Resources];
        for (var p = 0; p < instance.Processes; p++)
            for (var r = 0; r < instance.Resources; r++)
            {
                var amount = instance.Requirement[p * instance.Resources + r];
                usage[assignment[p], r] += amount;
                if (instance.IsTransient[r] && assignment[p] != instance.First[p]) onTheWay[instance.First[p], r] += amount;
            }
        for (var m = 0; m < instance.Machines; m++)
            for (var r = 0; r < instance.Resources; r++)
                if (usage[m, r] + onTheWay[m, r] is var taken && taken > instance.Capacity[m * instance.Resources + r])
                    broken.Add($"machine {m} has {taken} of resource {r}, its capacity is {instance.Capacity[m * instance.Resources + r]}");
        Services(instance, assignment, broken);
        return new(LoadCost(instance, usage), BalanceCost(instance, usage), ProcessMoveCost(instance, assignment),
            ServiceMoveCost(instance, assignment), MachineMoveCost(instance, assignment), broken);
    }

    private static void Services(Instance instance, IReadOnlyList<int> assignment, List<string> broken)
    {
        var machines = new HashSet<int>[instance.Services];
        for (var s = 0; s < instance.Services; s++) machines[s] = [];
        for (var p = 0; p < instance.Processes; p++)
            if (!machines[instance.ServiceOf[p]].Add(assignment[p]))
                broken.Add($"service {instance.ServiceOf[p]} has two processes on machine {assignment[p]}");
        var neighbourhoods = machines.Select(of => of.Select(m => instance.Neighbourhood[m]).ToHashSet()).ToArray();
        for (var s = 0; s < instance.Services; s++)
        {
            var locations = machines[s].Select(m => instance.Location[m]).Distinct().Count();
            if (locations < instance.SpreadMin[s])
                broken.Add($"service {s} is in {locations} locations, it has to be in {instance.SpreadMin[s]}");
            foreach (var needed in instance.DependsOn[s])
                foreach (var without in neighbourhoods[s].Where(n => !neighbourhoods[needed].Contains(n)))
                    broken.Add($"service {s} is in neighbourhood {without}, service {needed}, on which it depends, is not");
        }
    }

    private static long LoadCost(Instance instance, long[,] usage)
    {
        long cost = 0;
        for (var m = 0; m < instance.Machines; m++)
            for (var r = 0; r < instance.Resources; r++)
                cost += instance.LoadWeight[r] * Math.Max(0, usage[m, r] - instance.Safety[m * instance.Resources + r]);
        return cost;
    }

    private static long BalanceCost(Instance instance, long[,] usage)
    {
        long cost = 0;
        foreach (var balance in instance.Balances)
            for (var m = 0; m < instance.Machines; m++)
            {
                var free = instance.Capacity[m * instance.Resources + balance.Of] - usage[m, balance.Of];
                var with = instance.Capacity[m * instance.Resources + balance.With] - usage[m, balance.With];
                cost += balance.Weight * Math.Max(0, balance.Target * free - with);
            }
        return cost;
    }

    private static long ProcessMoveCost(Instance instance, IReadOnlyList<int> assignment) => instance.ProcessMoveWeight
        * Enumerable.Range(0, instance.Processes).Where(p => assignment[p] != instance.First[p]).Sum(p => instance.ProcessMoveCost[p]);

    private static long ServiceMoveCost(Instance instance, IReadOnlyList<int> assignment) => instance.ServiceMoveWeight
        * Enumerable.Range(0, instance.Processes).Where(p => assignment[p] != instance.First[p])
            .GroupBy(p => instance.ServiceOf[p]).Select(moved => (long)moved.Count()).DefaultIfEmpty(0).Max();

    private static long MachineMoveCost(Instance instance, IReadOnlyList<int> assignment) => instance.MachineMoveWeight
        * Enumerable.Range(0, instance.Processes)
            .Sum(p => instance.MachineMoveCost[instance.First[p] * instance.Machines + assignment[p]]);
}
