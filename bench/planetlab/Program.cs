using System.Diagnostics;
using Godwit.Core.Replay;
using Godwit.PlanetLab;

foreach (var day in args)
{
    var cluster = PlanetLabDay.Read(day, 4096);
    void Row(string name, int[] first, IReplayPolicy policy)
    {
        var clock = Stopwatch.StartNew();
        var r = ReplayRun.Of(cluster, PlanetLabDay.Rules(true, false), first, policy);
        Console.WriteLine($"{Path.GetFileName(day)} {name,-14} {r.EnergyKwh,8:0.00} {r.Moves,6} SLATAH {r.OverloadShare * 100:0.00} PDM {r.LostByMoves * 100:0.000} SLAV {r.Violation * 100:0.00000} overall {r.LostInAll*100:0.00} ESV {r.EnergyTimesViolation:0.00e0} sleeps {r.Sleeps} hosts {r.MeanActiveHosts:0.0} left {r.VmsLeft} returns {r.Returns} {clock.Elapsed.TotalSeconds:0.0}s");
    }
    var least = FirstPlacement.LeastPower(cluster);
    Console.WriteLine(least.Distinct().Count());
    Row("DVFS", FirstPlacement.FirstFit(cluster), new NoMoves());
    foreach (var p in new[] { new PaperPolicy(new LocalRegression(1.2), Selection.LeastMemory), new PaperPolicy(new Threshold(0.8), Selection.LeastMemory),
        new PaperPolicy(new QuartileRange(1.5), Selection.LeastMemory), new PaperPolicy(new MedianDeviation(2.5), Selection.LeastMemory),
        new PaperPolicy(new Threshold(0.8), Selection.LeastLoad), new PaperPolicy(new LocalRegression(1.2), Selection.LeastLoad) })
        Row(p.Name, least, p);
}
