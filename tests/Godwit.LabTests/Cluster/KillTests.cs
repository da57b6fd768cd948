using System.Diagnostics;
using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>
/// kill -9 of each process, once while memory crosses and once in the switch-over, held there by a fail-point or a low
/// bandwidth. The ends are those of docs/design/handover.md; the guest proves by itself that it is there, once.
/// </summary>
[Collection(LabCollection.Name)]
public sealed class KillTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const long SlowBytesPerSecond = 4 << 20; // 256 MiB of mostly zero pages: some ten seconds of memory phase.
    private static readonly TimeSpan RecoveryMax = TimeSpan.FromSeconds(60);

    private int reachedBefore;

    private string FailPointFile => Path.Combine(lab.Cluster.Plan.DataDirectory, "kill-tests-fail-points");

    public enum Victim { Server, SourceAgent, TargetAgent, TargetQemu }

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [RealQemuTheory]
    [InlineData(Victim.Server, MoveEnd.Done)]
    [InlineData(Victim.SourceAgent, MoveEnd.RolledBack)] // The stream ran through it: QEMU says failed, the guest stays.
    [InlineData(Victim.TargetAgent, MoveEnd.RolledBack)]
    [InlineData(Victim.TargetQemu, MoveEnd.RolledBack)]
    public async Task Killed_while_memory_crosses_and_the_guest_does_not_notice(Victim victim, MoveEnd expected)
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var move = await BeginAsync(SlowBytesPerSecond);
        await UntilAsync(move, m => m.Phase == Phase.Memory && m.Progress is { SentBytes: > 0 });

        await KillAsync(victim, move);
        var ended = await EndOfAsync(move);

        Assert.Equal(expected, ended.End);
        await AssertHomeAsync(ended);
        await watch.HoldsAsync();
    }

    [RealQemuTheory]
    [InlineData("outgoing.before-token", Victim.SourceAgent, MoveEnd.RolledBack)]
    [InlineData("outgoing.after-token", Victim.SourceAgent, MoveEnd.Done)]
    [InlineData("incoming.before-intent", Victim.TargetAgent, MoveEnd.RolledBack)]
    [InlineData("incoming.after-intent", Victim.TargetAgent, MoveEnd.Done)]
    public async Task Killed_in_the_switch_over_and_proof_decides(string heldAt, Victim victim, MoveEnd expected)
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var source = (await lab.VmAsync()).Owner.Value;
        var holder = victim == Victim.SourceAgent ? source : await lab.OtherHostAsync();
        await ArmAsync(holder, $"{heldAt}=hold");
        var move = await BeginAsync(0);
        await UntilHeldAsync(holder);

        await RestartAgentAsync(holder);
        var ended = await EndOfAsync(move);

        Assert.Equal(expected, ended.End);
        await AssertHomeAsync(ended);
        await watch.HoldsAsync();
    }

    [RealQemuFact]
    public async Task The_server_killed_in_the_switch_over_is_not_missed()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var target = await lab.OtherHostAsync();
        await ArmAsync(target, "incoming.after-intent=hold");
        var move = await BeginAsync(0);
        await UntilHeldAsync(target);

        await KillAsync(Victim.Server, move);
        LetGo();
        var ended = await EndOfAsync(move);

        Assert.Equal(MoveEnd.Done, ended.End);
        await AssertHomeAsync(ended);
        await watch.HoldsAsync();
        await RestartAgentAsync(target);
    }

    [RealQemuFact]
    public async Task The_target_qemu_killed_before_it_was_told_to_run_sends_the_guest_home()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var target = await lab.OtherHostAsync();
        await ArmAsync(target, "incoming.after-intent=hold");
        var move = await BeginAsync(0);
        await UntilHeldAsync(target);

        await KillAsync(Victim.TargetQemu, move);
        await Task.Delay(500); // The agent reads the end of its monitor: had it said 'cont' to a dying QEMU, it could not know.
        LetGo();
        var ended = await EndOfAsync(move);

        Assert.Equal(MoveEnd.RolledBack, ended.End);
        await AssertHomeAsync(ended);
        await watch.HoldsAsync();
        await RestartAgentAsync(target);
    }

    [RealQemuFact]
    public async Task The_source_qemu_killed_after_the_token_left_is_not_missed()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var target = await lab.OtherHostAsync();
        await ArmAsync(target, "incoming.after-intent=hold");
        var move = await BeginAsync(0);
        await UntilHeldAsync(target);

        KillQemu(move.Source.Value);
        LetGo();
        var ended = await EndOfAsync(move);

        Assert.Equal(MoveEnd.Done, ended.End);
        await AssertHomeAsync(ended);
        await watch.HoldsAsync();
        await RestartAgentAsync(target);
    }

    [RealQemuFact]
    public async Task The_source_qemu_killed_while_memory_crosses_is_a_crash_told_as_one()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var move = await BeginAsync(SlowBytesPerSecond);
        await UntilAsync(move, m => m.Phase == Phase.Memory && m.Progress is { SentBytes: > 0 });

        KillQemu(move.Source.Value);
        var ended = await EndOfAsync(move);

        Assert.Equal(MoveEnd.NeedsOperator, ended.End);
        await lab.WaitForStateAsync(VmState.Crashed);
        await lab.Cluster.Api.ActAsync(LabFixture.VmName, "start", null, default);
        await watch.BrokeOnceAsync();
    }

    [RealQemuFact]
    public async Task An_agent_that_restarts_with_a_running_vm_adopts_it()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var before = await lab.VmAsync();

        await RestartAgentAsync(before.Owner.Value);

        await lab.WaitForStateAsync(VmState.Running);
        Assert.Equal(before.Owner, (await lab.VmAsync()).Owner);
        await watch.HoldsAsync();
    }

    private async Task<Migration> BeginAsync(long bytesPerSecond)
    {
        await UntilBothAnswerAsync(); // An agent restarted by the test before.
        return await lab.Cluster.Api.MigrateAsync(LabFixture.VmName,
            new MigrateRequest(await lab.OtherHostAsync(), MoveMode.Live) { BandwidthBytesPerSecond = bytesPerSecond }, default);
    }

    private async Task UntilAsync(Migration move, Func<Migration, bool> there)
    {
        using var tooLong = new CancellationTokenSource(RecoveryMax);
        await foreach (var now in lab.Cluster.Api.WatchMoveAsync(move.Id, tooLong.Token))
        {
            if (there(now)) return;
            Assert.True(now.End is null, $"it ended before it could be disturbed: {now.End} {now.Reason}");
        }
    }

    private async Task KillAsync(Victim victim, Migration move)
    {
        switch (victim)
        {
            case Victim.Server:
                await lab.Cluster.Server.KillAsync();
                await lab.Cluster.Server.StartAsync(default);
                break;
            case Victim.SourceAgent: await RestartAgentAsync(move.Source.Value); break;
            case Victim.TargetAgent: await RestartAgentAsync(move.Target.Value); break;
            case Victim.TargetQemu: KillQemu(move.Target.Value); break;
        }
    }

    /// <summary>kill -9 and a new start.</summary>
    private async Task RestartAgentAsync(string host, params string[] settings)
    {
        var agent = AgentOf(host);
        await agent.KillAsync();
        await agent.StartAsync(default, settings);
    }

    /// <summary>A new start with a hold in it; returns once the server hears the agent again.</summary>
    private async Task ArmAsync(string host, string failPoint)
    {
        await File.WriteAllTextAsync(FailPointFile, failPoint);
        await RestartAgentAsync(host, $"GODWIT_FAILPOINTS=@{FailPointFile}");
        reachedBefore = Reached(AgentOf(host).LogPath);
        await UntilBothAnswerAsync();
    }

    private void LetGo() => File.WriteAllText(FailPointFile, "");

    /// <summary>The agent told in its log that it stands at the fail-point it was armed with.</summary>
    private async Task UntilHeldAsync(string host)
    {
        var log = AgentOf(host).LogPath;
        for (var since = Stopwatch.StartNew(); since.Elapsed < RecoveryMax; await Task.Delay(5))
            if (Reached(log) > reachedBefore) return;
        Assert.Fail($"{host} never reached its fail-point");
    }

    private static int Reached(string log)
    {
        using var file = new StreamReader(new FileStream(log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return file.ReadToEnd().Split("fail-point ").Length;
    }

    private LabService AgentOf(string host) =>
        lab.Cluster.Agents[lab.Cluster.Plan.Hosts.Select(h => h.Name).ToList().IndexOf(host)];

    private async Task UntilBothAnswerAsync()
    {
        for (var since = Stopwatch.StartNew(); since.Elapsed < RecoveryMax; await Task.Delay(100))
        {
            try
            {
                // The dry run asks both hosts now, and does not answer from what was known before.
                var plan = await lab.Cluster.Api.PlanAsync(
                    LabFixture.VmName, new MigrateRequest(await lab.OtherHostAsync(), MoveMode.Live), default);
                if (plan.Reasons.Count == 0) return;
            }
            catch (ApiException) { } // Not back yet.
        }
        Assert.Fail($"a restarted agent did not come back within {RecoveryMax}");
    }

    /// <summary>The VM's process on that host, found by its run directory on the command line.</summary>
    private void KillQemu(string host)
    {
        var run = lab.Cluster.Plan.Hosts.Single(h => h.Name == host).RunDirectory;
        var vm = lab.VmAsync().GetAwaiter().GetResult().Spec.Id;
        var pids = Directory.EnumerateDirectories("/proc").Select(Path.GetFileName).Where(n => n!.All(char.IsAsciiDigit))
            .Where(pid => CommandLine(pid!).Contains($"{run}/vms/{vm}/qmp-", StringComparison.Ordinal)
                && CommandLine(pid!).Contains("qemu-system", StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(pids);
        foreach (var pid in pids)
        {
            using var qemu = Process.GetProcessById(int.Parse(pid!, System.Globalization.CultureInfo.InvariantCulture));
            qemu.Kill();
            Assert.True(qemu.WaitForExit(RecoveryMax));
        }
    }

    private static string CommandLine(string pid)
    {
        try { return File.ReadAllText($"/proc/{pid}/cmdline"); }
        catch (IOException) { return ""; } // Ended meanwhile.
    }

    private async Task<Migration> EndOfAsync(Migration move)
    {
        var since = Stopwatch.StartNew();
        while (since.Elapsed < RecoveryMax)
        {
            try
            {
                move = await lab.Cluster.Api.MoveAsync(move.Id.Value, default);
                if (move.End is not null) break;
            }
            catch (ApiException) { } // The server is on its way back.
            await Task.Delay(50);
        }
        output.WriteLine($"{move.End} after {since.Elapsed.TotalSeconds:0.0} s: {move.Reason} {string.Join("; ", move.Warnings)}");
        return move;
    }

    private async Task AssertHomeAsync(Migration ended)
    {
        var home = ended.End == MoveEnd.Done ? ended.Target : ended.Source;
        await lab.WaitForStateAsync(VmState.Running);
        Assert.Equal(home, (await lab.VmAsync()).Owner);
    }
}
