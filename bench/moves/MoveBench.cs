using Godwit.Cli.Lab;

namespace Godwit.Moves;

/// <summary>
/// One lab, two programs that move guests in it, turn by turn: A B A B. Only the one whose turn it is has a running
/// guest: on two cores the other's would be in its way.
/// </summary>
internal sealed class MoveBench(BenchOptions options, Report report, LabCluster lab)
{
    private const string Tag = "bench";
    private static readonly GuestSize small = new("small", "512 MiB guest, 64 MiB working set at 10 MiB/s", 512, 64, 10);
    private static readonly GuestSize big = new("big", "1 GiB guest, 256 MiB working set at 50 MiB/s", 1024, 256, 50);
    private static readonly GuestSize hot = new("hot", "1 GiB guest, 512 MiB working set at 400 MiB/s", 1024, 512, 400);
    private static readonly GuestSize huge = new("huge", "4 GiB guest, 512 MiB working set at 10 MiB/s", 4096, 512, 10);
    /// <summary>What godwit is given for a guest that changes faster than it crosses, and how long virsh is waited for.</summary>
    private const int HotDeadlineS = 30, HotPatienceS = 120;
    /// <summary>Let the beats settle, so that the gap heard is the move's.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(1.5);

    private readonly GodwitSide godwit = new(lab);

    public static async Task RunAsync(BenchOptions options, Report report, CancellationToken cancel)
    {
        var plan = LabPlan.Of(Tag, hostCount: 2);
        try
        {
            await using var lab = await LabCluster.StartAsync(plan, new LabOptions { Tell = Report.Tell }, cancel);
            await new MoveBench(options, report, lab).RunAsync(cancel);
        }
        finally
        {
            Report.Tell("Removing hosts, guests, networks and files");
            await LabCluster.RemoveAsync(plan);
        }
    }

    private async Task RunAsync(CancellationToken cancel)
    {
        if (options.Wants("small") || options.Wants("big") || options.Wants("hot")) await CompareAsync(cancel);
        if (options.Wants("small"))
        {
            await QuickAsync(cancel);
            await LazyAsync(small, cancel);
        }
        if (options.Wants("refresh"))
        {
            await RefreshAsync(small, cancel);
            await RefreshAsync(huge, cancel);
        }
        if (options.Wants("idle")) await IdleAsync(cancel);
    }

    private async Task CompareAsync(CancellationToken cancel)
    {
        Report.Tell("Starting a libvirtd on each host");
        var hosts = new List<LibvirtHost>();
        try
        {
            foreach (var host in lab.Plan.Hosts) hosts.Add(await LibvirtHost.StartAsync(host, cancel));
            foreach (var size in new[] { small, big })
                if (options.Wants(size.Name)) await CompareAsync(size, new VirshSide(lab, hosts), cancel);
            if (options.Wants("hot")) await HotAsync(new VirshSide(lab, hosts), cancel);
        }
        finally
        {
            hosts.ForEach(host => host.Dispose());
        }
    }

    private async Task CompareAsync(GuestSize size, VirshSide virsh, CancellationToken cancel)
    {
        IMoveSide[] sides = [godwit, virsh];
        var addresses = new string[sides.Length];
        for (var i = 0; i < sides.Length; i++)
        {
            addresses[i] = await BootAsync(sides[i], size, cancel);
            await sides[i].PauseAsync(cancel);
        }
        for (var run = 0; run <= options.Runs; run++)
        {
            for (var i = 0; i < sides.Length; i++)
            {
                var side = sides[i];
                await side.ResumeAsync(cancel);
                report.Note(size.Words, side.Name, run, await MeasureAsync(
                    side, size, addresses[i], () => side.MoveAsync(3 - side.Host, cancel), cancel));
                await side.PauseAsync(cancel);
            }
        }
        foreach (var side in sides) await side.RemoveAsync(cancel);
    }

    /// <summary>A guest that changes faster than the link carries: who comes to an end?</summary>
    private async Task HotAsync(VirshSide virsh, CancellationToken cancel)
    {
        await AloneAsync(hot, $"with --deadline {HotDeadlineS} --may-quick, ", () => godwit.MoveAsync(3 - godwit.Host,
            ["--deadline", HotDeadlineS.ToString(System.Globalization.CultureInfo.InvariantCulture), "--may-quick"], cancel), cancel);
        await LazyAsync(hot, cancel);
        await BootAsync(virsh, hot, cancel);
        var ended = await virsh.EndsWithinAsync(3 - virsh.Host, TimeSpan.FromSeconds(HotPatienceS), cancel);
        report.Say($"virsh migrate --live, {hot.Words}: {(ended ? "ended" : "had not ended")} after {HotPatienceS} s");
        await virsh.RemoveAsync(cancel);
    }

    private Task QuickAsync(CancellationToken cancel) => AloneAsync(small, "quick move, ", () =>
        godwit.MoveAsync(3 - godwit.Host, ["--mode", "quick"], cancel), cancel);

