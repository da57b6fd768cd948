using System.Diagnostics;
using Godwit.Core.Consolidation;
using Godwit.Core.Replay;
using Godwit.PlanetLab;

// Each day in four worlds. In the first the paper's policies beside CloudSim's own figures, and ours beside the best of them.
if (args.Length == 0 || !args.All(Directory.Exists))
{
    Console.Error.WriteLine("""
        godwit-planetlab DAY...

        DAY is a directory with one file for each VM, 288 lines of load in per cent; its name is the day's (20110303).
        """);
    return 2;
}

const double Experiment = 4096, Larger = 16384;
var missed = 0;
foreach (var directory in args)
{
    var day = Path.GetFileName(Path.TrimEndingDirectorySeparator(directory));
    var cluster = PlanetLabDay.Read(directory, Experiment);
    Console.WriteLine($"\n{day}: {cluster.Vms.Count} VMs");
    Console.WriteLine("world                    policy           kWh   moves  overload  lost by  energy x   active back in");
    Console.WriteLine("                                                        time %   moves %  violation   hosts   an hour");

    var likeForLike = PlanetLabDay.Rules(idleVmsVanish: true, memoryIsHard: false);
    Console.WriteLine(FormattableString.Invariant($"{"like for like",-24} {"NPA",-12} {AllOn(cluster, likeForLike),8:0.00}       0"));
    Run("like for like", "DVFS", cluster, likeForLike, FirstPlacement.FirstFit(cluster), new NoMoves(), null);
    var first = FirstPlacement.LeastPower(cluster);
    var reference = Paper("like for like", new(new LocalRegression(1.2), Selection.LeastMemory), cluster, likeForLike, null);
    foreach (var policy in new PaperPolicy[]
    {
        new(new Threshold(0.8), Selection.LeastMemory), new(new QuartileRange(1.5), Selection.LeastMemory),
        new(new MedianDeviation(2.5), Selection.LeastMemory), new(new Threshold(0.8), Selection.LeastLoad),
        new(new LocalRegression(1.2), Selection.LeastLoad),
    }) Paper("like for like", policy, cluster, likeForLike, null);
    Run("like for like", "godwit", cluster, likeForLike, first, new ConsolidationInReplay(new()), reference);

    var all = PlanetLabDay.Rules(idleVmsVanish: false, memoryIsHard: false);
    Both("all VMs kept", cluster, all);
    Both("all kept, 16 GB enforced", PlanetLabDay.Read(directory, Larger), PlanetLabDay.Rules(idleVmsVanish: false, memoryIsHard: true));
    Both("all kept, waking 60 s", cluster, PlanetLabDay.Rules(idleVmsVanish: false, memoryIsHard: false, wakeSeconds: 60));

    void Both(string world, ReplayCluster there, ReplayRules rules)
    {
        Paper(world, new(new LocalRegression(1.2), Selection.LeastMemory), there, rules, reference);
        Run(world, "godwit", there, rules, FirstPlacement.LeastPower(there), new ConsolidationInReplay(new()), reference);
    }

    ReplayResult Paper(string world, PaperPolicy policy, ReplayCluster there, ReplayRules rules, ReplayResult? beside) =>
        Run(world, policy.Name, there, rules, FirstPlacement.LeastPower(there), policy, beside);

    ReplayResult Run(
        string world, string name, ReplayCluster there, ReplayRules rules, int[] placement, IReplayPolicy policy, ReplayResult? beside)
    {
        var clock = Stopwatch.StartNew();
        var r = ReplayRun.Of(there, rules, placement, policy);
        var note = beside is null ? Reproduced(name, r)
            : FormattableString.Invariant($"x LR: {r.EnergyKwh / beside.EnergyKwh:0.000} {r.Moves / (double)beside.Moves:0.000} ")
                + FormattableString.Invariant($"{r.EnergyTimesViolation / beside.EnergyTimesViolation:0.0000}");
        Console.WriteLine(FormattableString.Invariant($"{world,-24} {name,-12} {r.EnergyKwh,8:0.00} {r.Moves,7}")
            + FormattableString.Invariant($" {r.OverloadShare * 100,9:0.00} {r.LostByMoves * 100,9:0.0000}")
            + FormattableString.Invariant($" {r.EnergyTimesViolation,10:0.00e+0} {r.MeanActiveHosts,7:0.0}")
            + FormattableString.Invariant($" {r.Returns,9}  {note} ({clock.Elapsed.TotalSeconds:0.0} s)"));
        return r;
    }

    string Reproduced(string name, ReplayResult r)
    {
        if (CloudSimFigures.Of(day, name) is not var (kwh, migrations)) return "";
        var isNear = Math.Abs(r.EnergyKwh - kwh) <= kwh / 100 && Math.Abs(r.Moves - migrations) <= migrations / 100.0;
        if (!isNear) missed++;
        return FormattableString.Invariant($"CloudSim: {kwh:0.00} {migrations}{(isNear ? "" : ", MORE THAN 1 % AWAY")}");
    }
}
return missed == 0 ? 0 : 1;

static double AllOn(ReplayCluster cluster, ReplayRules rules)
{
    var ticks = Math.Floor((rules.EndSeconds - rules.FirstTickSeconds) / rules.TickSeconds) + 1;
    return cluster.Hosts.Sum(host => host.Power.Full) * ticks * rules.TickSeconds / 3.6e6;
}
