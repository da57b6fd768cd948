using System.Diagnostics;
using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core.Migration;
using Godwit.LabTests.Cluster;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.LabTests.Workload;

/// <summary>One leg of a journey: a move begins, something breaks and is repaired, the move ends.</summary>
internal sealed class Travel(LabFixture lab, string vm)
{
    private const long SlowBytesPerSecond = 4 << 20;
    private static readonly TimeSpan readyMax = TimeSpan.FromMinutes(2), endMax = TimeSpan.FromMinutes(6);

    /// <summary>Returns the move with its end; both hosts and the server work again then.</summary>
    public async Task<Migration> GoAsync(Leg leg)
    {
        await UntilReadyAsync();
        var move = await BeginAsync(leg);
        if (leg.Fault == Fault.TargetQemuKilled) await UntilMemoryCrossesAsync(move);
        else await Task.Delay(leg.After);
        await StrikeAsync(leg, move);
        return await EndOfAsync(move);
    }

    private async Task<Migration> BeginAsync(Leg leg) => leg.Way switch
    {
        Way.Refresh => await lab.Cluster.Api.RefreshAsync(vm, new RefreshRequest(), default),
        Way.Quick => await lab.Cluster.Api.MigrateAsync(vm, new MigrateRequest(await lab.OtherHostAsync(vm), MoveMode.Quick), default),
        _ => await lab.Cluster.Api.MigrateAsync(vm, new MigrateRequest(await lab.OtherHostAsync(vm))
        {
            // Held in its memory phase, so that the target's QEMU that is killed cannot be the guest yet.
            BandwidthBytesPerSecond = leg.Fault == Fault.TargetQemuKilled ? SlowBytesPerSecond : 0,
        }, default),
    };

    private async Task StrikeAsync(Leg leg, Migration move)
    {
        switch (leg.Fault)
        {
            case Fault.SourceAgentKilled: await RestartAsync(AgentOf(move.Source.Value)); break;
            case Fault.TargetAgentKilled: await RestartAsync(AgentOf(move.Target.Value)); break;
            case Fault.ServerKilled: await RestartAsync(lab.Cluster.Server); break;
            case Fault.TargetQemuKilled: await KillQemuAsync(move.Target.Value); break;
            case Fault.LinkCut: await CutAsync(move.Target.Value, leg.Outage); break;
            case Fault.None: break;
            default: throw new InvalidOperationException($"no way to do {leg.Fault}");
        }
    }

    private static async Task RestartAsync(LabService service)
    {
        await service.KillAsync();
        await service.StartAsync(default);
    }

    /// <summary>The host's cable to the migration network, pulled and plugged in again.</summary>
    private async Task CutAsync(string host, TimeSpan outage)
    {
        var cable = $"h{lab.Cluster.Plan.Hosts.Single(h => h.Name == host).Number}-mig";
        await SetAsync("down");
        await Task.Delay(outage);
        await SetAsync("up");

        Task SetAsync(string state) => LabShell.RunAsync(["ip", "-n", lab.Cluster.Plan.LanNamespace, "link", "set", cable, state]);
    }

    /// <summary>The VM's process on that host, found by its run directory on the command line.</summary>
    private async Task KillQemuAsync(string host)
    {
        var run = lab.Cluster.Plan.Hosts.Single(h => h.Name == host).RunDirectory;
        var monitor = $"{run}/vms/{(await lab.VmAsync(vm)).Spec.Id}/qmp-";
        var found = Process.GetProcesses().Where(p => CommandLine(p.Id) is var words && words.Contains(monitor, StringComparison.Ordinal)
            && words.Contains("qemu-system", StringComparison.Ordinal)).ToList();
        Assert.Single(found).Kill();
    }

    private static string CommandLine(int pid)
    {
        try { return File.ReadAllText($"/proc/{pid}/cmdline"); }
        catch (IOException) { return ""; } // Ended meanwhile.
    }

    private async Task UntilMemoryCrossesAsync(Migration move)
    {
        using var tooLong = new CancellationTokenSource(readyMax);
        await foreach (var now in lab.Cluster.Api.WatchMoveAsync(move.Id, tooLong.Token))
        {
            if (now is { Phase: Phase.Memory, Progress.SentBytes: > 0 }) return;
            Assert.True(now.End is null, $"it ended before it could be disturbed: {now.End} {now.Reason}");
        }
    }

    private async Task<Migration> EndOfAsync(Migration move)
    {
        for (var since = Stopwatch.StartNew(); since.Elapsed < endMax; await Task.Delay(100))
        {
            try
            {
                move = await lab.Cluster.Api.MoveAsync(move.Id.Value, default);
                if (move.End is not null) return move;
            }
            catch (ApiException) { } // The server is on its way back.
        }
        throw new TimeoutException($"{move.Id} did not end within {endMax}: {move.Phase} {move.Reason}");
    }

    /// <summary>The dry run asks both hosts now, and does not answer from what was known before.</summary>
    private async Task UntilReadyAsync()
    {
        var last = "";
        for (var since = Stopwatch.StartNew(); since.Elapsed < readyMax; await Task.Delay(100))
        {
            try
            {
                var plan = await lab.Cluster.Api.PlanAsync(vm, new MigrateRequest(await lab.OtherHostAsync(vm)), default);
                if (plan.Reasons.Count == 0) return;
                last = string.Join("; ", plan.Reasons.Select(r => r.Cause));
            }
            catch (ApiException e) { last = e.Message; } // Not back yet.
        }
        throw new TimeoutException($"the cluster takes no move of {vm} within {readyMax}: {last}");
    }

    private LabService AgentOf(string host) =>
        lab.Cluster.Agents[lab.Cluster.Plan.Hosts.Select(h => h.Name).ToList().IndexOf(host)];
}
