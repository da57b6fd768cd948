using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Server.Api;

namespace Godwit.WebConsole.Balancing;

/// <summary>One host's processors now, and once the moves that are ticked are done. Shares of all it has; null: not known.</summary>
public sealed record HostShift(string Host, double? Before, double? After);

/// <summary>What moves would change, drawn from the loads the server reckons with. Pure.</summary>
public static class BalancePicture
{
    /// <summary>Beyond so much of their time waited for, the gauge is full.</summary>
    public const double FullShare = 0.05;

    public static IReadOnlyList<HostShift> Shifts(ClusterLoadView load, IEnumerable<PlannedMove> moves)
    {
        var need = load.Vms.Where(vm => vm.Window is not null).ToDictionary(vm => vm.Vm, vm => vm.Window!.CpuToReckonWith);
        var change = new Dictionary<HostId, double>();
        foreach (var move in moves)
        {
            var cores = need.GetValueOrDefault(move.Vm);
            change[move.From] = change.GetValueOrDefault(move.From) - cores;
            change[move.To] = change.GetValueOrDefault(move.To) + cores;
        }
        return [.. load.Hosts.OrderBy(host => host.Host.Value, StringComparer.Ordinal).Select(host =>
        {
            double? before = host.Window is { } window && host.Cpus > 0 ? window.CpuToReckonWith / host.Cpus : null;
            return new HostShift(host.Host.Value, before,
                before is null ? null : Math.Max(0, before.Value + change.GetValueOrDefault(host.Host) / host.Cpus));
        })];
    }

    /// <summary>Of the hour of every VM that runs, the part it waits: 0 to 1.</summary>
    public static double LostShare(double lostSeconds, int runningVms) =>
        runningVms == 0 ? 0 : Math.Clamp(lostSeconds / (runningVms * 3600.0), 0, 1);

    /// <summary>How far the gauge is filled, 0 to 1.</summary>
    public static double Fill(double lostSeconds, int runningVms) => Math.Min(1, LostShare(lostSeconds, runningVms) / FullShare);

    /// <summary>An arc of so much of the half circle of the gauge, as an SVG path.</summary>
    public static string Arc(double fill)
    {
        var angle = Math.PI * (1 - Math.Clamp(fill, 0.004, 1));
        return string.Create(System.Globalization.CultureInfo.InvariantCulture,
            $"M 14 96 A 76 76 0 0 1 {90 + 76 * Math.Cos(angle):0.##} {96 - 76 * Math.Sin(angle):0.##}");
    }
}
