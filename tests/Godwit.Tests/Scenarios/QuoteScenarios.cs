using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Quotes in the simulator: the shipped looking, predicting and learning over guests whose memory is known to the page.</summary>
public sealed class QuoteScenarios
{
    private static readonly GuestLoad Busy = new(UsedPages: 1024, WorkingPages: 256, DirtyBytesPerSecond: 800_000);

    [Fact]
    public void A_look_finds_how_much_is_used_and_how_much_of_it_changes() => World.Run(seed: 1, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Busy);
        await world.SleepAsync(5);
        var memory = await LookAsync(world, "web");
        Assert.InRange(memory!.TotalBytes, 16 << 20, 17 << 20);
        Assert.InRange(memory.NonZeroBytes, 0.95 * 1024 * 4096, 1.05 * 1024 * 4096);
        Assert.InRange(memory.DirtyBytesWithin(300), 0.6 * 240_000, 1.4 * 240_000);
        Assert.InRange(memory.DirtyBytesWithin(3000), 0.8 * 256 * 4096, 1.2 * 256 * 4096); // All it ever writes.
        Assert.Equal(30, memory.Slices.Count);
        Assert.InRange(memory.Slices.Average(), 0.6 * 80_000, 1.4 * 80_000); // A tenth of a second's, again and again.
        Assert.InRange(memory.ChangedPackRatio, 1, 1000);
        Assert.True(memory.LookWritten > 0, "nobody felt it during its first look, which tells by itself");
    });

    [Fact]
    public void A_look_tells_when_the_guest_worked_and_when_it_rested() => World.Run(seed: 7, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Busy);
        await world.SleepAsync(5);
        var looking = LookAsync(world, "web");
        await world.SleepAsync(1);
        await DoAsync(world, OperationKind.Pause);
        var memory = await looking;
        Assert.All(memory!.Slices.Take(8), bytes => Assert.True(bytes > 0));
        Assert.All(memory.Slices.Skip(13), bytes => Assert.Equal(0, bytes));
        var clock = new GuestClock(memory);
        Assert.Equal(0, clock.DirtyBytesBetween(2000, 2900));
        Assert.True(clock.DirtyBytesBetween(100, 900) > 3 * 80_000);
    });

    [Fact]
    public void A_paused_guest_changes_nothing_and_a_stopped_one_cannot_be_looked_at() => World.Run(seed: 2, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Busy);
        await DoAsync(world, OperationKind.Pause);
        Assert.Equal(0, (await LookAsync(world, "web"))!.DirtyBytesWithin(3000));
        world.LetGo("web");
        await DoAsync(world, OperationKind.Stop, force: true);
        Assert.Null(await LookAsync(world, "web"));
    });

    [Fact]
    public void A_guest_that_works_in_turns_is_quoted_by_the_turn_the_move_will_meet() => World.Run(seed: 8, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Busy);
        var agent = world.Agents["host1"].Serving!;
        // Eight seconds of work, eight of rest, felt and looked at as an agent's own rounds do.
        for (var tick = 0; tick < 6 * 32; tick++)
        {
            if (tick > 0 && tick % 16 == 0) await DoAsync(world, tick % 32 == 0 ? OperationKind.Resume : OperationKind.Pause);
            await world.SleepAsync(0.5);
            agent.FeelMemory();
            if (tick % 2 == 0) _ = agent.LookAtNextMemoryAsync(CancellationToken.None);
        }
        var memory = (await LookAsync(world, "web"))!; // It has rested for eight seconds, and three more while looked at.
        Assert.InRange(memory.Rhythm!.PeriodSlices(), 31, 35); // Asking it to pause and to go on takes its time, too.
        Assert.NotNull(GuestTurn.Of(memory));
        var works = new GuestClock(memory);
        Assert.InRange(memory.Rhythm.Longer[^1].Bytes, 0.7 * 256 * 4096, 1.3 * 256 * 4096); // All it ever writes.
        // Looked at in a rest, it is told what its work does: by a look into that.
        Assert.True(memory.LookWritten > 0);
        // By its turn it would have been at work again for three seconds, and has five more to go.
        Assert.True(works.DirtyBytesBetween(0, 4000) > 3 * works.DirtyBytesBetween(6500, 10_500));
    });

    [Fact]
    public void Quotes_come_to_hold_within_a_tenth() => World.Run(seed: 3, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Busy);
        List<Migration> moves = [];
        for (var n = 0; n < 10; n++)
        {
            var vm = await world.VmAsync("web");
            await LookAsync(world, "web"); // As the agent's own round does.
            moves.Add(await world.EndOfAsync(await world.MigrateAsync("web", vm.Owner.Value == "host1" ? "host2" : "host1")));
        }
        Assert.All(moves, move => Assert.NotNull(move.Quote));
        var score = PromiseScore.Of([.. moves.Skip(5)], MoveMode.Live);
        Assert.Equal((5, 0), (score.Moves, score.LimitsBroken));
        Assert.True(score.BytesWithinTenth >= 0.8, $"bytes {score.BytesWithinTenth}: {Told(moves)}");
        Assert.True(score.PauseErrorMs90 <= 50, $"pause off by {score.PauseErrorMs90} ms: {Told(moves)}");
    }, new WorldKnobs { LinkBytesPerSecond = 4_000_000 });

    [Fact]
    public void A_plan_has_its_quote_and_one_that_cannot_keep_the_limit_says_what_would()
    {
        // 4 MB/s of changes over a link of 2 MB/s.
        var wild = new GuestLoad(UsedPages: 2048, WorkingPages: 1500, DirtyBytesPerSecond: 4_000_000);
        World.Run(seed: 4, async world =>
        {
            await world.CreateVmAsync("web", on: "host1", wild);
            await world.SleepAsync(5);
            var plan = await world.Server.AskAsync(c => c.Wishes.PlanAsync(
                "web", new MigrateRequest("host2", MaxPauseMs: 100), null, CancellationToken.None));
            Assert.Empty(plan.Reasons);
            // The path is not known yet, and thought to be quick enough; a move teaches it.
            var first = await world.EndOfAsync(await world.MigrateAsync("web", "host2", MoveMode.Quick));
            Assert.Equal(MoveEnd.Done, first.End);
            plan = await world.Server.AskAsync(c => c.Wishes.PlanAsync(
                "web", new MigrateRequest("host1", MaxPauseMs: 100), null, CancellationToken.None));
            Assert.Equal(["max-pause 100 ms"], plan.Quote!.Ways[0].Breaks);
            Assert.NotEmpty(plan.Quote.Relaxations);

            var refused = await world.EndOfAsync(
                await world.MigrateAsync("web", "host1", wish: new MigrateRequest("host1", MaxPauseMs: 100)));
            Assert.Equal(MoveEnd.RolledBack, refused.End);
            Assert.StartsWith(PromiseScore.WouldHavePaused, refused.Reason, StringComparison.Ordinal);
        }, new WorldKnobs { LinkBytesPerSecond = 2_000_000 });
    }

    [Fact]
    public void A_link_test_finds_the_links_rate_and_a_quote_takes_it_until_a_move_tells_more() => World.Run(seed: 5, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Busy);
        var link = await world.Server.AskAsync(c => c.LinkTests.TestAsync("host1", "host2", CancellationToken.None));
        Assert.InRange(link.Figures.BytesPerSecond, 3_200_000, 4_100_000);
        Assert.InRange(link.Figures.RoundTripMs, 0.2, 20);
        Assert.Single(await world.Server.AskAsync(c => c.LinkTests.ListAsync()));

        var plan = await world.Server.AskAsync(c => c.Wishes.PlanAsync("web", new MigrateRequest("host2"), null, CancellationToken.None));
        Assert.True(plan.Quote!.Path is { Moves: 0, IsTested: true });
        Assert.Equal(link.Figures.BytesPerSecond, plan.Quote.Path.WireBytesPerSecond);
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host2")); // The link is free again.
    }, new WorldKnobs { LinkBytesPerSecond = 4_000_000 });

    /// <summary>A refresh has nothing but devices in its stream: what it told of one VM is told of another of the same shape.</summary>
    [Fact]
    public void A_quote_tells_of_devices_and_free_processors_what_is_known() => World.Run(seed: 8, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Busy);
        await world.CreateVmAsync("twin", on: "host1", Busy);
        Assert.Null((await PlanAsync(world, "twin")).Quote!.Facts!.Devices);
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        await world.EndOfAsync(await world.RefreshAsync("web"));
        await world.SleepAsync(15); // Loads are asked for every ten seconds.

        var facts = (await PlanAsync(world, "twin")).Quote!.Facts!;
        Assert.Equal((1, false), (facts.Devices!.Moves, facts.Devices.IsOwn));
        Assert.InRange(facts.Devices.StateBytes!.Value, SimRamStream.DeviceBytes, 2 * SimRamStream.DeviceBytes);
        Assert.InRange(facts.Devices.LoadMs!.Value, 0, 60);
        Assert.Equal(["host1", "host2"], facts.Headroom.Select(host => host.Host.Value));
        Assert.All(facts.Headroom, host => Assert.InRange(host.FreeCores, 0, host.Cores));
        Assert.True((await PlanAsync(world, "web", to: "host1")).Quote!.Facts!.Devices!.IsOwn);
    });

    private static Task<MovePlan> PlanAsync(World world, string vm, string to = "host2") =>
        world.Server.AskAsync(c => c.Wishes.PlanAsync(vm, new MigrateRequest(to), null, CancellationToken.None));

    [Fact]
    public void Links_are_tested_by_themselves_once_the_cluster_is_quiet() => World.Run(seed: 6, async world =>
    {
        await world.SleepAsync(400);
        var links = await world.Server.AskAsync(c => c.LinkTests.ListAsync());
        Assert.Equal(6, links.Count); // Three hosts, each with the two others.
    }, new WorldKnobs { Hosts = 3 });

    private static async Task<MemoryProfile?> LookAsync(World world, string name)
    {
        var vm = await world.VmAsync(name);
        return await world.Server.AskAsync(c => c.Agents.Of(vm.Owner).MeasureMemoryAsync(
            vm.Spec.Id, TimeSpan.Zero, mayLook: true, CancellationToken.None));
    }

    private static async Task DoAsync(World world, OperationKind verb, bool force = false)
    {
        var done = await world.Server.AskAsync(
            c => c.Vms.DoAsync(verb, "web", o => o with { Force = force }, null, CancellationToken.None));
        Assert.Null(done.Problem);
    }

    private static string Told(IEnumerable<Migration> moves) => string.Join("; ", moves.Select(m =>
        $"{m.Receipt?.WireBytes} B (quoted {m.Quote?.WireBytes.Expected:0}), "
        + $"{m.Receipt?.PauseMs:0.0} ms (quoted {m.Quote?.PauseMs.Expected:0.0})"));
}
