using System.Globalization;
using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>hbal's own score, with 70 % of its moves and with as many; hbal judges both.</summary>
internal static class CompareWithHbal
{
    /// <summary>Nearly nothing: the number of moves is the bound here, as hbal knows no price.</summary>
    private const double Price = 0.02;

    public static int Run(string[] args)
    {
        if (args.Length is not (4 or 6)) return 2;
        using var programs = new OutsidePrograms(args[0]);
        var cluster = programs.Generate(args[1], args[2], args[3]);
        var (score, moves, cpu) = args.Length == 4 ? programs.Balance()
            : (double.Parse(args[4], CultureInfo.InvariantCulture), int.Parse(args[5], CultureInfo.InvariantCulture), double.NaN);
        Console.WriteLine($"{args[1]}/{args[2]} seed {args[3]}: hbal {score:0.00000} with {moves} moves, {cpu:0.0} s CPU");
        Find(cluster, moves); // Compiled, once.
        foreach (var (movesMax, wanted) in new[] { ((int)(0.7 * moves), 1.0), (moves, 0.75) })
        {
            var found = Measured.Of(() => Find(cluster, movesMax));
            var judged = programs.Judge(cluster, found.Result.HostOf);
            var made = cluster.Vms.Where((vm, i) => found.Result.HostOf[i] != vm.Host).Count();
            Console.WriteLine($"  ours {judged:0.00000} with {made} moves: score x{judged / score:0.000} (wanted <= {wanted}), "
                + $"moves x{(double)made / moves:0.00}; {found.Times}");
        }
        return 0;
    }

    private static SearchResult Find(GeneratedCluster cluster, int movesMax) => ClusterSearch.Find(
        cluster.AsHbalSeesIt(), GeneratedCluster.HbalObjective, new SearchSettings { Price = Price, MovesMax = movesMax }, new Threads(2));
}
