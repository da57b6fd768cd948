using System.Globalization;
using System.Text;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>
/// The VM's network ends on this host: persistent taps that its uid may open, on the bridges its NICs name. Two
/// incarnations of one VM have taps of their own, told apart by the parity of their number.
/// </summary>
public sealed class Taps(IProcesses processes, IDisk disk)
{
    private static readonly TimeSpan IpTimeout = TimeSpan.FromSeconds(20);

    /// <summary>15 characters, the most Linux allows: t, the VM's 12 digits, the NIC, and a or b.</summary>
    public static IReadOnlyList<string> NamesOf(VmSpec spec, int incarnation) =>
        [.. spec.Nics.Select((_, i) => string.Create(CultureInfo.InvariantCulture,
            $"t{spec.Id.Value.AsSpan("vm-".Length)}{i:x}{(incarnation % 2 == 0 ? 'a' : 'b')}"))];

    /// <summary>Creates them down, or up and ready (one <c>ip</c> process). Leftovers of the same names are replaced.</summary>
    /// <param name="isolated">Down and on no bridge: what is said there nobody hears.</param>
    public async Task CreateAsync(VmSpec spec, IReadOnlyList<string> taps, bool up, bool isolated, CancellationToken cancel)
    {
        if (taps.Count == 0) return;
        VmSpecRules.Check(spec);
        var there = Interfaces();
        var missing = spec.Nics.Select(n => n.Bridge).Distinct().Where(b => !there.Contains(b)).ToList();
        if (missing.Count > 0)
            throw new RefusedException("bridge-missing",
                $"{spec.Name} needs bridge {string.Join(", ", missing)}, which this host does not have",
                "create the bridge there, or choose another host ('godwit host show' lists bridges)");
        var script = new StringBuilder();
        for (var i = 0; i < taps.Count; i++)
        {
            if (there.Contains(taps[i])) Line(script, $"link del dev {taps[i]}");
            Line(script, $"tuntap add dev {taps[i]} mode tap vnet_hdr user {spec.Uid}");
            // No IPv6 address of its own: the host must not speak through a guest's tap.
            // The bridge's MTU, or the bridge would shrink to the tap's.
            var mtu = await MtuAsync(spec.Nics[i].Bridge, cancel);
            var bridge = isolated ? "" : $" master {spec.Nics[i].Bridge}";
            Line(script, $"link set dev {taps[i]} addrgenmode none mtu {mtu}{bridge}");
            if (up && !isolated) Line(script, $"link set dev {taps[i]} up");
        }
        await RunAsync(script, cancel);
    }

    public Task UpAsync(IReadOnlyList<string> taps, CancellationToken cancel) => SetAsync(taps, "up", cancel);

    /// <summary>Down: the bridge forgets what it learnt there, and nothing of the guest is heard any more.</summary>
    public Task DownAsync(IReadOnlyList<string> taps, CancellationToken cancel) => SetAsync(taps, "down", cancel);

    /// <summary>No error for those already gone.</summary>
    public async Task DeleteAsync(IReadOnlyList<string> taps, CancellationToken cancel)
    {
        var there = Interfaces();
        var script = new StringBuilder();
        foreach (var tap in taps.Where(there.Contains)) Line(script, $"link del dev {tap}");
        await RunAsync(script, cancel);
    }

    private Task SetAsync(IReadOnlyList<string> taps, string state, CancellationToken cancel)
    {
        var script = new StringBuilder();
        foreach (var tap in taps) Line(script, $"link set dev {tap} {state}");
        return RunAsync(script, cancel);
    }

    private async Task<int> MtuAsync(string bridge, CancellationToken cancel)
    {
        const int usual = 1500, numberBytesMax = 32;
        var bytes = await disk.ReadAsync($"/sys/class/net/{bridge}/mtu", numberBytesMax, cancel);
        return bytes is not null && int.TryParse(Encoding.ASCII.GetString(bytes).Trim(), CultureInfo.InvariantCulture, out var mtu)
            ? mtu : usual;
    }

    private HashSet<string> Interfaces() => [.. disk.List("/sys/class/net")];

    private async Task RunAsync(StringBuilder script, CancellationToken cancel)
    {
        if (script.Length == 0) return;
        var command = new Command("ip", ["-batch", "-"]) { Input = script.ToString() };
        var result = await processes.RunAsync(command, IpTimeout, cancel);
        if (result.ExitCode != 0)
            throw new IOException($"ip said: {result.Error.Trim()} (asked: {script.ToString().TrimEnd().ReplaceLineEndings("; ")})");
    }

    private static void Line(StringBuilder script, FormattableString line) =>
        script.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
}
