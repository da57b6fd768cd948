using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// The disk an agent writes its records to does not answer, for a while or for ever. What was handed to it may be there all the
/// same, later: nobody may act as if it were not.
/// </summary>
public sealed class HangingDiskScenarios
{
    private const string HeldBeforeIntent = "incoming.before-intent=delay:800";

    [Fact]
    public void A_target_whose_disk_hangs_at_the_intent_gives_the_guest_back_within_seconds() => World.Run(seed: 201, async world =>
    {
        var move = await BeginAsync(world, HeldBeforeIntent);
        await TokenArrivesAsync(world);
        world.Agents["host2"].Host.Disk.Hangs = true;
        var struck = world.Loop.Now;
        await world.Loop.Until(() => world.Runs("web", on: "host1"));
        Assert.True(world.Loop.Now - struck < TimeSpan.FromSeconds(6), $"{world.Loop.Now - struck}");

        var ended = await world.EndOfAsync(move); // While it hangs.
        Assert.Equal(MoveEnd.RolledBack, ended.End);
        Assert.Contains("has not answered", ended.Reason, StringComparison.Ordinal);
        Assert.True(world.Agents["host2"].Host.Disk.Hangs);
        Assert.Null(world.Copy("web", on: "host2"));
        world.Agents["host2"].Host.Disk.Hangs = false;
        await world.SleepAsync(30);
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"))).End);
    });

    /// <summary>The intent is on the disk, or not, or comes there after the next agent has looked: the guest runs once.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_target_that_dies_while_its_intent_hangs_never_runs_the_guest_beside_the_source(bool wholeHost)
    {
        var ends = new HashSet<MoveEnd?>();
        for (var seed = 300ul; seed < 324; seed++) World.Run(seed, async world =>
        {
            var random = SimRandom.Fork(world.Loop.Seed, "strike");
            var move = await BeginAsync(world, HeldBeforeIntent);
            await TokenArrivesAsync(world);
            var target = world.Agents["host2"];
            target.Host.Disk.Hangs = true;
            await world.SleepAsync(random.Next(6000) / 1000.0);
            if (wholeHost)
            {
                world.LetGo("web"); // With its intent on the disk and its memory gone: the guest may have run, for all that is known.
                target.Host.PowerOff();
            }
            else target.Kill();
            await world.SleepAsync(random.Next(6000) / 1000.0);
            target.Host.Disk.Hangs = false;
            target.Host.PowerOn();
            target.FailPoints = null;
            target.Start();

            var ended = await world.EndOfAsync(move);
            if (!wholeHost) Assert.Contains(ended.End, new MoveEnd?[] { MoveEnd.RolledBack, MoveEnd.Done });
            if (ended.End != MoveEnd.NeedsOperator) Assert.Single(world.Ledger.Alive, q => q.IsRunning);
            ends.Add(ended.End);
        });
        Assert.Contains(MoveEnd.RolledBack, ends);
    }

    [Theory]
    [InlineData("host1")]
    [InlineData("host2")]
    public void A_move_that_cannot_be_written_down_ends_before_a_byte_leaves_and_the_guest_never_stops(string hung) =>
        World.Run(seed: 202, async world =>
        {
            await world.CreateVmAsync("web", on: "host1");
            world.Agents[hung].Host.Disk.Hangs = true;
            var stops = world.Ledger.Facts.Count(f => f.Kind == Godwit.Simulator.Qemu.GuestFactKind.Stops);
            var ended = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));

            Assert.Equal(MoveEnd.RolledBack, ended.End);
            Assert.Equal(stops, world.Ledger.Facts.Count(f => f.Kind == Godwit.Simulator.Qemu.GuestFactKind.Stops));
            world.Agents[hung].Host.Disk.Hangs = false;
            await world.SleepAsync(30);
            Assert.True(world.Runs("web", on: "host1"));
            Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"))).End);
        });

    [Theory]
    [InlineData("host1", "outgoing.after-token=delay:300")]
    [InlineData("host2", "incoming.after-intent=delay:300")]
    public void A_disk_that_hangs_once_the_intent_is_written_keeps_no_guest_waiting(string hung, string held) =>
        World.Run(seed: 203, async world =>
        {
            var move = await BeginAsync(world, hung == "host2" ? held : null, hung == "host1" ? held : null);
            await TokenArrivesAsync(world);
            await world.SleepAsync(0.1);
            world.Agents[hung].Host.Disk.Hangs = true;
            await world.Loop.Until(() => world.Runs("web", on: "host2"));
            await world.SleepAsync(60);
            Assert.True(world.Runs("web", on: "host2"));
            world.Agents[hung].Host.Disk.Hangs = false;
            Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move)).End);
        });

    [Fact]
    public void A_refresh_whose_new_qemu_cannot_load_gives_the_guest_back_though_the_disk_hangs() => World.Run(seed: 204, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var move = await world.RefreshAsync("web");
        await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.RunState == "inmigrate" && q.Host.Name == "host1"));
        world.Ledger.Alive.Single(q => q.RunState == "inmigrate").RefuseToLoad();
        await world.Loop.Until(() => world.Ledger.Alive.All(q => !q.IsRunning));
        world.Agents["host1"].Host.Disk.Hangs = true;
        var struck = world.Loop.Now;
        await world.Loop.Until(() => world.Runs("web", on: "host1"));
        Assert.True(world.Loop.Now - struck < TimeSpan.FromSeconds(3), $"{world.Loop.Now - struck}");
        await world.SleepAsync(40);
        world.Agents["host1"].Host.Disk.Hangs = false;
        Assert.Equal(MoveEnd.RolledBack, (await world.EndOfAsync(move)).End);
    });

    [Fact]
    public void A_host_whose_journal_hangs_is_told_and_takes_no_vm_until_it_answers() => World.Run(seed: 205, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var host2 = world.Agents["host2"];
        host2.Host.Disk.Hangs = true;
        _ = host2.Process!.Context.CallAsync(async () =>
        {
            await host2.Serving!.AskDiskAsync();
            return true;
        });
        await world.SleepAsync(12);

        var told = await world.Server.AskAsync(c => c.Views.HostAsync(new HostId("host2")));
        Assert.InRange(told.Facts!.JournalSilentSeconds, 6, 13);
        Assert.Single(await EventsAsync(world), e => e.Kind == "journal-hangs" && e.Host == "host2");
        var refused = await Assert.ThrowsAsync<RefusedException>(() => world.MigrateAsync("web", to: "host2"));
        Assert.Contains(refused.Reasons, r => r.Code == "journal-hangs");

        host2.Host.Disk.Hangs = false;
        await world.SleepAsync(8);
        Assert.Single(await EventsAsync(world), e => e.Kind == "journal-answers");
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"))).End);
    });

    private static Task<List<Godwit.Server.Api.EventView>> EventsAsync(World world) =>
        world.Server.AskAsync(c => c.Stores.Events.LastAsync(100));

    private static async Task<MoveId> BeginAsync(World world, string? target, string? source = null)
    {
        await world.CreateVmAsync("web", on: "host1");
        foreach (var (host, points) in new[] { ("host1", source), ("host2", target) })
        {
            if (points is null) continue;
            var agent = world.Agents[host];
            agent.FailPoints = points;
            agent.Kill();
            await world.Loop.Until(() => agent.Serving is not null);
        }
        return await world.MigrateAsync("web", to: "host2");
    }

    private static async Task TokenArrivesAsync(World world)
    {
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "postmigrate");
        await world.SleepAsync(0.1);
    }
}
