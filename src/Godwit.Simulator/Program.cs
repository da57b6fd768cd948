using System.Globalization;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;

// godwit-sim --seed N [--runs R] [--quiet]: one random story, or R of them from N on. The same seed, the same output.
ulong seed = 1;
var (runs, quiet) = (1, false);
for (var i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--seed" when i + 1 < args.Length: seed = ulong.Parse(args[++i], CultureInfo.InvariantCulture); break;
        case "--runs" when i + 1 < args.Length: runs = int.Parse(args[++i], CultureInfo.InvariantCulture); break;
        case "--quiet": quiet = true; break;
        default:
            Console.Error.WriteLine("godwit-sim [--seed N] [--runs R] [--quiet]");
            return 2;
    }
}

var failed = 0;
for (var last = seed + (ulong)runs; seed < last; seed++)
{
    var knobs = WorldKnobs.FromSeed(seed);
    if (!quiet) Console.WriteLine($"seed {seed}: {knobs}");
    try
    {
        var result = World.Run(seed, w => new RandomStory(w).TellAsync(), knobs, quiet ? null : Console.WriteLine);
        if (!quiet)
            Console.WriteLine($"seed {seed}: ok, {result.Steps} steps, "
                + $"{result.Time.TotalSeconds:0.000} s of virtual time, hash {result.Hash:x16}");
    }
    catch (SimFailedException failure)
    {
        failed++;
        Console.WriteLine($"seed {seed}: FAILED {(quiet ? failure.Message.Split('\n')[0] : failure.Message)}");
    }
}
if (quiet) Console.WriteLine($"{runs - failed} of {runs} runs ok");
return failed == 0 ? 0 : 1;
