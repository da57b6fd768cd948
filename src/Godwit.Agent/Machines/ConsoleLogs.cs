using Godwit.Core.Ports;

namespace Godwit.Agent.Machines;

/// <summary>
/// What guests write to their serial ports lies in host memory (tmpfs) and has no end: called now and then, this
/// empties what grew too large. QEMU appends, so it writes on from the beginning.
/// </summary>
public sealed class ConsoleLogs(HostMachines machines, IDisk disk, IProcesses processes)
{
    public const long BytesMax = 1 << 20;
    private static readonly TimeSpan TruncateTimeout = TimeSpan.FromSeconds(10);

    /// <summary>As the VM's own uid: the directory is its, so root must not follow what lies there.</summary>
    public async Task TrimAsync(CancellationToken cancel)
    {
        foreach (var machine in machines.All)
        {
            foreach (var instance in machine.Record.Instances)
            {
                var log = machine.Home.ConsoleLog(instance.Incarnation);
                if (disk.SizeOf(log) is not > BytesMax) continue;
                await processes.RunAsync(new Command("truncate", ["-s", "0", "--", log], machine.Spec.Uid), TruncateTimeout, cancel);
            }
        }
    }
}
