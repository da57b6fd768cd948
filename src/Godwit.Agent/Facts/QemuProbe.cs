using System.Globalization;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Facts;

/// <summary>
/// What each QEMU binary on this host can do, asked of itself: a machine-less QEMU with only a monitor. Asked once
/// for each binary; a new file under the same path is noticed at the agent's next start.
/// </summary>
public sealed class QemuProbe(IProcesses processes, INetwork network, IDisk disk, TimeProvider time, string runDirectory)
{
    private static readonly TimeSpan AnswerMax = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Retry = TimeSpan.FromMilliseconds(20);

    /// <summary>Null, with the reason in <paramref name="note"/>, where the binary does not answer.</summary>
    public async Task<ProbedQemu?> AskAsync(
        string path, int number, Accelerator accelerator, Action<string> note, CancellationToken cancel)
    {
        var directory = Path.Combine(runDirectory, "probe");
        disk.CreateDirectory(directory);
        var socket = Path.Combine(directory, number.ToString(CultureInfo.InvariantCulture) + ".sock");
        disk.DeleteFile(socket);
        var command = new Command(path,
        [
            "-nodefaults", "-no-user-config", "-display", "none", "-machine", "none", "-S",
            "-accel", accelerator == Accelerator.Kvm ? "kvm" : "tcg", "-qmp", $"unix:{socket},server=on,wait=off",
        ]);
        ProcessHandle process = default;
        try
        {
            process = await processes.StartDetachedAsync(command, Path.Combine(directory, "qemu.log"), cancel);
            await using var qmp = await ConnectAsync(socket, process, cancel);
            var machines = await qmp.QueryMachinesAsync(AnswerMax, cancel);
            var cpus = await qmp.QueryCpuDefinitionsAsync(AnswerMax, cancel);
            var binary = new QemuBinary(path, qmp.Version,
                [.. machines.Select(m => m.Name).Where(n => n.StartsWith("pc-", StringComparison.Ordinal))
                    .Order(StringComparer.Ordinal)],
                [.. cpus.Where(c => c.UnavailableFeatures is { Count: 0 } && c.MigrationSafe).Select(c => c.Name)
                    .Order(StringComparer.Ordinal)], await qmp.HasVncAsync(AnswerMax, cancel));
            return new ProbedQemu(binary, cpus.ToDictionary(c => c.Name, c => c.UnavailableFeatures ?? ["features unknown"]));
        }
        catch (Exception e) when (e is IOException or QmpException or RefusedException or TimeoutException)
        {
            note($"{path} cannot be used: {e.Message}");
            return null;
        }
        finally
        {
            if (process.Pid != 0) await processes.KillAsync(process, AnswerMax);
            disk.DeleteFile(socket);
        }
    }

    private async Task<QmpClient> ConnectAsync(string socket, ProcessHandle process, CancellationToken cancel)
    {
        for (var begun = time.GetTimestamp(); ;)
        {
            if (!processes.IsAlive(process)) throw new IOException("it ended at once");
            try { return await QmpClient.ConnectAsync(await network.ConnectUnixAsync(socket, cancel), time, cancel); }
            catch (Exception e) when (e is not OperationCanceledException && time.GetElapsedTime(begun) < AnswerMax)
            {
                // Not there yet: asked again until it ends or the time is up.
            }
            await Task.Delay(Retry, time, cancel);
        }
    }
}

/// <param name="Missing">By CPU model: the features it needs that this host lacks with its accelerator.</param>
public sealed record ProbedQemu(QemuBinary Binary, IReadOnlyDictionary<string, IReadOnlyList<string>> Missing);
