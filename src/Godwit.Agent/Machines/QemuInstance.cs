using Godwit.Core.Ports;
using Godwit.Qmp;

namespace Godwit.Agent.Machines;

/// <summary>One running QEMU of a VM and the monitor to it. Disposing lets go of the monitor; QEMU runs on.</summary>
public sealed class QemuInstance : IAsyncDisposable
{
    private static readonly TimeSpan KillProofMax = TimeSpan.FromSeconds(30);

    private readonly IProcesses _processes;
    private readonly IDisposable _subscription;
    private readonly TaskCompletionSource _poweredOff = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public QemuInstance(VmHome home, InstanceRecord record, QmpClient qmp, IProcesses processes)
    {
        (Home, Record, Qmp, _processes) = (home, record, qmp, processes);
        _subscription = qmp.Subscribe(e =>
        {
            if (e.Name == QmpEvents.Shutdown && e.AskedByGuest() == true) _poweredOff.TrySetResult();
        });
    }

    public VmHome Home { get; }
    public InstanceRecord Record { get; }
    public int Incarnation => Record.Incarnation;
    public ProcessHandle Process => Record.Process;
    public QmpClient Qmp { get; }
    public string RamPath => Home.Ram(Record.RamOf);
    public string IncomingSocket => Home.IncomingSocket(Incarnation);
    public string OutgoingSocket => Home.OutgoingSocket(Incarnation);

    public bool IsAlive => _processes.IsAlive(Process);

    /// <summary>Completes when the guest has powered itself off; its QEMU stays, stopped, until somebody ends it.</summary>
    public Task PoweredOff => _poweredOff.Task;

    /// <summary>Completes when the process is gone, however it went.</summary>
    public Task WaitForExitAsync(CancellationToken cancel) => _processes.WaitForExitAsync(Process, cancel);

    /// <summary>
    /// SIGKILL and the proof that it is gone. Throws <see cref="IOException"/> without that proof: then its guest
    /// must be taken as still running.
    /// </summary>
    public Task KillAsync() => KillAsync(_processes, Home, Record);

    internal static async Task KillAsync(IProcesses processes, VmHome home, InstanceRecord record)
    {
        if (!await processes.KillAsync(record.Process, KillProofMax))
            throw new IOException($"QEMU process {record.Process.Pid} of {home.Vm} did not end within "
                + $"{KillProofMax.TotalSeconds} s of SIGKILL: it hangs in the kernel, most often on storage that does not answer");
    }

    public ValueTask DisposeAsync()
    {
        _subscription.Dispose();
        return Qmp.DisposeAsync();
    }
}
