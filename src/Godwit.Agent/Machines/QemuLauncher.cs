using System.Globalization;
using System.Text;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Qmp;

namespace Godwit.Agent.Machines;

/// <summary>
/// Starts a QEMU and waits until its monitor speaks. A QEMU that does not come up is killed, and its last words are
/// in the error.
/// </summary>
public sealed class QemuLauncher(IProcesses processes, INetwork network, IDisk disk, TimeProvider time, HostLayout layout)
{
    /// <summary>QEMU opens its monitors before it opens disks; a second is usual, a loaded machine needs more.</summary>
    private static readonly TimeSpan MonitorWaitMax = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan MonitorRetry = TimeSpan.FromMilliseconds(20);
    private const int LogsKept = 5;
    private const int LogTailBytes = 4096, LogBytesMax = 8 << 20;

    /// <summary>The process runs, its vCPUs do not. Throws <see cref="RefusedException"/> with QEMU's reason.</summary>
    public async Task<QemuInstance> LaunchAsync(QemuLaunch launch, CancellationToken cancel)
    {
        var command = QemuCommandLine.Build(launch, layout);
        disk.CreateOwnedDirectory(launch.Home.Run, launch.Spec.Uid);
        disk.CreateDirectory(launch.Home.State);
        foreach (var stale in launch.Home.FilesOf(launch.Incarnation)) disk.DeleteFile(stale);
        foreach (var old in disk.List(launch.Home.State).Where(n => IsOldLog(n, launch.Incarnation)))
            disk.DeleteFile(Path.Combine(launch.Home.State, old));

        var log = launch.Home.QemuLog(launch.Incarnation);
        var process = await processes.StartDetachedAsync(command, log, cancel);
        var record = new InstanceRecord(
            launch.Incarnation, process, launch.QemuPath, launch.RamOf, launch.Taps, launch.Cpus)
            { LoadsFile = launch.LoadsFile };
        try
        {
            return await ConnectAsync(launch.Home, record, MonitorWaitMax, cancel);
        }
        catch (Exception reason) when (reason is not InvariantBrokenException)
        {
            await processes.KillAsync(process, MonitorWaitMax);
            if (reason is OperationCanceledException) throw;
            throw new RefusedException("qemu-start-failed",
                $"QEMU for {launch.Spec.Name} did not start: {await LastWordsAsync(log) ?? reason.Message}",
                $"the whole log is {log} on that host");
        }
    }

    /// <summary>
    /// Connects to the monitor of a QEMU that is there. Throws <see cref="IOException"/> when the process ended or
    /// did not answer in time.
    /// </summary>
    public async Task<QemuInstance> ConnectAsync(
        VmHome home, InstanceRecord record, TimeSpan waitMax, CancellationToken cancel)
    {
        var deadline = time.GetUtcNow() + waitMax;
        while (true)
        {
            if (!processes.IsAlive(record.Process)) throw new IOException($"QEMU process {record.Process.Pid} ended");
            try
            {
                var stream = await network.ConnectUnixAsync(home.QmpSocket(record.Incarnation), cancel);
                return new QemuInstance(home, record, await QmpClient.ConnectAsync(stream, time, cancel), processes);
            }
            catch (Exception absent) when (absent is not (OperationCanceledException or QmpException))
            {
                if (time.GetUtcNow() >= deadline)
                    throw new IOException($"the monitor {home.QmpSocket(record.Incarnation)} did not answer within "
                        + $"{waitMax.TotalSeconds} s: {absent.Message}", absent);
            }
            await Task.Delay(MonitorRetry, time, cancel);
        }
    }

    private static bool IsOldLog(string name, int incarnation) =>
        name.StartsWith("qemu-", StringComparison.Ordinal) && name.EndsWith(".log", StringComparison.Ordinal)
        && int.TryParse(name["qemu-".Length..^".log".Length], NumberStyles.None, CultureInfo.InvariantCulture, out var old)
        && old <= incarnation - LogsKept;

    /// <summary>The end of QEMU's log, or null where it said nothing.</summary>
    internal async Task<string?> LastWordsAsync(string log)
    {
        try
        {
            var bytes = await disk.ReadAsync(log, LogBytesMax, CancellationToken.None);
            if (bytes is null) return null;
            var tail = Encoding.UTF8.GetString(bytes.AsSpan(Math.Max(0, bytes.Length - LogTailBytes))).Trim();
            return tail.Length == 0 ? null : tail;
        }
        catch (IOException) { return null; } // The reason of the failed start matters more than its log.
    }
}
