using System.Globalization;

namespace Godwit.Cli.Lab;

/// <summary>What a guest says of itself. Counters are those of its beats.</summary>
/// <param name="BeatMs">Between two beats: a shorter silence proves nothing.</param>
/// <param name="CpuPercent">What it keeps its processor busy by order.</param>
public sealed record GuestStatus(
    string BootId, long Counter, long Acked, int LoadMib, int ReadyMib, int MibPerS, int WritesPerS,
    long MemoryErrors, long WriteErrors, int BeatMs, int CpuPercent);

/// <summary>Orders to lab guests, over the guests' LAN.</summary>
public sealed class GuestControl(LabPlan plan, LabFolder folder)
{
    /// <summary>One answer, waiting at most 5 s for it.</summary>
    /// <exception cref="LabException">No answer, or the order was not understood.</exception>
    public Task<GuestStatus> PingAsync(string address, CancellationToken cancel = default) =>
        SendAsync(address, "ping", cancel);

    /// <summary>The guest answers, or <paramref name="waitMax"/> (60 s) is over. A boot takes 2 s on an idle machine.</summary>
    public async Task<GuestStatus> WaitUntilUpAsync(
        string address, TimeSpan? waitMax = null, CancellationToken cancel = default)
    {
        for (var deadline = DateTime.UtcNow + (waitMax ?? TimeSpan.FromSeconds(60)); ;)
        {
            try
            {
                return await PingAsync(address, cancel);
            }
            catch (LabException) when (DateTime.UtcNow < deadline)
            {
                // Not up yet: the ping has waited 5 s by itself.
            }
        }
    }

    /// <summary>A working set of <paramref name="mib"/> MiB, touched as a whole before this returns, then dirtied steadily.</summary>
    public Task<GuestStatus> LoadAsync(string address, int mib, int mibPerSecond, CancellationToken cancel = default) =>
        LoadAsync(address, mib, mibPerSecond, pattern: "", cancel);

    /// <summary>As the other, at this rate in the mean.</summary>
    /// <param name="pattern">
    /// Empty: scattered pages, steadily; <c>sequential</c>: one after the other, steadily; <c>bursty</c>: all in a fifth of each
    /// second; <c>periodic</c>: ten seconds twice as much, ten nothing.
    /// </param>
    public async Task<GuestStatus> LoadAsync(string address, int mib, int mibPerSecond, string pattern, CancellationToken cancel)
    {
        const int triesMax = 600;
        var status = await SendAsync(address, $"load {mib} {mibPerSecond} {pattern}".TrimEnd(), cancel);
        for (var tries = 0; status.ReadyMib < mib && tries < triesMax; tries++)
        {
            await Task.Delay(100, cancel);
            status = await PingAsync(address, cancel);
        }
        return status.ReadyMib >= mib
            ? status
            : throw new LabException($"{address} filled only {status.ReadyMib} of {mib} MiB in a minute");
    }

    /// <param name="perSecond">Disk writes, 0 to 5000; a fresh guest does 100.</param>
    public Task<GuestStatus> WritesAsync(string address, int perSecond, CancellationToken cancel = default) =>
        SendAsync(address, $"writes {perSecond}", cancel);

    /// <param name="everyMs">1 to 1000; each millisecond when fresh, which costs an emulated guest a seventh of a processor.</param>
    public Task<GuestStatus> BeatsAsync(string address, int everyMs, CancellationToken cancel = default) =>
        SendAsync(address, $"beats {everyMs}", cancel);

    /// <summary>Keeps its processor busy for this share of the time, as far as its host lets it.</summary>
    public Task<GuestStatus> CpuAsync(string address, int percent, CancellationToken cancel = default) =>
        SendAsync(address, $"cpu {percent}", cancel);

    /// <summary>Ends or restarts the guest from inside: <c>panic</c>, <c>reboot</c>, <c>poweroff</c>.</summary>
    public Task<GuestStatus> EndAsync(string address, string how, CancellationToken cancel = default) =>
        SendAsync(address, how, cancel);

    private async Task<GuestStatus> SendAsync(string address, string order, CancellationToken cancel) =>
        Parse(await LabShell.RunAsync(
            LabNetwork.Inside(plan.LanNamespace, [folder.Prober, "send", address, .. order.Split(' ')]), cancel: cancel));

    private static GuestStatus Parse(string line)
    {
        var words = line.Trim().Split(' ').Skip(1).Select(w => w.Split('=', 2)).ToDictionary(w => w[0], w => w[1]);
        long Number(string name) => long.Parse(words[name], CultureInfo.InvariantCulture);
        return new GuestStatus(words["boot"], Number("counter"), Number("acked"), (int)Number("load_mib"),
            (int)Number("ready_mib"), (int)Number("mib_per_s"), (int)Number("writes_per_s"),
            Number("memory_errors"), Number("write_errors"), (int)Number("beat_ms"), (int)Number("cpu_percent"));
    }
}