    /// <summary>Needs the host's leave to let a QEMU wait for memory; what was set before is set again.</summary>
    private async Task LazyAsync(GuestSize size, CancellationToken cancel)
    {
        const string allowed = "/proc/sys/vm/unprivileged_userfaultfd";
        var before = await File.ReadAllTextAsync(allowed, cancel);
        await File.WriteAllTextAsync(allowed, "1", cancel);
        try
        {
            await AloneAsync(size, "lazy move, ", () => godwit.MoveAsync(3 - godwit.Host, ["--mode", "lazy"], cancel), cancel);
            await AloneAsync(size, "hybrid move, --max-pause 20, ", () => godwit.MoveAsync(3 - godwit.Host,
                ["--mode", "hybrid", "--max-pause", "20"], cancel), cancel); // Not so long that it ends as a live one.
        }
        finally { await File.WriteAllTextAsync(allowed, before, CancellationToken.None); }
    }

    private Task RefreshAsync(GuestSize size, CancellationToken cancel) =>
        AloneAsync(size, "refresh, ", () => godwit.RefreshAsync(cancel), cancel);

    private async Task AloneAsync(GuestSize size, string what, Func<Task<CommandCost>> move, CancellationToken cancel)
    {
        var address = await BootAsync(godwit, size, cancel);
        for (var run = 0; run <= options.Runs; run++)
            report.Note(what + size.Words, godwit.Name, run, await MeasureAsync(godwit, size, address, move, cancel));
        await godwit.RemoveAsync(cancel);
    }

    private async Task IdleAsync(CancellationToken cancel)
    {
        await godwit.StartAsync(small, cancel);
        await Task.Delay(TimeSpan.FromSeconds(10), cancel); // What the start left to do is not idling.
        Report.Tell("Watching server and agents idle for a minute");
        (string Name, int Pid)[] processes =
            [("server", lab.Server.Pid), .. lab.Agents.Select((agent, i) => ($"agent {i + 1}", agent.Pid))];
        var before = processes.Select(p => ProcessUse.CpuSeconds(p.Pid)).ToList();
        const int seconds = 60;
        await Task.Delay(TimeSpan.FromSeconds(seconds), cancel);
        for (var i = 0; i < processes.Length; i++)
            report.Idle(processes[i].Name, 100 * (ProcessUse.CpuSeconds(processes[i].Pid) - before[i]) / seconds,
                ProcessUse.ResidentMib(processes[i].Pid));
        await godwit.RemoveAsync(cancel);
    }

    private async Task<string> BootAsync(IMoveSide side, GuestSize size, CancellationToken cancel)
    {
        Report.Tell($"Booting the {size.Words} under {side.Name}");
        var address = await side.StartAsync(size, cancel);
        await lab.Guests.WaitUntilUpAsync(address, TimeSpan.FromMinutes(3), cancel);
        await lab.Guests.LoadAsync(address, size.DirtyMib, size.DirtyMibPerS, cancel);
        return address;
    }

    private async Task<MoveCost> MeasureAsync(
        IMoveSide side, GuestSize size, string address, Func<Task<CommandCost>> move, CancellationToken cancel)
    {
        const string mark = "move";
        // At once where it has its load; a guest that restarted (the report says so) has none any more.
        var begun = await lab.Guests.LoadAsync(address, size.DirtyMib, size.DirtyMibPerS, cancel);
        await Task.Delay(Settle, cancel);
        await lab.Prober.MarkAsync(mark);
        var source = lab.Plan.Hosts.ElementAt(side.Host - 1).Namespace;
        var sentBefore = await SentBytesAsync(source, cancel);
        var command = await move();
        var sent = await SentBytesAsync(source, cancel) - sentBefore;
        await Task.Delay(Settle, cancel);
        var heard = (await lab.Prober.ReportAsync(mark)).Of(address);
        return new MoveCost(command.WallS, heard.GapMs, command.StopToResumeMs, sent / 1048576.0,
            command.Note, Flaws(begun, heard));
    }

    private static string Flaws(GuestStatus begun, GuestTally heard)
    {
        if (heard.BootIds.Any(id => id != begun.BootId)) return "the guest restarted in this move";
        (string Name, long Count)[] counts =
        [
            ("lost beats", heard.Lost), ("duplicates", heard.Duplicates), ("beats of the past", heard.Past),
            ("memory errors", heard.MemoryErrors), ("write errors", heard.WriteErrors),
        ];
        return string.Join(", ", counts.Where(c => c.Count > 0).Select(c => $"{c.Count} {c.Name}"));
    }

    private static async Task<long> SentBytesAsync(string inNamespace, CancellationToken cancel) =>
        long.Parse(await LabShell.RunAsync(
            LabNetwork.Inside(inNamespace, "cat", "/sys/class/net/mig0/statistics/tx_bytes"), cancel: cancel),
            System.Globalization.CultureInfo.InvariantCulture);
}
