using System.Globalization;
using System.Text;
using System.Text.Json;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Facts;

/// <summary>
/// What this host is and has, read from the kernel and from QEMU itself. What cannot change while the agent runs is
/// read once; memory, space and links are read anew for each question.
/// </summary>
public sealed class HostFactsReader(
    IDisk disk, IProcesses processes, QemuProbe probe, TimeProvider time, HostLayout layout, Func<string, PoolSpace> spaceOf)
{
    private const int FileBytesMax = 4 << 20;
    private static readonly TimeSpan CommandMax = TimeSpan.FromSeconds(10);
    private readonly SemaphoreSlim once = new(1, 1);
    private Standing? standing;

    public async Task<HostFacts> ReadAsync(IReadOnlyList<string> moreNotes, CancellationToken cancel)
    {
        var fixedFacts = await StandingAsync(cancel);
        var memory = await MemoryAsync(cancel);
        var (links, bridges) = await LinksAsync(cancel);
        return new HostFacts
        {
            AgentVersion = typeof(HostFactsReader).Assembly.GetName().Version?.ToString(3) ?? "0",
            KernelVersion = fixedFacts.Kernel, Cpus = fixedFacts.Cpus,
            CpuModelName = fixedFacts.CpuModel, CpuFlags = fixedFacts.CpuFlags,
            Accelerator = fixedFacts.Accelerator, AcceleratorReason = fixedFacts.Reason,
            Qemus = [.. fixedFacts.Qemus.Select(q => q.Binary)],
            MemoryBytes = memory.Total, MemoryAvailableBytes = memory.Available,
            RamFileSpaceBytes = spaceOf(VmHome.VmsIn(layout.RunDirectory)).FreeBytes,
            Bridges = bridges, Links = links, Clock = time.GetUtcNow(),
            Pools = [.. layout.Pools.Select(p => (p.Key, p.Value.Directory, Space: spaceOf(p.Value.Directory)))
                .Select(p => new PoolFacts(p.Key, p.Directory, p.Space.SizeBytes, p.Space.FreeBytes, p.Space.Writable))],
            Notes = [.. fixedFacts.Notes, .. Shares(), .. moreNotes],
        };
    }

    /// <summary>Bytes that guests' memory may still take, by the host's memory and by its tmpfs. Runs nothing.</summary>
    public async Task<long> MemoryLeftAsync(CancellationToken cancel)
    {
        var (space, available) = (spaceOf(VmHome.VmsIn(layout.RunDirectory)), (await MemoryAsync(cancel)).Available);
        return space.SizeBytes > 0 ? Math.Min(available, space.FreeBytes) : available; // A tmpfs without a size tells none.
    }

    public async Task<Standing> StandingAsync(CancellationToken cancel)
    {
        await once.WaitAsync();
        try { return standing ??= await LookAsync(cancel); }
        finally { once.Release(); }
    }

    private IEnumerable<string> Shares() => processes.WhyNoShares is { } whyNot
        ? [$"{whyNot}: VMs run without limits of memory, processors and I/O of their own"] : [];

    private async Task<Standing> LookAsync(CancellationToken cancel)
    {
        List<string> notes = [];
        var cpuinfo = await TextAsync("/proc/cpuinfo", cancel);
        var flags = (Field(cpuinfo, "flags") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var (accelerator, reason) = await AcceleratorAsync(flags, cancel);
        var qemus = new List<ProbedQemu>();
        foreach (var (path, number) in layout.QemuPaths.Select((p, n) => (p, n)))
            if (await probe.AskAsync(path, number, accelerator, notes.Add, cancel) is { } qemu) qemus.Add(qemu);
        if (!spaceOf(VmHome.VmsIn(layout.RunDirectory)).IsMemory)
            notes.Add($"{VmHome.VmsIn(layout.RunDirectory)} is not on tmpfs or hugetlbfs: "
                + "guest memory is written to a disk, and moves are slow");
        return new Standing(
            (await TextAsync("/proc/sys/kernel/osrelease", cancel)).Trim(),
            cpuinfo.Split('\n').Count(l => l.StartsWith("processor", StringComparison.Ordinal)),
            Field(cpuinfo, "model name") ?? "unknown", [.. flags.Order(StringComparer.Ordinal)], accelerator, reason, qemus, notes);
    }

    /// <summary>A device file alone proves nothing: some kernels offer one on which stock guests never boot.</summary>
    private async Task<(Accelerator, string)> AcceleratorAsync(string[] flags, CancellationToken cancel)
    {
        if (!flags.Contains("vmx") && !flags.Contains("svm")) return (Accelerator.Tcg, "no vmx or svm in /proc/cpuinfo");
        return await disk.WhyNotOpenableAsync("/dev/kvm", uid: 0, write: true, cancel) is not { } whyNot
            ? (Accelerator.Kvm, "vmx or svm in /proc/cpuinfo, /dev/kvm opens")
            : (Accelerator.Tcg, $"/dev/kvm does not open ({whyNot}), though the processor has vmx or svm: load kvm_intel or kvm_amd");
    }

    private async Task<(long Total, long Available)> MemoryAsync(CancellationToken cancel)
    {
        var meminfo = await TextAsync("/proc/meminfo", cancel);
        return (Kilobytes("MemTotal"), Kilobytes("MemAvailable"));

        long Kilobytes(string name) => Field(meminfo, name)?.Split(' ')[0] is { } value
            ? long.Parse(value, CultureInfo.InvariantCulture) << 10 : 0;
    }

    private async Task<(IReadOnlyList<LinkFacts>, IReadOnlyList<string>)> LinksAsync(CancellationToken cancel)
    {
        var answer = await processes.RunAsync(new Command("ip", ["-j", "-d", "addr"]), CommandMax, cancel);
        if (answer.ExitCode != 0) throw new IOException($"ip addr failed: {answer.Error}");
        List<LinkFacts> links = [];
        List<string> bridges = [];
        using var json = JsonDocument.Parse(answer.Output);
        foreach (var link in json.RootElement.EnumerateArray())
        {
            if (!link.TryGetProperty("ifname", out var name)) continue; // ip prints an empty object for filtered links.
            if (link.TryGetProperty("linkinfo", out var info) && info.TryGetProperty("info_kind", out var kind)
                && kind.GetString() == "bridge") bridges.Add(name.GetString()!);
            foreach (var address in link.GetProperty("addr_info").EnumerateArray())
                if (address.GetProperty("scope").GetString() == "global")
                    links.Add(new LinkFacts(name.GetString()!, address.GetProperty("local").GetString()!,
                        await SpeedAsync(name.GetString()!, cancel), link.GetProperty("mtu").GetInt32()));
        }
        return (links, bridges);
    }

    private async Task<long> SpeedAsync(string link, CancellationToken cancel)
    {
        try
        {
            var megabits = (await TextAsync($"/sys/class/net/{link}/speed", cancel)).Trim();
            return long.TryParse(megabits, CultureInfo.InvariantCulture, out var value) && value > 0 ? value * 1_000_000 : 0;
        }
        catch (IOException) { return 0; } // The kernel refuses to say for links without a carrier.
    }

    private async Task<string> TextAsync(string path, CancellationToken cancel) =>
        Encoding.UTF8.GetString(await disk.ReadAsync(path, FileBytesMax, cancel) ?? []);

    /// <summary>The first "name : value" line's value.</summary>
    private static string? Field(string text, string name) => text.Split('\n')
        .Select(l => l.Split(':', 2)).FirstOrDefault(p => p.Length == 2 && p[0].Trim() == name)?[1].Trim();

    public sealed record Standing(
        string Kernel, int Cpus, string CpuModel, IReadOnlyList<string> CpuFlags, Accelerator Accelerator, string Reason,
        IReadOnlyList<ProbedQemu> Qemus, IReadOnlyList<string> Notes);
}

/// <param name="IsMemory">tmpfs, ramfs or hugetlbfs.</param>
public sealed record PoolSpace(long SizeBytes, long FreeBytes, bool Writable, bool IsMemory);
