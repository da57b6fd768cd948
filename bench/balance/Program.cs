using System.Diagnostics;
using System.Globalization;
using Godwit.Balance;
using Godwit.Core.Balance;

var cluster = GeneratedCluster.Read(args[0]);
double Arg(string name, double d) => args.FirstOrDefault(a => a.StartsWith(name + "=")) is { } a ? double.Parse(a[(name.Length + 1)..], CultureInfo.InvariantCulture) : d;
for (var run = 0; run < (int)Arg("runs", 2); run++)
{
    var clock = Stopwatch.StartNew();
    var cpu = Process.GetCurrentProcess().TotalProcessorTime;
    var model = cluster.AsHbalSeesIt();
    var loud = run == (int)Arg("runs", 2) - 1;
    var d = new SearchSettings();
    var b = new Balancer(model, GeneratedCluster.HbalObjective, new SearchSettings
    {
        Price = Arg("p", 0.2), TrialsPerUnit = (int)Arg("t", d.TrialsPerUnit), Hot = (float)Arg("hot", d.Hot), Cold = (float)Arg("cold", d.Cold),
        MovesMax = (int)Arg("max", d.MovesMax), Rounds = (int)Arg("r", d.Rounds), CellHosts = (int)Arg("c", d.CellHosts),
    }, Arg("threads", 1) > 1 ? new Threads((int)Arg("threads", 1)) : new OneByOne());
    if (loud) b.Say = s => Console.WriteLine($"{clock.Elapsed.TotalMilliseconds:0} ms {s}");
    b.Search();
    if (loud) Console.WriteLine($"cpu {(Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalMilliseconds:0} ms");
}
