using Godwit.Roadef;
using Xunit;

namespace Godwit.Tests.PublicProblems;

/// <summary>The challenge's rules on instances worked out by hand, and the search's price of a change beside the whole cost.</summary>
public sealed class RoadefTests
{
    /// <summary>
    /// Two resources (the first transient), three machines in two neighbourhoods and two locations, three services (the first spread
    /// over two locations, the second dependent on the first), four processes, one balance.
    /// </summary>
    private const string Model = """
        2
        1 10
        0 1
        3
        0 0 20 30 10 20 0 2 3
        0 1 20 30 10 20 2 0 4
        1 1 20 30 5 20 3 4 0
        3
        2 0
        1 1 0
        1 0
        4
        0 6 5 7
        0 4 5 1
        1 7 6 2
        2 3 9 3
        1
        0 1 2
        10
        1 10 100
        """;

    private static Instance Read(string first = "0 1 0 1") => Instance.Parse(Model, first);

    [Fact]
    public void The_cost_is_what_the_definition_says()
    {
        var before = Evaluator.Judge(Read(), [0, 1, 0, 1]);
        Assert.True(before.IsValid);
        // Machine 0 has 13 of resource 0, safety 10; machine 1 has 7. Resource 1 is under its safety everywhere.
        Assert.Equal(30, before.Load);
        // 2 × free 0 − free 1: 14 − 19, 26 − 16, 40 − 30.
        Assert.Equal(10 * (10 + 10), before.Balance);
        Assert.Equal(230, before.Total);

        var after = Evaluator.Judge(Read(), [0, 1, 0, 2]);
        // Process 3 moves: its price 3, one move of a service, machine 1 to 2 costs 4.
        Assert.Equal((3, 10, 400), (after.ProcessMoves, after.ServiceMoves, after.MachineMoves));
        Assert.Equal(30, after.Load);
    }

    [Fact]
    public void Every_rule_that_is_broken_is_told()
    {
        Assert.Contains("two processes on machine 0", Assert.Single(Evaluator.Judge(Read("0 1 2 0"), [0, 0, 2, 0]).Broken,
            broken => broken.Contains("two processes", StringComparison.Ordinal)), StringComparison.Ordinal);
        Assert.Contains(Evaluator.Judge(Read(), [1, 2, 0, 0]).Broken, b => b.Contains("in 1 locations", StringComparison.Ordinal));
        Assert.Contains(Evaluator.Judge(Read(), [0, 1, 2, 1]).Broken, b => b.Contains("neighbourhood 1", StringComparison.Ordinal));
        var small = Instance.Parse(Model.Replace("0 0 20 30", "0 0 15 30", StringComparison.Ordinal), "0 1 0 1");
        Assert.Equal("machine 0 has 16 of resource 0, its capacity is 15", Assert.Single(Evaluator.Judge(small, [0, 1, 0, 0]).Broken));
    }

