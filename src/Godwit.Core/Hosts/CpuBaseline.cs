using System.Globalization;
using Godwit.Core.Vms;

namespace Godwit.Core.Hosts;

/// <summary>
/// What every host can run, so that a VM may move to any of them: fixed in a VM's spec when it is made. Pure.
/// </summary>
public static class CpuBaseline
{
    /// <summary>Newest first. A host of one maker never offers the other maker's newer families in full.</summary>
    private static readonly string[] AmdFamilies = ["EPYC-Turin", "EPYC-Genoa", "EPYC-Milan", "EPYC-Rome", "EPYC"];

    private static readonly string[] IntelFamilies =
    [
        "GraniteRapids", "SapphireRapids", "Icelake-Server", "Cascadelake-Server", "Skylake-Server", "Skylake-Client",
        "Broadwell", "Haswell", "IvyBridge", "SandyBridge", "Westmere", "Nehalem",
    ];

    /// <summary>The best named and versioned CPU model that every QEMU of every host offers in full; null where there is none.</summary>
    /// <param name="hosts">All with this accelerator.</param>
    public static string? BestCpuModel(IReadOnlyCollection<HostFacts> hosts, Accelerator accelerator)
    {
        var common = Common(hosts, qemu => qemu.UsableCpuModels);
        // Guests panic after nearly every move under QEMU 7.2's TCG with an AMD model; with an Intel model never.
        var families = accelerator == Accelerator.Kvm ? AmdFamilies.Concat(IntelFamilies) : IntelFamilies;
        return families.Select(family => Newest(family + "-v", common)).FirstOrDefault(model => model is not null);
    }

    /// <summary>The newest versioned q35 machine that every QEMU of every host knows; null where there is none.</summary>
    public static string? NewestMachineType(IReadOnlyCollection<HostFacts> hosts) =>
        Newest("pc-q35-", Common(hosts, qemu => qemu.MachineTypes));

    private static HashSet<string> Common(IReadOnlyCollection<HostFacts> hosts, Func<QemuBinary, IReadOnlyList<string>> offers)
    {
        HashSet<string>? common = null;
        foreach (var qemu in hosts.SelectMany(host => host.Qemus))
        {
            if (common is null) common = [.. offers(qemu)];
            else common.IntersectWith(offers(qemu));
        }
        return hosts.All(host => host.Qemus.Count > 0) && common is not null ? common : [];
    }

    private static string? Newest(string prefix, IEnumerable<string> names) => names
        .Where(name => name.StartsWith(prefix, StringComparison.Ordinal))
        .Select(name => (name, version: VersionOf(name.AsSpan(prefix.Length))))
        .Where(candidate => candidate.version is not null)
        .OrderByDescending(candidate => candidate.version).Select(candidate => candidate.name).FirstOrDefault();

    /// <summary>"4" is 4.0, "7.2" is 7.2; anything else is not a version.</summary>
    private static Version? VersionOf(ReadOnlySpan<char> text)
    {
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var major)) return new Version(major, 0);
        return Version.TryParse(text, out var version) && version.Build < 0 ? version : null;
    }
}
