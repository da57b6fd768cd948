using System.Runtime.InteropServices;
using Godwit.Cli;
using Godwit.Cli.Commands;

using var stop = new CancellationTokenSource();
// The first signal asks; whoever runs says what it leaves behind and ends. A second one ends at once.
Action<PosixSignalContext> onSignal = signal =>
{
    signal.Cancel = !stop.IsCancellationRequested;
    stop.Cancel();
};
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, onSignal);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, onSignal);
using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, onSignal);

return await CommandTree.RunAsync(Surroundings.OfThisProcess(), args, stop.Token);