    [Fact]
    public void What_left_a_machine_still_takes_its_transient_resources_there()
    {
        // Processes 0 (6) and 2 (7) leave machine 0 and process 3 (3) and 1 (4) come: 7 run there, 20 are taken, which is all there is.
        var full = Evaluator.Judge(Read(), [1, 0, 1, 0]);
        Assert.DoesNotContain(full.Broken, b => b.StartsWith("machine 0", StringComparison.Ordinal));
        var tighter = Instance.Parse(Model.Replace("0 0 20 30", "0 0 19 30", StringComparison.Ordinal), "0 1 0 1");
        Assert.Contains(Evaluator.Judge(tighter, [1, 0, 1, 0]).Broken, b => b == "machine 0 has 20 of resource 0, its capacity is 19");
        // The search sees it too: the last of the four steps has no room.
        var state = new SearchState(tighter, tighter.First);
        state.Exchange(0, 1, state.PriceOfExchange(0, 1));
        state.Move(2, 1, state.PriceOfMove(2, 1));
        Assert.Equal(SearchState.NotAllowed, state.PriceOfMove(3, 0));
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4)]
    public void The_price_of_every_change_is_the_difference_of_the_whole_costs(int seed)
    {
        var (instance, random) = (RandomInstance(seed), new Random(seed));
        var state = new SearchState(instance, instance.First);
        var (made, refused) = (0, 0);
        for (var n = 0; n < 4000; n++)
        {
            if (n % 1000 == 500) state.GoBy(random.NextDouble());
            if (n % 1000 == 900) state.GoBy(0);
            var (before, target) = (state.Cost, (int[])state.MachineOf.Clone());
            var (p, q, to) = (random.Next(instance.Processes), random.Next(instance.Processes), random.Next(instance.Machines));
            var isMove = random.Next(2) == 0;
            (target[p], target[q]) = isMove ? (to, p == q ? to : target[q]) : (target[q], target[p]);
            var price = isMove ? state.PriceOfMove(p, to) : state.PriceOfExchange(p, q);
            var judged = Evaluator.Judge(instance, target);
            var isChange = !target.AsSpan().SequenceEqual(state.MachineOf);
            // Two of one service that change places change nothing for anybody: the search leaves that out.
            if (isChange && (isMove || instance.ServiceOf[p] != instance.ServiceOf[q]))
                Assert.Equal(judged.IsValid, price != SearchState.NotAllowed);
            if (price == SearchState.NotAllowed)
            {
                refused++;
                continue;
            }
            if (isMove) state.Move(p, to, price);
            else state.Exchange(p, q, price);
            made++;
            Assert.Equal(judged.Total, state.Cost);
        }
        Assert.True(made > 200 && refused > 200, $"{made} made, {refused} refused");
    }

    [Fact]
    public void The_search_finds_better_valid_assignments_and_the_same_for_the_same_seed()
    {
        var instance = RandomInstance(9);
        var before = Evaluator.Judge(instance, instance.First);
        var settings = new SolverSettings(TriesPerThread: 60_000);
        var (assignment, cost) = new Solver(instance, settings).Solve();
        var after = Evaluator.Judge(instance, assignment);
        Assert.True(after.IsValid, string.Join("; ", after.Broken.Take(3)));
        Assert.Equal(after.Total, cost);
        Assert.True(cost < before.Total / 2, $"{before.Total} -> {cost}");
        Assert.Equal(assignment, new Solver(instance, settings).Solve().Assignment);
    }

    [Theory, InlineData("2\n1 10\n0"), InlineData("1\n1 -4"), InlineData("x")]
    public void A_text_that_is_no_model_is_refused(string model) =>
        Assert.Throws<InvalidDataException>(() => Instance.Parse(model, "0"));

    private static Instance RandomInstance(int seed)
    {
        var random = new Random(seed);
        const int resources = 3, machines = 8, services = 25, processes = 60;
        var first = new int[processes];
        var (serviceOf, usage) = (new int[processes], new long[machines * resources]);
        var requirement = Enumerable.Range(0, processes * resources).Select(_ => (long)random.Next(1, 60)).ToArray();
        for (var p = 0; p < processes; p++)
        {
            // Three processes a service at most, on machines of their own; the first half of the machines is crowded.
            serviceOf[p] = p % services;
            first[p] = (serviceOf[p] + p / services) % (machines / 2);
            for (var r = 0; r < resources; r++) usage[first[p] * resources + r] += requirement[p * resources + r];
        }
        var neighbourhood = Enumerable.Range(0, machines).Select(m => m % 3).ToArray();
        var inNeighbourhood = Enumerable.Range(0, services)
            .Select(s => Enumerable.Range(0, processes).Where(p => serviceOf[p] == s).Select(p => neighbourhood[first[p]]).ToHashSet())
            .ToArray();
        return new Instance
        {
            Resources = resources, Machines = machines, Services = services, Processes = processes, IsTransient = [true, false, false],
            LoadWeight = [10, 5, 1], Neighbourhood = neighbourhood, Location = [.. Enumerable.Range(0, machines).Select(m => m / 2)],
            Capacity = [.. usage.Select(_ => usage.Max() * 11 / 10)], Safety = [.. usage.Select(_ => usage.Sum() / usage.Length)],
            MachineMoveCost = [.. Enumerable.Range(0, machines * machines).Select(i => i % (machines + 1) == 0 ? 0 : (long)random.Next(5))],
            SpreadMin = [.. Enumerable.Range(0, services).Select(s => s % 2)],
            // Only such dependencies as hold at first.
            DependsOn = [.. Enumerable.Range(0, services).Select(s =>
                Enumerable.Range(0, services).Where(d => d != s && inNeighbourhood[s].IsSubsetOf(inNeighbourhood[d])).Take(1).ToArray())],
            ServiceOf = serviceOf, Requirement = requirement, ProcessMoveCost = [.. Enumerable.Range(0, processes).Select(p => p % 7L)],
            Balances = [new(0, 1, 2, 3)], ProcessMoveWeight = 1, ServiceMoveWeight = 10, MachineMoveWeight = 2, First = first,
        };
    }
}
