using Godwit.Client;
using Godwit.Core.Hosts;
using Godwit.Core.Vms;
using Godwit.Server.Api;

namespace Godwit.WebConsole.HostViews;

/// <param name="Differs">Not the same on every host: a VM that needs more than the least of them cannot go everywhere.</param>
/// <param name="All">What every host has of it; null: nothing.</param>
public sealed record CompatRow(string Feature, IReadOnlyList<string> Values, bool Differs, string? All);

/// <summary>What a VM can find on each host, side by side, and what it finds on all of them. Pure.</summary>
public sealed record CompatMatrix(IReadOnlyList<string> Hosts, IReadOnlyList<CompatRow> Rows)
{
    private const string Unknown = "?";

    /// <summary>Hosts that never told their facts are columns of question marks, and do not lower what all have.</summary>
    public static CompatMatrix Of(IReadOnlyList<HostView> hosts)
    {
        var ordered = hosts.OrderBy(host => host.Id.Value, StringComparer.Ordinal).ToList();
        var known = ordered.Select(host => host.Facts).OfType<HostFacts>().ToList();
        var accelerators = known.Select(facts => facts.Accelerator).Distinct().ToList();
        return new CompatMatrix([.. ordered.Select(host => host.Id.Value)],
        [
            Row("runs on", ordered, facts => Words.Of(facts.Accelerator), accelerators is [var one] ? Words.Of(one) : null),
            Row("QEMU", ordered, facts => Join(facts.Qemus.Select(qemu => qemu.Version)),
                Common(known, facts => facts.Qemus.Select(q => q.Version))),
            Row("newest machine", ordered, facts => CpuBaseline.NewestMachineType([facts]) ?? "none", CpuBaseline.NewestMachineType(known)),
            Row("best CPU model", ordered, facts => CpuBaseline.BestCpuModel([facts], facts.Accelerator) ?? "none",
                accelerators is [var same] ? CpuBaseline.BestCpuModel(known, same) : null),
            Row("processor", ordered, facts => facts.CpuModelName, null),
            Row("networks", ordered, facts => Join(facts.Bridges), Common(known, facts => facts.Bridges)),
            Row("pools", ordered, facts => Join(facts.Pools.Select(pool => pool.Name)),
                Common(known, facts => facts.Pools.Select(p => p.Name))),
            Row("agent", ordered, facts => facts.AgentVersion, null),
            Row("kernel", ordered, facts => facts.KernelVersion, null),
        ]);
    }

    private static CompatRow Row(string feature, IReadOnlyList<HostView> hosts, Func<HostFacts, string> of, string? all)
    {
        var values = hosts.Select(host => host.Facts is { } facts ? of(facts) : Unknown).ToList();
        var told = values.Where(value => value != Unknown).Distinct().ToList();
        return new CompatRow(feature, values, told.Count > 1, all ?? (told is [var same] ? same : null));
    }

    private static string? Common(List<HostFacts> hosts, Func<HostFacts, IEnumerable<string>> of)
    {
        List<string> common = hosts.Count == 0 ? []
            : [.. hosts.Skip(1).Aggregate(of(hosts[0]), (left, facts) => left.Intersect(of(facts)))];
        return common.Count > 0 ? Join(common) : null;
    }

    private static string Join(IEnumerable<string> words) => words.Distinct().Order(StringComparer.Ordinal).ToList() is { Count: > 0 } some
        ? string.Join(", ", some) : "none";
}
