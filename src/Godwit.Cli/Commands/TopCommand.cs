using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Core.Hosts;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>`godwit top`: what hosts and VMs take, the hungriest first.</summary>
internal static class TopCommand
{
    private const int VmsShownMax = 50;

    public static Command Build(Verbs verbs)
    {
        var host = new Option<string?>("--host") { Description = "Only this host and its VMs.", HelpName = "HOST" };
        return verbs.Verb("top", "What hosts and VMs take now and are to be reckoned with, by the last half hour.",
            async (session, parsed, cancel) =>
            {
                var load = await session.Api.LoadAsync(cancel);
                if (parsed.GetValue(host) is { } only)
                    load = new([.. load.Hosts.Where(h => h.Host.Value == only)], [.. load.Vms.Where(v => v.Host.Value == only)]);
                if (session.Screen.IsJson) session.Screen.Document(load);
                else
                {
                    session.Screen.Show(TopSheets.Hosts(load.Hosts));
                    session.Screen.Line("");
                    var hungriest = load.Vms.OrderByDescending(v => v.Window?.CpuToReckonWith ?? -1).Take(VmsShownMax);
                    session.Screen.Show(TopSheets.Vms([.. hungriest]));
                    if (load.Vms.Count > VmsShownMax)
                        session.Screen.Note($"{load.Vms.Count - VmsShownMax} more VMs: --host HOST, or --json");
                }
                return ExitCode.All;
            }, host);
    }
}

/// <summary>Loads as people see them. Pure.</summary>
internal static class TopSheets
{
    private const double Busy = 0.85;
    private static readonly string[] hostHeadings =
        ["HOST", "STATE", "CPU", "CPUS", "RECKONED", "PRESSURE", "MEM USED", "OF", "NETWORK", "DISK"];
    private static readonly string[] vmHeadings =
        ["VM", "HOST", "CPU", "WAITS", "CPUS", "RECKONED", "MEM TOUCHED", "OF", "NETWORK", "DISK"];

    public static Sheet Hosts(IReadOnlyList<HostLoadView> hosts) => new(hostHeadings,
        [.. hosts.OrderByDescending(h => h.Window?.CpuToReckonWith / Math.Max(1, h.Cpus) ?? -1).Select(Row)], "No such host.");

    public static Sheet Vms(IReadOnlyList<VmLoadView> vms) => new(vmHeadings, [.. vms.Select(Row)], "No VM runs.");

    private static IReadOnlyList<Cell> Row(HostLoadView host)
    {
        var state = new Cell(Words.Of(host.State), host.State == HostState.Ready ? Tone.Good : Tone.Warn);
        Cell[] head = [new Cell(host.Host.Value, Tone.Strong), state];
        if (host.Window is not { } window) return [.. head, .. Unknown(hostHeadings.Length - head.Length)];
        return
        [
            .. head, Cores(window.Now.CpuCores), Amounts.Count(host.Cpus), Share(window.CpuToReckonWith, host.Cpus),
            window.CpuPressure is { } pressure ? Percent(pressure) : "?", Amounts.Bytes((long)window.Now.MemoryBytes),
            Amounts.Bytes(host.MemoryBytes), Amounts.Rate((long)window.Now.NetworkBytesPerSecond),
            Amounts.Rate((long)window.Now.DiskBytesPerSecond),
        ];
    }

    private static IReadOnlyList<Cell> Row(VmLoadView vm)
    {
        Cell[] head = [new Cell(vm.Name, Tone.Strong), vm.Host.Value];
        if (vm.Window is not { } window) return [.. head, .. Unknown(vmHeadings.Length - head.Length)];
        return
        [
            .. head, Cores(window.Now.CpuCores), Cores(window.Now.WaitCores), Amounts.Count(vm.Cpus),
            Share(window.CpuToReckonWith, vm.Cpus),
            Amounts.Bytes((long)window.Now.MemoryBytes), Amounts.Bytes(vm.MemoryBytes),
            Amounts.Rate((long)window.Now.NetworkBytesPerSecond), Amounts.Rate((long)window.Now.DiskBytesPerSecond),
        ];
    }

    private static IEnumerable<Cell> Unknown(int cells) => Enumerable.Repeat(new Cell("?", Tone.Dim), cells);

    private static Cell Share(double cores, int cpus) =>
        new(Percent(cores / Math.Max(1, cpus)), cores > Busy * Math.Max(1, cpus) ? Tone.Bad : Tone.Plain);

    private static string Cores(double cores) => cores.ToString("0.00", CultureInfo.InvariantCulture);

    private static string Percent(double share) => (share * 100).ToString("0", CultureInfo.InvariantCulture) + " %";
}
