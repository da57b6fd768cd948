using Godwit.Cli.Lab;

namespace Godwit.LabTests.Faults;

/// <summary>What a move makes and must take away again, counted over both hosts: R6.</summary>
internal sealed record Leftovers(int Qemus, int Taps, long AssignedBytes)
{
    public static async Task<Leftovers> CountAsync(FaultLab lab)
    {
        var (qemus, taps) = (0, 0);
        foreach (var host in lab.Cluster.Plan.Hosts)
        {
            qemus += lab.Qemus(host.Name).Count;
            taps += (await LabShell.RunAsync(["ip", "-n", host.Namespace, "-o", "link", "show", "type", "tun"]))
                .Count(c => c == '\n');
        }
        return new Leftovers(qemus, taps, (await lab.Cluster.Api.HostsAsync(default)).Sum(h => h.MemoryAssignedBytes));
    }

    public static async Task AreGoneAsync(FaultLab lab, Leftovers before)
    {
        var now = before;
        await FaultLab.UntilAsync($"QEMUs, taps and memory are again {before}, not {now}",
            async () => (now = await CountAsync(lab)) == before);
    }
}
