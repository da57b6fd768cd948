using Godwit.Core.Migration;

namespace Godwit.Simulator.Stories;

/// <summary>What a random run did, for the line at its end.</summary>
public sealed class RunCounts
{
    private readonly SortedDictionary<string, long> _moves = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, long> _faults = new(StringComparer.Ordinal);

    public long Moves => _moves.Values.Sum();
    public long Faults => _faults.Values.Sum();
    /// <summary>Requests of people beside moves: start, stop, pause, save, cancel and so on.</summary>
    public long Requests { get; private set; }
    public IReadOnlyDictionary<string, long> MovesByEnd => _moves;
    public IReadOnlyDictionary<string, long> FaultsByKind => _faults;

    public void Count(Fault fault) => Add(_faults, fault.ToString(), 1);
    public void Count(MoveEnd end) => Add(_moves, end.ToString(), 1);
    public void CountRequest() => Requests++;

    public void Add(RunCounts other)
    {
        foreach (var (end, count) in other._moves) Add(_moves, end, count);
        foreach (var (fault, count) in other._faults) Add(_faults, fault, count);
        Requests += other.Requests;
    }

    public override string ToString() =>
        $"{Moves} moves ({Listed(_moves)}), {Requests} other requests, {Faults} faults ({Listed(_faults)})";

    private static void Add(SortedDictionary<string, long> counts, string what, long count) =>
        counts[what] = counts.GetValueOrDefault(what) + count;

    private static string Listed(SortedDictionary<string, long> counts) => string.Join(", ", counts.Select(c => $"{c.Key} {c.Value}"));
}
