using System.Diagnostics;
using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.LabTests.Machines;
using Godwit.Tests;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>
/// Every cell of docs/design/failure-table.md, read from there, struck on real processes and real QEMU: kill -9 while
/// the move is held at that very place. The guest proves by itself that it is there, once.
/// </summary>
[Collection(FaultCollection.Name)]
public sealed class KillTableTests(FaultLab lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const long SlowBytesPerSecond = 4 << 20;

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    public static TheoryData<string> Cells() => [.. Strike.All.Select(s => s.Cell)];

    [Fact]
    public void Every_end_of_every_cell_of_the_failure_table_is_struck()
    {
        foreach (var row in FailureTable.Rows())
        {
            var struck = Strike.All.Where(s => FailureTable.Word(s.Phase) == row.Phase && s.Process == row.Process);
            Assert.Equal(FailureTable.EndsOf(row).Order(), struck.Select(s => s.End).Distinct().Order());
        }
    }

    [KillTheory]
    [MemberData(nameof(Cells))]
    public Task Killed_in_this_phase_the_move_ends_as_the_table_says(string cell) =>
        FaultFigures.CountAsync(() => StrikeAsync(Strike.All.Single(s => s.Cell == cell)));

    private async Task StrikeAsync(Strike strike)
    {
        var before = await Leftovers.CountAsync(lab);
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);
        lab.Holds.Arm(strike.HeldAt);
        var move = await lab.BeginMoveAsync(strike.Mode, strike.HeldAt.Count == 0 ? SlowBytesPerSecond : 0);
        if (strike.HeldAt.Count == 0) await lab.SeenAsync(move, m => m is { Phase: Phase.Memory, Progress.SentBytes: > 0 });
        else await lab.Holds.ReachedAsync(strike.HeldAt);

        var since = Stopwatch.StartNew();
        await KillAsync(strike, move);
        if (strike.Process == "server") TellRecovery(strike, since); // What it left goes on at its own pace.
        var ended = await lab.EndOfAsync(move);
        if (strike.Process != "server") TellRecovery(strike, since);
        if (strike.Return == Return.AfterTheMove) await BackAsync(strike, move);

        output.WriteLine($"{ended.End}: {ended.Reason} {string.Join("; ", ended.Warnings)}");
        Assert.True(strike.End == ended.End, $"{ended.End}: {ended.Reason}");
        await AssertGuestAsync(strike, ended, watch);
        await Leftovers.AreGoneAsync(lab, before);
    }

    private async Task KillAsync(Strike strike, Migration move)
    {
        if (strike.Process.EndsWith("QEMU", StringComparison.Ordinal))
        {
            await KillQemuAsync(HostOf(strike.Process, move).Value);
            if (strike.Phase < Phase.Memory && strike.GuestDies) await lab.Holds.ToldAsync($"({FaultLab.VmName}) crashed:");
            if (strike.WithItsAgent) await RestartAsync(lab.AgentOf(move.Target.Value));
            else await Task.Delay(500); // Its agent reads the end of its monitor: what it said to a dying QEMU, nobody knows.
            lab.Holds.Release();
            return;
        }
        var victim = strike.Process == "server" ? lab.Cluster.Server : lab.AgentOf(HostOf(strike.Process, move).Value);
        if (victim == lab.Cluster.Server || strike.Return == Return.AtOnce)
        {
            await RestartAsync(victim);
            if (victim == lab.Cluster.Server) await lab.Cluster.Server.WaitUntilAsync<Migration, ApiException>(
                () => lab.Cluster.Api.MoveAsync(move.Id.Value, default), FaultLab.WaitMax, default);
            return;
        }
        await victim.KillAsync();
        if (strike.Return == Return.BeforeLettingGo) await BackAsync(strike, move);
        lab.Holds.Release();
        if (strike.Return != Return.OnceMissed) return;
        await lab.SeenAsync(move, m => m.Phase >= Phase.Memory);
        await BackAsync(strike, move);
    }

    /// <summary>kill -9; nothing is held any more when the next one comes.</summary>
    private async Task RestartAsync(LabService victim)
    {
        await victim.KillAsync();
        lab.Holds.Release();
        await lab.StartAsync(victim);
    }

    private async Task BackAsync(Strike strike, Migration move)
    {
        if (!strike.Process.EndsWith("agent", StringComparison.Ordinal)) return;
        var host = HostOf(strike.Process, move).Value;
        await lab.StartAsync(lab.AgentOf(host));
        await lab.UntilListensAsync(host);
        await Task.Delay(500); // A server that has just been refused does not ask again at once.
    }

    private async Task KillQemuAsync(string host)
    {
        var pid = Assert.Single(lab.Qemus(host));
        using var qemu = Process.GetProcessById(pid);
        qemu.Kill();
        await FaultLab.UntilAsync($"QEMU {pid} has ended", () => Task.FromResult(!lab.Qemus(host).Contains(pid)));
    }

    private static HostId HostOf(string process, Migration move) =>
        process.StartsWith("source", StringComparison.Ordinal) ? move.Source : move.Target;

    private void TellRecovery(Strike strike, Stopwatch since)
    {
        output.WriteLine($"{strike.Cell}: settled {since.Elapsed.TotalSeconds:0.0} s after the strike");
        FaultFigures.Slowest("recovery-after-a-killed-process-slowest-s", since.Elapsed);
    }

    private async Task AssertGuestAsync(Strike strike, Migration ended, Continuity watch)
    {
        if (strike.GuestDies)
        {
            await lab.WaitForStateAsync(VmState.Crashed);
            await lab.Cluster.Api.ActAsync(FaultLab.VmName, "start", null, default);
            await watch.BrokeOnceAsync();
            return;
        }
        await lab.WaitForStateAsync(VmState.Running);
        Assert.Equal(ended.End == MoveEnd.Done ? ended.Target : ended.Source, (await lab.VmAsync()).Owner);
        await watch.HoldsAsync();
    }
}
