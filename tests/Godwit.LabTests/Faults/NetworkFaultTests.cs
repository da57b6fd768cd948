using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.LabTests.Machines;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>
/// The network section of docs/design/failure-table.md on real sockets: what lies between two namespaces is cut, half
/// open, reset or slow, while memory crosses and in the switch-over.
/// </summary>
[Collection(FaultCollection.Name)]
public sealed class NetworkFaultTests(FaultLab lab, ITestOutputHelper output) : IAsyncLifetime
{
    /// <summary>A fault that is to strike while memory crosses needs a memory that crosses for longer than it takes to strike.</summary>
    private const long SlowBytesPerSecond = 6 << 20, SlowestBytesPerSecond = 1 << 20;

    private Wires Wires => new(lab.Cluster.Plan);

    public enum Fault { Cut, AnswersLost, OrdersLost, Reset, Slow }

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public async Task DisposeAsync()
    {
        if (lab.Cluster is null) return;
        foreach (var host in lab.Cluster.Plan.Hosts) await Wires.HealAsync(host.Name);
    }

    [FaultTheory]
    [InlineData("source", Fault.Cut)]
    [InlineData("source", Fault.AnswersLost)]
    [InlineData("source", Fault.Reset)]
    [InlineData("source", Fault.Slow)]
    [InlineData("target", Fault.Cut)]
    [InlineData("target", Fault.OrdersLost)]
    [InlineData("target", Fault.Reset)]
    [InlineData("target", Fault.Slow)]
    public Task A_server_cut_off_from_an_agent_while_memory_crosses_does_not_disturb_the_move(string side, Fault fault) =>
        WatchedAsync(async () =>
        {
            var move = await BeginInMemoryAsync();

            await StrikeAsync(Host(move, side), Wires.Management, fault);
            await UntilStruckAsync(Host(move, side), Wires.Management, fault);
            await lab.ArrivesAsync(move); // The agents do it alone: only then the server hears again.
            await Wires.HealAsync(Host(move, side));

            return (move, MoveEnd.Done);
        });

    [FaultTheory]
    [InlineData("source")]
    [InlineData("target")]
    public Task A_server_cut_off_in_the_switch_over_learns_of_the_end_later(string side) => WatchedAsync(async () =>
    {
        var move = await BeginHeldAsync("incoming.after-intent");

        await Wires.CutAsync(Host(move, side), Wires.Management);
        lab.Holds.Release();
        await lab.ArrivesAsync(move);
        await Wires.HealAsync(Host(move, side));

        return (move, MoveEnd.Done);
    });

    [FaultTheory]
    [InlineData(Fault.Cut)] // The order does not arrive.
    [InlineData(Fault.AnswersLost)] // It arrives, and a candidate waits for a source that is never told of it.
    [InlineData(Fault.Reset)]
    public Task A_server_cut_off_from_the_target_before_memory_takes_the_move_back(Fault fault) => WatchedAsync(async () =>
    {
        var move = await BeginHeldAsync(fault == Fault.Reset ? "incoming.prepared" : Holds.AtServer(Phase.Preparing));

        await StrikeAsync(move.Target.Value, Wires.Management, fault);
        lab.Holds.Release();
        await UntilStruckAsync(move.Target.Value, Wires.Management, fault);
        if (fault != Fault.Reset) await FaultLab.UntilAsync("the target counts as unreachable", async () =>
            (await lab.Cluster.Api.HostAsync(move.Target.Value, default)).State == HostState.Unreachable);
        await Wires.HealAsync(move.Target.Value);

        return (move, MoveEnd.RolledBack);
    });

