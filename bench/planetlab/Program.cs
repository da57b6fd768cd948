using System.Diagnostics;
using System.Globalization;
using Godwit.Core.Consolidation;
using Godwit.Core.Replay;
using Godwit.PlanetLab;

if (args[0] == "tune")
{
    var lr = new Dictionary<string, (double E, int M, double V)> { ["20110303"] = (163.48, 27859, 7.59e-3), ["20110309"] = (142.09, 24959, 8.55e-3), ["20110411"] = (176.12, 31960, 8.62e-3) };
    var clusters = lr.Keys.ToDictionary(k => k, k => PlanetLabDay.Read("/tmp/pubdata/" + k, 4096));
    foreach (var line in args[1..])
    {
        var p = new ConsolidationPolicy();
        foreach (var set in line.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var kv = set.Split('=');
            var prop = typeof(ConsolidationPolicy).GetProperty(kv[0])!;
            prop.SetValue(p, Convert.ChangeType(kv[1], prop.PropertyType, CultureInfo.InvariantCulture));
        }
        var worst = 0.0;
        var text = ""; var J = new double[2];
        foreach (var vanish in new[] { true, false })
        {
            var lim = vanish ? (0.72, 0.07, 0.01) : (0.9, 0.09, 0.02);
            var rows = new string[3];
            Parallel.For(Environment.GetEnvironmentVariable("DBG") is null ? 0 : 1, Environment.GetEnvironmentVariable("DBG") is null ? 3 : 2, new ParallelOptions { MaxDegreeOfParallelism = 2 }, i =>
            {
                var k = lr.Keys.ElementAt(i);
                var c = clusters[k];
                
                var r = ReplayRun.Of(c, PlanetLabDay.Rules(vanish, false), FirstPlacement.LeastPower(c), new ConsolidationInReplay(p));
                var w = Math.Max(r.EnergyKwh / lr[k].E / lim.Item1, Math.Max(r.Moves / (double)lr[k].M / lim.Item2, r.EnergyTimesViolation / lr[k].V / lim.Item3));
                lock (lr) { worst = Math.Max(worst, w); J[vanish ? 0 : 1] += (34 * Math.Log(r.EnergyKwh / lr[k].E / lim.Item1) + Math.Log(r.Moves / (double)lr[k].M / lim.Item2) + Math.Log(r.EnergyTimesViolation / lr[k].V / lim.Item3)) / 3; }
                rows[i] = $"| {r.EnergyKwh / lr[k].E:0.000} {r.Moves / (double)lr[k].M:0.0000} {r.EnergyTimesViolation / lr[k].V:0.0000} (S {r.OverloadShare * 100:0.00} P {r.LostByMoves * 100:0.0000} h {r.MeanActiveHosts:0.0} r{r.Returns})";
            });
            text += $"\n   {(vanish ? "like" : "all ")} {string.Join(" ", rows)}";
        }
        Console.WriteLine($"{worst:0.000} J {J[0]:0.00} {J[1]:0.00}: {line}{text}");
    }
    return;
}
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
    Row("Godwit", least, new ConsolidationInReplay(new()));
}
