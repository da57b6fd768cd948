using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>
/// The drain beside its bound: each host by itself must send away at least the lightest set that brings it under; all hosts together
/// no less than the sum. Where a plan moves just that much, it is proved to be the best. What the bound leaves open, CP-SAT decides
/// (bench/judge).
/// </summary>
internal static class DrainBound
{
    public static int Run(string[] args)
    {
        if (args.Length != 4) return 2;
        using var programs = new OutsidePrograms(args[0]);
        var problem = new DrainProblem(programs.Generate(args[1], args[2], args[3]));
        LeastMoved.Find(problem.Model);
        var found = Measured.Of(() => LeastMoved.Find(problem.Model));
        var ((over, left), moved) = (problem.Flaws(found.Result.HostOf), problem.MovedGiB(found.Result.HostOf));
        Console.WriteLine($"{args[1]}/{args[2]} seed {args[3]}: {moved:0} GiB moved, bound {found.Result.Bound:0} GiB "
            + $"(gap {(moved - found.Result.Bound) / found.Result.Bound:P2}); left on host 0: {left}, over a ceiling: {over}; "
            + found.Times);
        return 0;
    }
}
