using System.Runtime.InteropServices;
using Godwit.Cli.Lab;
using Godwit.Moves;

// bench/run-moves starts this: RESULTS-DIRECTORY [--runs N] [--only small|big|hot|refresh|idle]
//                                or: RESULTS-DIRECTORY --quotes ROUNDS [--link RATE] [--guests WORD]
if (BenchOptions.Parse(args) is not { } options)
{
    var parts = string.Join('|', BenchOptions.Parts);
    Console.Error.WriteLine($"run-moves [--runs 1..{BenchOptions.RunsMax}] [--only {parts}]");
    var links = string.Join('|', QuoteGrid.Links.Select(link => link.Rate));
    Console.Error.WriteLine($"run-moves --quotes 1..{BenchOptions.RunsMax} [--link {links}] [--guests idle|bursty|periodic|…]");
    return 2;
}

using var stop = new CancellationTokenSource();
void Stop(PosixSignalContext signal)
{
    signal.Cancel = true; // The lab is removed first; then the program ends by itself.
    stop.Cancel();
}
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);

try
{
    // What was measured before an error or a Ctrl-C is worth having: both finish whatever happens.
    if (options.QuoteRounds > 0)
    {
        var figures = new QuoteFigures(options.ResultsDirectory);
        try { await QuoteGrid.RunAsync(figures, options, stop.Token); }
        finally { figures.Finish(); }
        return 0;
    }
    var report = new Report(options);
    try { await MoveBench.RunAsync(options, report, stop.Token); }
    finally { report.Finish(); }
    return 0;
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    Console.Error.WriteLine("run-moves: interrupted; the lab is removed");
    return 130;
}
catch (LabException reason)
{
    Console.Error.WriteLine($"run-moves: {reason.Message}");
    return 1;
}
