using System.Globalization;

namespace Godwit.Roadef;

/// <summary>
/// One problem of the Google ROADEF/EURO challenge 2012: processes that have machines, and may have better ones. Amounts are in the
/// challenge's own units. Flat arrays: resource <c>r</c> of machine <c>m</c> stands at <c>[m * Resources + r]</c>, processes alike.
/// </summary>
internal sealed class Instance
{
    public required int Resources { get; init; }
    public required int Machines { get; init; }
    public required int Services { get; init; }
    public required int Processes { get; init; }
    /// <summary>A process on its way takes these on both machines.</summary>
    public required bool[] IsTransient { get; init; }
    public required long[] LoadWeight { get; init; }
    public required int[] Neighbourhood { get; init; }
    public required int[] Location { get; init; }
    public required long[] Capacity { get; init; }
    public required long[] Safety { get; init; }
    /// <summary>[from * Machines + to].</summary>
    public required long[] MachineMoveCost { get; init; }
    /// <summary>Locations that a service has to be in, at least.</summary>
    public required int[] SpreadMin { get; init; }
    /// <summary>Services that have to be in every neighbourhood where the service is.</summary>
    public required int[][] DependsOn { get; init; }
    public required int[] ServiceOf { get; init; }
    public required long[] Requirement { get; init; }
    public required long[] ProcessMoveCost { get; init; }
    public required Balance[] Balances { get; init; }
    public required long ProcessMoveWeight { get; init; }
    public required long ServiceMoveWeight { get; init; }
    public required long MachineMoveWeight { get; init; }
    /// <summary>Where each process runs before.</summary>
    public required int[] First { get; init; }

    /// <summary>For each unit of free <see cref="Of"/>, <see cref="Target"/> units of <see cref="With"/> shall be free.</summary>
    internal readonly record struct Balance(int Of, int With, long Target, long Weight);

    public int Neighbourhoods => Neighbourhood.Max() + 1;
    public int Locations => Location.Max() + 1;

    /// <summary>Reads a model and its original assignment. Throws where they are cut short or name what is not there.</summary>
    public static Instance Read(string modelFile, string assignmentFile) =>
        Parse(File.ReadAllText(modelFile), File.ReadAllText(assignmentFile));

    public static Instance Parse(string model, string assignment)
    {
        var numbers = new Numbers(model);
        var resources = numbers.Count();
        var (transient, loadWeight) = (new bool[resources], new long[resources]);
        for (var r = 0; r < resources; r++) (transient[r], loadWeight[r]) = (numbers.Next() == 1, numbers.Next());

        var machines = numbers.Count();
        var (neighbourhood, location) = (new int[machines], new int[machines]);
        var (capacity, safety) = (new long[machines * resources], new long[machines * resources]);
        var moveCost = new long[machines * machines];
        for (var m = 0; m < machines; m++)
        {
            (neighbourhood[m], location[m]) = (numbers.Count(), numbers.Count());
            for (var r = 0; r < resources; r++) capacity[m * resources + r] = numbers.Next();
            for (var r = 0; r < resources; r++) safety[m * resources + r] = numbers.Next();
            for (var to = 0; to < machines; to++) moveCost[m * machines + to] = numbers.Next();
        }

        var services = numbers.Count();
        var (spread, dependsOn) = (new int[services], new int[services][]);
        for (var s = 0; s < services; s++)
        {
            spread[s] = numbers.Count();
            dependsOn[s] = new int[numbers.Count()];
            for (var d = 0; d < dependsOn[s].Length; d++) dependsOn[s][d] = numbers.Index(services);
        }

        var processes = numbers.Count();
        var (serviceOf, requirement, processMoveCost) = (new int[processes], new long[processes * resources], new long[processes]);
        for (var p = 0; p < processes; p++)
        {
            serviceOf[p] = numbers.Index(services);
            for (var r = 0; r < resources; r++) requirement[p * resources + r] = numbers.Next();
            processMoveCost[p] = numbers.Next();
        }

        var balances = new Balance[numbers.Count()];
        for (var b = 0; b < balances.Length; b++)
            balances[b] = new(numbers.Index(resources), numbers.Index(resources), numbers.Next(), numbers.Next());
        var (processWeight, serviceWeight, machineWeight) = (numbers.Next(), numbers.Next(), numbers.Next());

        var places = new Numbers(assignment);
        var first = new int[processes];
        for (var p = 0; p < processes; p++) first[p] = places.Index(machines);
        return new Instance
        {
            Resources = resources, Machines = machines, Services = services, Processes = processes, IsTransient = transient,
            LoadWeight = loadWeight, Neighbourhood = neighbourhood, Location = location, Capacity = capacity, Safety = safety,
            MachineMoveCost = moveCost, SpreadMin = spread, DependsOn = dependsOn, ServiceOf = serviceOf, Requirement = requirement,
            ProcessMoveCost = processMoveCost, Balances = balances, ProcessMoveWeight = processWeight,
            ServiceMoveWeight = serviceWeight, MachineMoveWeight = machineWeight, First = first,
        };
    }

    /// <summary>Numbers of a text, one after another.</summary>
    private sealed class Numbers(string text)
    {
        private int at;

        public long Next()
        {
            while (at < text.Length && char.IsWhiteSpace(text[at])) at++;
            var start = at;
            while (at < text.Length && !char.IsWhiteSpace(text[at])) at++;
            return long.TryParse(text.AsSpan(start, at - start), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number
                : throw new InvalidDataException($"a number was expected at character {start}, there is '{text[start..at]}'");
        }

        public int Count() => Next() is var number && number <= 10_000_000 ? (int)number
            : throw new InvalidDataException($"{number} before character {at} is larger than any count");

        public int Index(int limit) => Next() is var number && number < limit ? (int)number
            : throw new InvalidDataException($"{number} before character {at} names nothing: there are {limit}");
    }
}
