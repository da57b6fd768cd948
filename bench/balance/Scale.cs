using System.Diagnostics;
using System.Globalization;
using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>Large clusters: the same search on one thread and on two.</summary>
internal static class Scale
{
    public static int Run(string[] args)
    {
        if (args.Length != 6) return 2;
        using var programs = new OutsidePrograms(args[0]);
        var cluster = programs.Generate(args[1], args[2], args[3]);
        var settings = new SearchSettings
        {
            Price = 0.02, MovesMax = int.Parse(args[4], CultureInfo.InvariantCulture),
            Rounds = int.Parse(args[5], CultureInfo.InvariantCulture),
        };
        var results = new List<int[]>();
        foreach (var threads in new[] { 2, 1, 2 })
        {
            GC.Collect();
            var (clock, cpu) = (Stopwatch.StartNew(), Process.GetCurrentProcess().TotalProcessorTime);
            var (before, lines) = (double.NaN, new List<string>());
            var found = Measured.Of(() =>
            {
                var model = cluster.AsHbalSeesIt();
                before = ScoreOf(model, model.Home);
                ICellRunner runner = threads == 1 ? new OneByOne() : new Threads(threads);
                return new ClusterSearch(model, GeneratedCluster.HbalObjective, settings, runner).Search(progress =>
                {
                    var used = Process.GetCurrentProcess().TotalProcessorTime - cpu;
                    lines.Add($"    round {progress.Round}: {progress.Score / model.Hosts:0.00000}, {progress.Moves} moves, "
                        + $"{clock.Elapsed.TotalSeconds:0.00} s wall, {used.TotalSeconds:0.00} s CPU");
                });
            });
            var after = ScoreOf(cluster.AsHbalSeesIt(), found.Result.HostOf);
            var made = cluster.Vms.Where((vm, i) => found.Result.HostOf[i] != vm.Host).Count();
            Console.WriteLine($"  {threads} threads: {before:0.00000} -> {after:0.00000} with {made} moves; {found.Times}; "
                + $"{Process.GetCurrentProcess().PeakWorkingSet64 >> 20} MiB, {found.Result.Judged / 1e6:0} M placements judged");
            lines.ForEach(Console.WriteLine);
            results.Add(found.Result.HostOf);
        }
        var same = results.All(hostOf => hostOf.AsSpan().SequenceEqual(results[0]));
        Console.WriteLine($"  the same placement on one thread and on two: {same}");
        return 0;
    }

    private static double ScoreOf(BalanceModel model, int[] hostOf)
    {
        var loads = new double[model.Hosts * model.Resources];
        model.LoadsOf(hostOf, loads);
        return GeneratedCluster.HbalObjective.Score(model, loads) / model.Hosts;
    }
}
