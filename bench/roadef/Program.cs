using System.Diagnostics;
using System.Globalization;
using Godwit.Roadef;

// Each instance of a directory, one after another: what it cost, what it costs after 5 s and in the end, and how far that is from its
// lower bound.
if (args is not [var directory, .. var rest] || !Directory.Exists(directory)) return Usage();
var (seconds, only, countsCpu) = (60.0, "", false);
for (var i = 0; i < rest.Length; i++)
{
    if (rest[i] == "--cpu") countsCpu = true;
    else if (rest[i] == "--seconds" && i + 1 < rest.Length) seconds = double.Parse(rest[++i], CultureInfo.InvariantCulture);
    else if (rest[i] == "--only" && i + 1 < rest.Length) only = rest[++i];
    else return Usage();
}

var failed = 0;
foreach (var model in Directory.GetFiles(directory, "model_*.txt", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
{
    var name = Path.GetFileNameWithoutExtension(model)["model_".Length..];
    if (name.Contains(only, StringComparison.Ordinal)) failed += Measure(name, Path.GetDirectoryName(model)!) ? 0 : 1;
}
return failed == 0 ? 0 : 1;

bool Measure(string name, string folder)
{
    string At(string kind) => Path.Combine(folder, $"{kind}_{name}.txt");
    long Number(string kind) => long.Parse(File.ReadAllText(At(kind)), CultureInfo.InvariantCulture);
    var (clock, cpuBefore) = (Stopwatch.StartNew(), Environment.CpuUsage.TotalTime);
    var settings = new SolverSettings(0);
    double CpuSeconds() => (Environment.CpuUsage.TotalTime - cpuBefore).TotalSeconds;
    double Passed() => countsCpu ? CpuSeconds() / settings.Threads : clock.Elapsed.TotalSeconds;

    var instance = Instance.Read(At("model"), At("assignment"));
    var (published, bound) = (Number("original_cost"), Number("lb"));
    var before = Evaluator.Judge(instance, instance.First);
    var early = before.Total;
    var (assignment, cost) = new Solver(instance, settings with { Progress = () => Passed() / seconds })
        .Solve(best => early = Passed() <= 5 ? best : early);
    var after = Evaluator.Judge(instance, assignment);

    var isRight = before.Total == published && before.IsValid && after.IsValid && after.Total == cost;
    Console.WriteLine(FormattableString.Invariant(
        $"{name}: {before.Total}{(before.Total == published ? " as published" : $" but {published} is published")}; ")
        + FormattableString.Invariant($"after 5 s {early} ({Share(before.Total - early, before.Total - after.Total)} of the improvement); ")
        + FormattableString.Invariant($"{after.Total}, {Share(after.Total - bound, bound)} above {bound}; ")
        + FormattableString.Invariant($"{clock.Elapsed.TotalSeconds:0} s, {CpuSeconds():0} s CPU; ")
        + (isRight ? "valid" : $"WRONG: {string.Join("; ", after.Broken.Take(3))}, the search says {cost}"));
    return isRight;
}

static string Share(long part, long whole) =>
    whole == 0 ? "-" : (100.0 * part / whole).ToString("0.000", CultureInfo.InvariantCulture) + " %";

static int Usage()
{
    Console.Error.WriteLine("""
        godwit-roadef DIRECTORY [--seconds N] [--only NAME] [--cpu]

        DIRECTORY has model_X.txt, assignment_X.txt, lb_X.txt and original_cost_X.txt for each instance X, also in folders.
        --seconds N   for each instance, reading it included; 60 otherwise
        --only NAME   instances whose name contains it
        --cpu         seconds of processor time divided by the threads, for a machine that is busy with other work
        """);
    return 2;
}
