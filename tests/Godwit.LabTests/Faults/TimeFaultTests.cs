using System.Globalization;
using Godwit.Cli.Lab;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.LabTests.Machines;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>Processes that stand still for longer than every time-out and go on, clocks that jump, orders that come twice.</summary>
[Collection(FaultCollection.Name)]
public sealed class TimeFaultTests(FaultLab lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const long SlowBytesPerSecond = 6 << 20;
    private const string Faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [FaultFact]
    public Task A_server_that_stands_still_during_a_move_finds_it_done() => WatchedAsync(async () =>
    {
        var move = await BeginInMemoryAsync();

        await using (await StandstillAsync(lab.Cluster.Server)) await lab.ArrivesAsync(move);

        return (move, [MoveEnd.Done]);
    });

    [FaultFact]
    public Task A_source_agent_that_stands_still_while_memory_crosses_is_waited_for() => WatchedAsync(async () =>
    {
        var move = await BeginInMemoryAsync();

        await using (await StandstillAsync(lab.AgentOf(move.Source.Value))) await UntilUnreachableAsync(move.Source.Value);

        return (move, [MoveEnd.RolledBack, MoveEnd.Done]); // Whether the link outlived it.
    });

    [FaultFact]
    public Task A_target_agent_that_stands_still_while_memory_crosses_loses_the_move() => WatchedAsync(async () =>
    {
        var move = await BeginInMemoryAsync();

        await using (await StandstillAsync(lab.AgentOf(move.Target.Value))) await lab.EndOfAsync(move);

        return (move, [MoveEnd.RolledBack]);
    });

    [FaultFact]
    public Task A_source_agent_that_wakes_up_after_its_token_left_lets_the_guest_go() => WatchedAsync(async () =>
    {
        lab.Holds.Arm("outgoing.after-token");
        var move = await lab.BeginMoveAsync();
        await lab.Holds.ReachedAsync(["outgoing.after-token"]);

        await using (await StandstillAsync(lab.AgentOf(move.Source.Value)))
        {
            lab.Holds.Release();
            await UntilUnreachableAsync(move.Source.Value);
            await lab.Cluster.Guests.WaitUntilUpAsync(lab.Guest); // It runs at the target meanwhile.
        }

        return (move, [MoveEnd.Done]);
    });

    [FaultFact]
    public Task A_target_agent_that_stands_still_when_the_token_comes_is_waited_for() => WatchedAsync(async () =>
    {
        lab.Holds.Arm("outgoing.before-token");
        var move = await lab.BeginMoveAsync();
        await lab.Holds.ReachedAsync(["outgoing.before-token"]);

        await using (await StandstillAsync(lab.AgentOf(move.Target.Value)))
        {
            lab.Holds.Release();
            await UntilUnreachableAsync(move.Target.Value);
        }

        return (move, [MoveEnd.Done, MoveEnd.RolledBack]); // Its intent, or the server's question, whichever is first.
    });

    [FaultTheory]
    [InlineData("source", 365)]
    [InlineData("source", -365)]
    [InlineData("target", 365)]
    [InlineData("target", -365)]
    public Task A_wall_clock_that_jumps_by_a_year_during_a_move_changes_nothing(string side, int days) => WatchedAsync(async () =>
    {
        var source = (await lab.VmAsync()).Owner.Value;
        var host = side == "source" ? source : await lab.OtherHostAsync();
        var clock = Path.Combine(lab.Cluster.Plan.DataDirectory, "clock-of-the-agent");
        await File.WriteAllTextAsync(clock, "+0");
        await RestartAsync(host, $"LD_PRELOAD={Faketime}", $"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1");
        await lab.ReadyAsync();
        var move = await BeginInMemoryAsync();

        await File.WriteAllTextAsync(clock, string.Create(CultureInfo.InvariantCulture, $"{days:+0;-0}d"));
        var ended = await lab.EndOfAsync(move);
        await RestartAsync(host);

        return (ended, [MoveEnd.Done]);
    });

    [FaultFact]
    public Task A_cancel_said_twice_is_one_cancel_and_quick() => WatchedAsync(async () =>
    {
        var move = await BeginInMemoryAsync();
        var since = System.Diagnostics.Stopwatch.StartNew();

        var answers = await Task.WhenAll(Enumerable.Repeat(move.Id.Value, 2).Select(id => lab.Cluster.Api.CancelMoveAsync(id, default)));
        var ended = await lab.EndOfAsync(move);

        FaultFigures.Slowest("cancel-while-memory-crosses-s", since.Elapsed);
        output.WriteLine($"cancelled after {since.Elapsed.TotalSeconds:0.00} s");
        Assert.All(answers, a => Assert.Equal(move.Id, a.Id));
        return (ended, [MoveEnd.Cancelled]);
    });

    private Task WatchedAsync(Func<Task<(Migration Move, MoveEnd[] Ends)>> fault) => FaultFigures.CountAsync(async () =>
    {
        if (!File.Exists(Faketime)) Assert.Fail($"{Faketime} is not there: apt-get install libfaketime");
        var before = await Leftovers.CountAsync(lab);
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);

        var (move, ends) = await fault();
        var ended = await lab.EndOfAsync(move);

        output.WriteLine($"{ended.End}: {ended.Reason} {string.Join("; ", ended.Warnings)}");
        Assert.True(ends.Contains(ended.End!.Value), $"{ended.End}: {ended.Reason}");
        await lab.WaitForStateAsync(VmState.Running);
        Assert.Equal(ended.End == MoveEnd.Done ? ended.Target : ended.Source, (await lab.VmAsync()).Owner);
        output.WriteLine($"client-seen pause {(await watch.HoldsAsync()).GapMs} ms");
        await Leftovers.AreGoneAsync(lab, before);
    });

    private async Task<Migration> BeginInMemoryAsync()
    {
        var move = await lab.BeginMoveAsync(bytesPerSecond: SlowBytesPerSecond);
        return await lab.SeenAsync(move, m => m is { Phase: Phase.Memory, Progress.SentBytes: > 0 });
    }

    private Task UntilUnreachableAsync(string host) => FaultLab.UntilAsync($"{host} counts as unreachable", async () =>
        (await lab.Cluster.Api.HostAsync(host, default)).State == HostState.Unreachable);

    private async Task RestartAsync(string host, params string[] settings)
    {
        await lab.AgentOf(host).KillAsync();
        await lab.AgentOf(host).StartAsync(default, [.. lab.Settings, .. settings]);
        await lab.UntilListensAsync(host);
    }

    /// <summary>SIGSTOP now, SIGCONT at the end.</summary>
    private static async Task<Standstill> StandstillAsync(LabService service)
    {
        await LabShell.RunAsync(["kill", "-STOP", $"{service.Pid}"]);
        return new Standstill(service.Pid);
    }

    private sealed record Standstill(int Pid) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync() => await LabShell.RunAsync(["kill", "-CONT", $"{Pid}"]);
    }
}
