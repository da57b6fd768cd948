using System.Globalization;
using Amounts = Godwit.Client.Amounts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Server.Api;

namespace Godwit.WebConsole.Look;

/// <summary>How full something is. Shares are of its capacity, 0 to 1; above the ceiling nothing more is put there.</summary>
/// <param name="Share">Null: not known now.</param>
public sealed record LoadBar(string Name, double? Share, double Ceiling, string Text)
{
    public bool IsOver => Share > Ceiling;
}

/// <param name="Move">The one under way, or null.</param>
/// <param name="CpuShare">Of its processors, 0 to 1; null: not known.</param>
public sealed record BoardVm(VmView View, Migration? Move, double? CpuShare)
{
    public string Name => View.Spec.Name;

    /// <summary>In pixels: grows with the root of its memory, so that 256 MiB can be read and 256 GiB fits.</summary>
    public int Height => (int)Math.Clamp(44 + 20 * Math.Sqrt(View.Spec.MemoryBytes / (double)(1L << 30)), 48, 320);
}

public sealed record BoardHost(HostView View, IReadOnlyList<BoardVm> Vms, IReadOnlyList<LoadBar> Bars);

/// <summary>A move under way between two columns, counted from 1.</summary>
public sealed record Transfer(Migration Move, int From, int To)
{
    public int First => Math.Min(From, To);
    public int Last => Math.Max(From, To);
}

/// <summary>The cluster as columns: what the API said, put where a person looks for it. Pure.</summary>
/// <param name="Hidden">VMs that the search leaves out.</param>
public sealed record ClusterBoard(IReadOnlyList<BoardHost> Hosts, IReadOnlyList<Transfer> Transfers, int Hidden)
{
    public static readonly ClusterBoard Empty = new([], [], 0);

    /// <summary>Every VM shown, column by column.</summary>
    public IReadOnlyList<string> Names => [.. Hosts.SelectMany(host => host.Vms).Select(vm => vm.Name)];

    /// <param name="search">Part of a VM's name, of its host's or of a tag; empty shows all.</param>
    public static ClusterBoard Of(
        IReadOnlyList<HostView> hosts, IReadOnlyList<VmView> vms, ClusterLoadView load, PlacementPolicy policy,
        IReadOnlyList<Migration> active, string search)
    {
        var shares = load.Vms.Where(vm => vm.Window is not null)
            .ToDictionary(vm => vm.Vm, vm => (double?)vm.Window!.Now.CpuCores / Math.Max(1, vm.Cpus));
        var moves = active.GroupBy(move => move.Vm).ToDictionary(of => of.Key, of => of.First());
        var found = vms.Where(vm => Matches(vm, search)).ToList();
        var ordered = hosts.OrderBy(host => host.Id.Value, StringComparer.Ordinal).ToList();
        var columns = ordered.Select((host, index) => (host.Id, Column: index + 1)).ToDictionary(one => one.Id, one => one.Column);
        return new ClusterBoard(
            [.. ordered.Select(host => new BoardHost(host, [.. found.Where(vm => vm.Owner == host.Id)
                .OrderBy(vm => vm.Spec.Name, StringComparer.Ordinal)
                .Select(vm => new BoardVm(vm, moves.GetValueOrDefault(vm.Spec.Id), shares.GetValueOrDefault(vm.Spec.Id)))],
                Bars(host, load, policy)))],
            [.. active.Where(move => move.Source != move.Target && columns.ContainsKey(move.Source) && columns.ContainsKey(move.Target))
                .Select(move => new Transfer(move, columns[move.Source], columns[move.Target]))],
            vms.Count - found.Count);
    }

    private static bool Matches(VmView vm, string search) => search.Length == 0
        || vm.Tags.Append(vm.Spec.Name).Append(vm.Owner.Value).Any(text => text.Contains(search, StringComparison.OrdinalIgnoreCase));

    private static string Cores(double? cores) => cores?.ToString("0.0", CultureInfo.InvariantCulture) ?? "?";

    private static IReadOnlyList<LoadBar> Bars(HostView host, ClusterLoadView load, PlacementPolicy policy)
    {
        var now = load.Hosts.FirstOrDefault(one => one.Host == host.Id);
        var cpus = Math.Max(1, host.Facts?.Cpus ?? 1);
        var memory = Math.Max(1, host.Facts?.MemoryBytes ?? host.MemoryOfferedBytes);
        return
        [
            new LoadBar("CPU", now?.Window?.Now.CpuCores / cpus, policy.LoadCeiling,
                $"{Cores(now?.Window?.Now.CpuCores)} of {cpus}"),
            new LoadBar("RAM", host.MemoryAssignedBytes / (double)memory,
                Math.Min(1, host.MemoryOfferedBytes * policy.MemoryOvercommit / memory),
                $"{Amounts.Bytes(host.MemoryAssignedBytes)} of {Amounts.Bytes(host.MemoryOfferedBytes)}"),
        ];
    }
}
