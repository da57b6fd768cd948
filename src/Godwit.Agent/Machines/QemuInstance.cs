using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Qmp;

namespace Godwit.Agent.Machines;

/// <summary>One running QEMU of a VM and the monitor to it. Disposing lets go of the monitor; QEMU runs on.</summary>
public sealed class QemuInstance(
    VmHome home, InstanceRecord record, QmpClient qmp, IProcesses processes) : IAsyncDisposable
{
    private static readonly TimeSpan KillProofMax = TimeSpan.FromSeconds(30);

    public VmHome Home { get; } = home;
    public InstanceRecord Record { get; } = record;
    public int Incarnation => Record.Incarnation;
    public ProcessHandle Process => Record.Process;
    public QmpClient Qmp { get; } = qmp;
    public string RamPath => Home.Ram(Record.RamOf);
    public string IncomingSocket => Home.IncomingSocket(Incarnation);
    public string OutgoingSocket => Home.OutgoingSocket(Incarnation);

    public bool IsAlive => processes.IsAlive(Process);

    /// <summary>Completes when the process is gone, however it went.</summary>
    public Task WaitForExitAsync(CancellationToken cancel) => processes.WaitForExitAsync(Process, cancel);

    /// <summary>
    /// SIGKILL and the proof that it is gone. Throws <see cref="IOException"/> without that proof: then its guest
    /// must be taken as still running.
    /// </summary>
    public async Task KillAsync()
    {
        if (!await processes.KillAsync(Process, KillProofMax))
            throw new IOException($"QEMU process {Process.Pid} of {Home.Vm} did not end within {KillProofMax.TotalSeconds} s of "
                + "SIGKILL: it hangs in the kernel, most often on storage that does not answer");
    }

    public ValueTask DisposeAsync() => Qmp.DisposeAsync();
}
