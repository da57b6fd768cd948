using System.Globalization;
using System.Text;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Loads;
using Godwit.Core.Ports;

namespace Godwit.Agent.Facts;

/// <summary>
/// Reads the kernel's counters when it is asked, and answers with what was taken since it was asked before. Reads only, a few
/// files a VM; has no loop of its own.
/// </summary>
internal sealed class LoadMeter(IDisk disk, HostMachines machines, MemoryKnown memory, TimeProvider time)
{
    private const int FileBytesMax = 256 << 10;
    private const int ThreadsMax = 256;
    /// <summary>Asked again sooner, it answers as before: rates over less say little.</summary>
    private static readonly TimeSpan SpanMin = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim one = new(1, 1);
    private Reading? before;
    private HostLoad? last;

    /// <param name="links">Interfaces to tell of.</param>
    public async Task<HostLoad> SampleAsync(IReadOnlyList<string> links, CancellationToken cancel)
    {
        await one.WaitAsync();
        try
        {
            if (before is { } recent && last is not null && time.GetElapsedTime(recent.Timestamp) < SpanMin) return last;
            var now = await ReadAsync(links, cancel);
            last = OfThisHost(Compare(before, now));
            before = now;
            return last;
        }
        finally { one.Release(); }
    }

    /// <summary>
    /// A machine that is several hosts has counters for all of them together. A VM waits there for whatever else the machine does: of
    /// its waiting, this host's share of the machine's work is this host's.
    /// </summary>
    private HostLoad OfThisHost(HostLoad load)
    {
        if (!machines.Layout.SharesMachine) return load;
        var ours = load.Vms.Sum(vm => vm.CpuCores);
        var share = load.CpuCores > 0 ? Math.Min(1, ours / load.CpuCores) : 1;
        return load with
        {
            CpuCores = ours, StealCores = 0, CpuPressure = null, MemoryPressure = null,
            MemoryUsedBytes = load.Vms.Sum(vm => vm.MemoryTouchedBytes),
            Vms = [.. load.Vms.Select(vm => vm with { WaitCores = vm.WaitCores * share })],
        };
    }

    private HostLoad Compare(Reading? before, Reading now)
    {
        var seconds = before is null ? 0 : time.GetElapsedTime(before.Timestamp, now.Timestamp).TotalSeconds;
        return new HostLoad
        {
            At = time.GetUtcNow(), SpanSeconds = seconds,
            CpuCores = PerSecond(now.CpuTicks, before?.CpuTicks) / LoadCounters.TicksPerSecond,
            StealCores = PerSecond(now.StealTicks, before?.StealTicks) / LoadCounters.TicksPerSecond,
            CpuPressure = now.CpuPressure, MemoryPressure = now.MemoryPressure, MemoryUsedBytes = now.MemoryUsedBytes,
            Links = before is null ? [] : [.. now.Links.Where(l => before.Links.ContainsKey(l.Key)).Select(l => new LinkLoad(l.Key,
                (long)PerSecond(l.Value.Received, before.Links[l.Key].Received), (long)PerSecond(l.Value.Sent, before.Links[l.Key].Sent)))],
            // A QEMU that was not there before has nothing to be compared with, nor has another process of the same VM.
            Vms = before is null ? [] : [.. now.Vms.Where(v => before.Vms.TryGetValue(v.Key, out var was) && was.Process == v.Value.Process)
                .Select(v => Compare(v.Key, before.Vms[v.Key], v.Value)).OrderBy(v => v.Vm.Value, StringComparer.Ordinal)],
        };

        VmLoad Compare(VmId vm, VmReading was, VmReading has) => new(vm,
            PerSecond(has.CpuTicks, was.CpuTicks) / LoadCounters.TicksPerSecond, PerSecond(has.WaitNs, was.WaitNs) / 1e9,
            has.MemoryBytes, (long)PerSecond(has.NetworkBytes, was.NetworkBytes), (long)PerSecond(has.DiskBytes, was.DiskBytes),
            memory.DirtyBytesPerSecond(vm));

        // A counter that went back (a link made anew, a thread that ended with its waiting time) says nothing this time.
        double PerSecond(long has, long? was) => was is { } old && seconds > 0 && has >= old ? (has - old) / seconds : 0;
    }

    private async Task<Reading> ReadAsync(IReadOnlyList<string> links, CancellationToken cancel)
    {
        var cpu = LoadCounters.HostCpu(await TextAsync("/proc/stat", cancel));
        var meminfo = await TextAsync("/proc/meminfo", cancel);
        var netDev = await TextAsync("/proc/net/dev", cancel);
        var vms = new Dictionary<VmId, VmReading>();
        foreach (var machine in machines.All)
            if (machine.Current is { } qemu && await ReadAsync(qemu, netDev, cancel) is { } reading) vms[machine.Id] = reading;
        return new Reading(time.GetTimestamp(), cpu?.Busy ?? 0, cpu?.Steal ?? 0,
            LoadCounters.Pressure(await TextAsync("/proc/pressure/cpu", cancel)),
            LoadCounters.Pressure(await TextAsync("/proc/pressure/memory", cancel)),
            (LoadCounters.Kilobytes(meminfo, "MemTotal") ?? 0) - (LoadCounters.Kilobytes(meminfo, "MemAvailable") ?? 0),
            links.Distinct().Select(name => (name, Bytes: LoadCounters.Link(netDev, name))).Where(l => l.Bytes is not null)
                .ToDictionary(l => l.name, l => l.Bytes!.Value), vms);
    }

    private async Task<VmReading?> ReadAsync(QemuInstance qemu, string netDev, CancellationToken cancel)
    {
        var proc = string.Create(CultureInfo.InvariantCulture, $"/proc/{qemu.Process.Pid}");
        if (LoadCounters.ProcessCpu(await TextAsync($"{proc}/stat", cancel)) is not { } ticks) return null; // It has just ended.
        long waited = 0;
        foreach (var thread in disk.List($"{proc}/task").Take(ThreadsMax))
            waited += LoadCounters.ThreadWaitNs(await TextAsync($"{proc}/task/{thread}/schedstat", cancel)) ?? 0;
        var network = qemu.Record.Taps.Select(tap => LoadCounters.Link(netDev, tap))
            .Sum(l => l is { } bytes ? bytes.Received + bytes.Sent : 0);
        return new VmReading(qemu.Process, ticks, waited,
            LoadCounters.Kilobytes(await TextAsync($"{proc}/status", cancel), "RssShmem") ?? 0,
            network, LoadCounters.ProcessDisk(await TextAsync($"{proc}/io", cancel)) ?? 0);
    }

    /// <summary>Empty for what is not there, or ends while it is read.</summary>
    private async Task<string> TextAsync(string path, CancellationToken cancel)
    {
        try { return Encoding.UTF8.GetString(await disk.ReadAsync(path, FileBytesMax, cancel) ?? []); }
        catch (IOException) { return ""; }
    }

    private sealed record Reading(
        long Timestamp, long CpuTicks, long StealTicks, double? CpuPressure, double? MemoryPressure, long MemoryUsedBytes,
        IReadOnlyDictionary<string, (long Received, long Sent)> Links, IReadOnlyDictionary<VmId, VmReading> Vms);

    private readonly record struct VmReading(
        ProcessHandle Process, long CpuTicks, long WaitNs, long MemoryBytes, long NetworkBytes, long DiskBytes);
}
