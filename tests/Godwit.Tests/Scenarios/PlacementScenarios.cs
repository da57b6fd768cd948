using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Server.Api;
using Godwit.Server.Draining;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Placement rules in a cluster in which things move and break: no way to a host goes round them.</summary>
public sealed class PlacementScenarios
{
    private static readonly WorldKnobs Three = new() { Hosts = 3, Ha = true };

    [Fact]
    public void Two_that_are_to_be_apart_never_share_a_host_through_start_move_drain_and_recovery() => World.Run(seed: 71, async world =>
    {
        await PairAsync(world, RuleKind.Apart, "host1", "host2");
        await RefusedAsync(world, "rule-apart", () => world.MigrateAsync("db2", to: "host1"));

        // Both ask for the third host at once: one gets it.
        var both = new[] { TryAsync(() => world.MigrateAsync("db1", to: "host3")), TryAsync(() => world.MigrateAsync("db2", to: "host3")) };
        var begun = (await Task.WhenAll(both)).Where(move => move is not null).ToList();
        Assert.Single(begun);
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(begun[0]!.Value)).End);
        await ApartAsync(world);

        // Started on the host of the other: not that, and not without a word.
        var (one, two) = ((await world.VmAsync("db1")).Owner, (await world.VmAsync("db2")).Owner);
        await world.Server.AskAsync(c => c.Drains.BeginAsync(one, new DrainLimits()));
        await world.Loop.Until(() => !world.Runs("db1", on: one.Value));
        await DrainedAsync(world, one);
        await ApartAsync(world);
        await world.Server.AskAsync(c => c.Drains.RestoreAsync(one, andReturn: false));

        // The host of the second dies: it comes back, and not beside the first.
        two = (await world.VmAsync("db2")).Owner;
        world.Agents[two.Value].Host.PowerOff();
        await world.Loop.Until(() => Places(world, "db2").Any(host => host != two.Value));
        await ApartAsync(world);
    }, Three);

    [Fact]
    public void A_drain_that_a_rule_leaves_no_host_for_says_so_and_moves_nothing() => World.Run(seed: 72, async world =>
    {
        await PairAsync(world, RuleKind.Apart, "host1", "host2");
        var refused = await RefusedAsync(world, "drain-incomplete",
            () => world.Server.AskAsync(c => c.Drains.BeginAsync(new HostId("host1"), new DrainLimits())));
        Assert.Contains("db2 is on host2, and rule pair keeps it apart from db1", refused.Reasons[0].Cause, StringComparison.Ordinal);
        Assert.Equal(["host1"], Places(world, "db1"));

        await world.Server.AskAsync(c => c.Drains.BeginAsync(new HostId("host1"), new DrainLimits(AllowPartial: true)));
        var ended = await DrainedAsync(world, new HostId("host1"));
        Assert.Equal((DrainEnd.Blocked, "rule-apart"), (ended.End!.Value, ended.Vms.Single().Why[0].Code));
        await ApartAsync(world);
    }, new WorldKnobs { Hosts = 2 });

    [Fact]
    public void Two_that_are_to_be_together_leave_a_drained_host_together() => World.Run(seed: 73, async world =>
    {
        await PairAsync(world, RuleKind.Together, "host1", "host1");
        await world.Server.AskAsync(c => c.Drains.BeginAsync(new HostId("host1"), new DrainLimits()));
        Assert.Equal(DrainEnd.Drained, (await DrainedAsync(world, new HostId("host1"))).End);
        Assert.Equal(Assert.Single(Places(world, "db1")), Assert.Single(Places(world, "db2")));
        Assert.NotEqual(["host1"], Places(world, "db1"));
    }, new WorldKnobs { Hosts = 3 });

    [Fact]
    public void A_vm_that_no_host_may_take_is_not_brought_back_and_the_rule_is_named() => World.Run(seed: 74, async world =>
    {
        await PairAsync(world, RuleKind.Apart, "host1", "host2");
        world.LetGo("db1");
        world.Agents["host1"].Host.PowerOff();
        await world.Loop.Until(() => !world.Runs("db1", on: "host1"));
        HostRecovery? begun = null;
        for (var tries = 0; begun is null && tries < 60; tries++)
        {
            await world.SleepAsync(5); // Until its silence is noticed.
            begun = await world.Server.AskAsync(async c => (await c.Stores.Hosts.FindAsync(new HostId("host1")))!.Answers ? null
                : await c.Fencing.RecoverAsync(new HostId("host1"), fenced: true, "host1", "anna", default));
        }
        var ended = await world.Server.AskAsync(c => c.Recoveries.EndOfAsync(begun!.Id, default));
        Assert.Equal(RecoveryEnd.NeedsOperator, ended.End);
        Assert.Contains("rule pair keeps it apart", Assert.Single(ended.Vms!).Outcome, StringComparison.Ordinal);
        Assert.Empty(Places(world, "db1"));
    }, new WorldKnobs { Hosts = 2 });

    private static async Task PairAsync(World world, RuleKind kind, string host1, string host2)
    {
        foreach (var (name, host) in new[] { ("db1", host1), ("db2", host2) })
        {
            await world.CreateVmAsync(name, on: host);
            await world.Server.AskAsync(async c =>
            {
                await c.Placement.SetVmAsync((await c.Vms.FindAsync(name)).Spec.Id, new VmSettingsRequest(Tag: ["db"]));
                return true;
            });
        }
        var view = await world.Server.AskAsync(c => c.Placement.AddRuleAsync(new RuleRecord("pair", kind, "db")));
        Assert.Equal((2, 0), (view.Vms, view.Broken));
    }

    private static string[] Places(World world, string vm) =>
        [.. world.Ledger.Alive.Where(q => q.Options.Name == vm && !q.Process.HasExited).Select(q => q.Host.Name).Distinct()];

    private static async Task ApartAsync(World world)
    {
        Assert.Empty(Places(world, "db1").Intersect(Places(world, "db2")));
        Assert.NotEqual((await world.VmAsync("db1")).Owner, (await world.VmAsync("db2")).Owner);
    }

    private static async Task<RefusedException> RefusedAsync<T>(World world, string code, Func<Task<T>> act)
    {
        var refused = await Assert.ThrowsAsync<RefusedException>(act);
        Assert.Equal(code, refused.Reasons[0].Code);
        return refused;
    }

    private static async Task<MoveId?> TryAsync(Func<Task<MoveId>> begin)
    {
        try { return await begin(); }
        catch (RefusedException refused)
        {
            Assert.Equal("rule-apart", refused.Reasons[0].Code);
            return null;
        }
    }

    private static async Task<Drain> DrainedAsync(World world, HostId host)
    {
        for (var second = 0; second < 3600; second++)
        {
            if (await world.Server.AskAsync(c => c.Stores.Drains.LatestAsync(host)) is { HasEnded: true } ended) return ended;
            await world.SleepAsync(1);
        }
        throw new Godwit.Simulator.Loop.SimFailedException("the drain did not end within an hour");
    }
}
