using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Machines;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// Cells of docs/design/failure-table.md, read from there and struck on the shipped code in the simulator: the row says who
/// is killed in which phase and how the move must end; the checkers watch the rest.
/// </summary>
public sealed class KillTableScenarios
{
    private const string Here = $"{nameof(KillTableScenarios)}.{nameof(Killed_in_this_phase_the_move_ends_as_the_table_says)}";

    /// <summary>A call to an agent takes some 40 ms, so that no phase passes unseen.</summary>
    private static readonly WorldKnobs SlowWires = new() { LinkDelay = TimeSpan.FromMilliseconds(20) };

    public static TheoryData<Phase, string, MoveEnd> Cells()
    {
        var cells = new TheoryData<Phase, string, MoveEnd>();
        foreach (var row in FailureTable.Rows().Where(r => r.CoveredBy.Contains(Here, StringComparison.Ordinal)))
            cells.Add(FailureTable.PhaseOf(row), row.Process, FailureTable.EndsOf(row).Single());
        return cells;
    }

    [Theory]
    [MemberData(nameof(Cells))]
    public void Killed_in_this_phase_the_move_ends_as_the_table_says(Phase phase, string process, MoveEnd end) =>
        World.Run(seed: 100 + (ulong)phase, async world =>
        {
            await world.CreateVmAsync("web", on: "host1");
            if (phase == Phase.Queued) // It waits for one that came before it.
            {
                await world.CreateVmAsync("first", on: "host1");
                await world.UntilAsync(await world.MigrateAsync("first", to: "host2"), Phase.Memory);
            }
            var move = await world.MigrateAsync("web", to: "host2");
            await ComeAsync(world, move, phase, process);
            await KillAsync(world, process);

            var ended = await world.EndOfAsync(move);
            Assert.True(end == ended.End, $"{ended.End}: {ended.Reason}");
        }, SlowWires);

    private static async Task ComeAsync(World world, MoveId move, Phase phase, string process)
    {
        if (phase == Phase.Disks) // Over at once: what is struck is the way from "prepared" to the order to start.
        {
            await SeenAsync(world, "<- host2: PrepareIncomingAsync");
            return;
        }
        var there = await world.UntilAsync(move, phase);
        Assert.True(there.Phase == phase && there.End is null, $"{phase} was missed: it is {there.Phase} {there.End}");
        if (process == "target QEMU") await world.Loop.Until(() => world.Copy("web", on: "host2") is not null);
    }

    private static async Task KillAsync(World world, string process)
    {
        switch (process)
        {
            case "server":
                world.Server.Kill();
                await world.SleepAsync(1);
                await world.Server.StartAsync();
                break;
            case "source agent": world.Agents["host1"].Kill(); break;
            case "target agent": world.Agents["host2"].Kill(); break;
            case "source QEMU": world.Copy("web", on: "host1")?.Process.Exit(ProcessEnd.Injected); break;
            case "target QEMU": world.Copy("web", on: "host2")!.Process.Exit(ProcessEnd.Injected); break;
            default: throw new InvalidOperationException($"nobody knows how to kill '{process}'");
        }
    }

    private static async Task SeenAsync(World world, string sign)
    {
        var seen = false;
        void Look(string who, string what) => seen |= what.Contains(sign, StringComparison.Ordinal);
        world.Loop.Traced += Look;
        await world.Loop.Until(() => seen);
        world.Loop.Traced -= Look;
    }
}
