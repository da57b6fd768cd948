using System.Diagnostics;
using System.Globalization;
using Godwit.Roadef;

double D(string s) => double.Parse(s, CultureInfo.InvariantCulture);
var (dir, name, seconds, t0, t1, descend) = (args[0], args[1], D(args[2]), D(args[3]), D(args[4]), D(args[5]));
var instance = Instance.Read($"{dir}/model_{name}.txt", $"{dir}/assignment_{name}.txt");
var lb = long.Parse(File.ReadAllText($"{dir}/lb_{name}.txt"), CultureInfo.InvariantCulture);
var orig = long.Parse(File.ReadAllText($"{dir}/original_cost_{name}.txt"), CultureInfo.InvariantCulture);
var e0 = Evaluator.Judge(instance, instance.First);
Console.WriteLine($"{name} original {e0.Total} {e0.Total == orig} valid {e0.IsValid} lb {lb}");
var c0 = Process.GetCurrentProcess().TotalProcessorTime; var clock = Stopwatch.StartNew();
var a = new[] { new Annealing(instance, instance.First, 1), new Annealing(instance, instance.First, 2) };
Console.WriteLine($"init {clock.Elapsed.TotalSeconds:0.00} {a[0].Cost}");
var mean = 0.0; foreach (var x in a) x.Tournament = args.Length > 6 ? (int)D(args[6]) : 2;
var steps = 20;
for (var seg = 0; seg < steps; seg++)
{
    var end = seconds * (seg + 1) / steps;
    Parallel.For(0, 2, i =>
    {
        while ((Process.GetCurrentProcess().TotalProcessorTime - c0).TotalSeconds / 2 is var now && now < end)
        {
            var x = now / seconds;
            var t = x < descend ? 0 : t0 * Math.Pow(t1 / t0, (x - descend) / (1 - descend));
            a[i].Run(20000, t);
        }
    });
    Console.WriteLine($"{end:0.0} cpu {clock.Elapsed.TotalSeconds:0.0}s cost {a[0].Cost} {a[1].Cost} best {Math.Min(a[0].BestCost, a[1].BestCost)} gap {(Math.Min(a[0].BestCost, a[1].BestCost) - lb) * 100.0 / lb:0.000} % improvement {(orig - Math.Min(a[0].BestCost, a[1].BestCost)) * 100.0 / (orig - lb):0.00} % tried {a[0].Tried / 1e6:0}M");
    var w = a[0].Cost <= a[1].Cost ? 0 : 1;
    if (seg % 4 == 3) a[1 - w].TakeOver(a[w].Current);
}
var best = a.MinBy(x => x.BestCost)!;
var e = Evaluator.Judge(instance, best.Best);
Console.WriteLine($"{e} {e.Total == best.BestCost} {e.IsValid} mean {mean}");
