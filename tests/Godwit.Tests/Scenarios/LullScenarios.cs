using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Godwit.Server.Api;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// A guest that writes 5.7 MB within a fifth of each second and rests, over a link on which that takes nearly as long as it rests: a pass
/// meets a burst nearly always.
/// </summary>
public sealed class LullScenarios
{
    private static readonly GuestLoad Bursty =
        new(UsedPages: 9000, WorkingPages: 1400, DirtyBytesPerSecond: 6_000_000, BurstMs: 200);
    private const int MemoryMiB = 40;
    private static readonly WorldKnobs Slow = new() { LinkBytesPerSecond = 8_000_000 };
    private const string Holds = "holds the end of this pass back";

    [Fact]
    public void A_pass_waits_for_the_end_of_a_burst_and_the_move_ends_in_the_rest_whenever_it_begins()
    {
        for (ulong seed = 1; seed <= 10; seed++)
        {
            var laterSeconds = 0.1 * seed;
            World.Run(seed, async world =>
            {
                await FeltAsync(world);
                await world.SleepAsync(laterSeconds);
                var ended = await world.EndOfAsync(await MigrateAsync(world));
                Assert.True(ended.End == MoveEnd.Done, $"seed {seed}: {ended.End}, {ended.Reason}");
                Assert.InRange(ended.Receipt!.PauseMs!.Value, 0, 300);
                Assert.True(ended.Receipt.Passes <= 5, $"seed {seed}: {ended.Receipt.Passes} passes: {Told(ended)}");
                // What was quoted knows of it.
                var quoted = ended.Quote!;
                Assert.InRange(ended.Receipt.WireBytes / quoted.WireBytes.Expected, 0.85, 1.15);
            }, Slow);
        }
    }

    [Fact]
    public void Of_a_guest_that_nobody_has_seen_write_nothing_is_held_back() => World.Run(seed: 1, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Bursty with { DirtyBytesPerSecond = 0 }, MemoryMiB);
        await world.SleepAsync(10);
        var move = await MigrateAsync(world);
        world.Copy("web", on: "host1")!.Load = Bursty;
        var ended = await world.EndOfAsync(move);
        Assert.NotNull(ended.End);
        Assert.DoesNotContain(ended.Receipt?.Steps ?? ended.Progress!.Steps, step => step.What.StartsWith(Holds, StringComparison.Ordinal));
    }, Slow);

    [Fact]
    public void Cancelled_while_the_end_of_a_pass_is_held_back_the_guest_goes_on_at_home() => World.Run(seed: 2, async world =>
    {
        var move = await HeldAsync(world);
        await world.Server.AskAsync(c => c.Migrations.CancelAsync(move));
        var ended = await world.EndOfAsync(move);
        Assert.Equal(MoveEnd.Cancelled, ended.End);
        Assert.True(ended.Progress!.Steps.Any(step => step.What.StartsWith(Holds, StringComparison.Ordinal)), Told(ended));
        Assert.True(world.Runs("web", on: "host1"));
    }, Slow);

    [Fact]
    public void An_agent_that_dies_while_it_holds_lets_the_guest_go_on_at_home() => World.Run(seed: 3, async world =>
    {
        var move = await HeldAsync(world);
        world.Agents["host1"].Kill();
        Assert.Equal(MoveEnd.RolledBack, (await world.EndOfAsync(move)).End);
        await world.SleepAsync(5);
        Assert.True(world.Runs("web", on: "host1"));
    }, Slow);

    [Fact]
    public void A_guest_that_falls_silent_while_the_pass_waits_for_its_burst_is_not_waited_for_long() => World.Run(seed: 4, async world =>
    {
        var move = await HeldAsync(world, laterSeconds: 0.5);
        var copy = world.Copy("web", on: "host1")!;
        copy.Load = Bursty with { QuietFromMs = copy.State.Counter };
        var ended = await world.EndOfAsync(move);
        Assert.True(ended.End == MoveEnd.Done, $"{ended.End}: {ended.Reason}");
        Assert.InRange(ended.Receipt!.PauseMs!.Value, 0, 300);
        Assert.True(ended.Receipt.Steps.Any(step => step.What.StartsWith(Holds, StringComparison.Ordinal)), Told(ended));
        var held = ended.Receipt.Steps.Last(step => step.What.StartsWith(Holds, StringComparison.Ordinal));
        Assert.InRange(ended.Receipt.MemoryMs - held.AtMs, 500, 3500);
    }, Slow);

    /// <summary>Looked at and felt as an agent's own rounds do.</summary>
    private static async Task FeltAsync(World world)
    {
        await world.CreateVmAsync("web", on: "host1", Bursty, MemoryMiB);
        for (var tick = 0; tick < 30; tick++)
        {
            await world.SleepAsync(0.5);
            if (tick % 2 == 0) _ = world.Agents["host1"].Serving!.LookAtNextMemoryAsync(CancellationToken.None);
            world.Agents["host1"].Serving!.FeelMemory();
        }
        // The link is known by a test: a quote is to tell of the guest here, not of the path.
        await world.Server.AskAsync(c => c.LinkTests.TestAsync("host1", "host2", CancellationToken.None));
    }

    private static Task<MoveId> MigrateAsync(World world) =>
        world.MigrateAsync("web", "host2", wish: new MigrateRequest("host2", MaxPauseMs: 300));

    /// <param name="laterSeconds">Where in its second the guest is when the move begins: long enough a wait is wanted.</param>
    private static async Task<MoveId> HeldAsync(World world, double laterSeconds = 0)
    {
        await FeltAsync(world);
        await world.SleepAsync(laterSeconds);
        var move = await MigrateAsync(world);
        var copy = world.Copy("web", on: "host1")!;
        // Its QEMU has had nothing taken for so long, while it has more to send.
        for (var (seen, since) = (0L, world.Loop.Now); world.Loop.Now - since < TimeSpan.FromMilliseconds(150);)
        {
            await world.SleepAsync(0.02);
            var sent = copy.Outgoing.Query()["ram"]?["transferred"]?.GetValue<long>() ?? 0;
            if (sent != seen || sent == 0) (seen, since) = (sent, world.Loop.Now);
        }
        Assert.Null((await world.FindAsync(move)).End);
        return move;
    }

    private static string Told(Migration move) => $"{move.End}, {move.Reason}: " + string.Join("; ",
        (move.Receipt?.Steps ?? move.Progress?.Steps ?? []).Select(s => $"{s.AtMs:0} pass {s.Pass} {s.RemainingBytes >> 10} KiB {s.What}"));
}