    [FaultTheory]
    [InlineData(Fault.Cut, MoveEnd.RolledBack)] // No byte for 15 s.
    [InlineData(Fault.AnswersLost, MoveEnd.RolledBack)]
    [InlineData(Fault.Reset, MoveEnd.RolledBack)]
    [InlineData(Fault.Slow, MoveEnd.Done)] // Pace and window follow.
    public Task A_link_that_fails_while_memory_crosses_leaves_the_guest_at_home(Fault fault, MoveEnd end) => WatchedAsync(async () =>
    {
        var move = await BeginInMemoryAsync(end == MoveEnd.Done ? SlowBytesPerSecond : SlowestBytesPerSecond);

        await StrikeAsync(move.Target.Value, Wires.Link, fault);
        await UntilStruckAsync(move.Target.Value, Wires.Link, fault);
        var ended = await lab.EndOfAsync(move);

        return (ended, end);
    });

    [FaultTheory]
    [InlineData("incoming.after-intent", Fault.Cut, MoveEnd.Done)] // The target runs; the server relays the proof.
    [InlineData("incoming.after-intent", Fault.AnswersLost, MoveEnd.Done)]
    [InlineData("incoming.after-cont", Fault.Reset, MoveEnd.Done)]
    [InlineData("outgoing.before-token", Fault.Cut, MoveEnd.RolledBack)] // The token is lost on the way: proof that it never ran.
    public Task A_link_that_fails_around_the_token_is_bridged_by_the_server(string heldAt, Fault fault, MoveEnd end) =>
        WatchedAsync(async () =>
        {
            var move = await BeginHeldAsync(heldAt);

            await StrikeAsync(move.Target.Value, Wires.Link, fault);
            lab.Holds.Release();
            await UntilStruckAsync(move.Target.Value, Wires.Link, fault);

            return (await lab.EndOfAsync(move), end);
        });

    private async Task WatchedAsync(Func<Task<(Migration Move, MoveEnd End)>> fault) => await FaultFigures.CountAsync(async () =>
    {
        var before = await Leftovers.CountAsync(lab);
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);

        var (move, end) = await fault();
        var ended = await lab.EndOfAsync(move);

        output.WriteLine($"{ended.End}: {ended.Reason} {string.Join("; ", ended.Warnings)}");
        Assert.True(end == ended.End, $"{ended.End}: {ended.Reason}");
        await lab.WaitForStateAsync(VmState.Running);
        Assert.Equal(end == MoveEnd.Done ? ended.Target : ended.Source, (await lab.VmAsync()).Owner);
        var heard = await watch.HoldsAsync();
        output.WriteLine($"client-seen pause {heard.GapMs} ms");
        foreach (var host in lab.Cluster.Plan.Hosts) await Wires.HealAsync(host.Name);
        await Leftovers.AreGoneAsync(lab, before);
    });

    private async Task<Migration> BeginInMemoryAsync(long bytesPerSecond = SlowBytesPerSecond)
    {
        var move = await lab.BeginMoveAsync(bytesPerSecond: bytesPerSecond);
        return await lab.SeenAsync(move, m => m is { Phase: Phase.Memory, Progress.SentBytes: > 0 });
    }

    private async Task<Migration> BeginHeldAsync(string place)
    {
        lab.Holds.Arm(place);
        var move = await lab.BeginMoveAsync();
        await lab.Holds.ReachedAsync([place]);
        return move;
    }

    private Task StrikeAsync(string host, string device, Fault fault) => fault switch
    {
        Fault.Cut => Wires.CutAsync(host, device),
        Fault.AnswersLost => Wires.CutAsync(host, device, Lost.Outgoing),
        Fault.OrdersLost => Wires.CutAsync(host, device, Lost.Incoming),
        Fault.Reset => Wires.ResetAsync(host, device),
        _ => Wires.SlowAsync(host, device, device == Wires.Link ? "40mbit" : "128kbit"),
    };

    private Task UntilStruckAsync(string host, string device, Fault fault) =>
        fault == Fault.Reset ? Wires.UntilResetAsync(host, device) : Task.CompletedTask;

    private static string Host(Migration move, string side) => (side == "source" ? move.Source : move.Target).Value;
}
