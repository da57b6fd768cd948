using System.Diagnostics;
using System.Globalization;
using Godwit.Balance;
using Godwit.Core.Balance.Search;

var cluster = GeneratedCluster.Read(args[0]);
double Arg(string name, double d) => args.FirstOrDefault(a => a.StartsWith(name + "=")) is { } a ? double.Parse(a[(name.Length + 1)..], CultureInfo.InvariantCulture) : d;
for (var run = 0; run < (int)Arg("runs", 2); run++)
{
    var clock = Stopwatch.StartNew();
    var cpu = Process.GetCurrentProcess().TotalProcessorTime;
    var model = cluster.AsHbalSeesIt();
    var loud = run == (int)Arg("runs", 2) - 1;
    var d = new SearchSettings { Price = Arg("p", 0.2) };
    var b = new ClusterSearch(model, GeneratedCluster.HbalObjective, d with
    {
        Trials = (int)Arg("t", d.Trials), MovesMax = (int)Arg("max", d.MovesMax), Rounds = (int)Arg("r", d.Rounds), CellHosts = (int)Arg("c", d.CellHosts),
    }, Arg("threads", 1) > 1 ? new Threads((int)Arg("threads", 1)) : new OneByOne());
    string Say(double score, int moves) => $"J {score + d.Price * moves:0.000} | {score / model.Hosts:0.00000} moves {moves}";
    var result = b.Search(p =>
    {
        if (loud) Console.WriteLine($"{clock.Elapsed.TotalMilliseconds:0} ms round {p.Round} {Say(p.Score, p.Moves)}");
    });
    var loads = new double[model.Hosts * 6];
    model.LoadsOf(result.HostOf, loads);
    if (loud) Console.WriteLine($"{clock.Elapsed.TotalMilliseconds:0} ms {Say(GeneratedCluster.HbalObjective.Score(model, loads), Enumerable.Range(0, model.Units).Count(i => result.HostOf[i] != model.Home[i]))} settled {result.Settled} cpu {(Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalMilliseconds:0} ms {result.Judged / 1e6:0} M");
}
