using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Snapshots on simulated hosts, with disks that know how much their guest had written.</summary>
public sealed class SnapshotScenarios
{
    [Fact]
    public void A_guest_boots_from_what_its_disk_held_when_the_snapshot_was_made() => World.Run(seed: 91, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await world.SleepAsync(3);
        await DoneAsync(world, OperationKind.Snapshot, "before");
        var kept = Assert.Single(await ImageAsync(world)).Value;
        await world.SleepAsync(5);
        Assert.Equal("vm-running", (await DoAsync(world, OperationKind.Revert, "before")).Problem?.Code);
        world.LetGo("web");
        await DoneAsync(world, OperationKind.Stop, null);
        var written = Latest(world);
        Assert.InRange(kept, 1, written - 4_000);

        await DoneAsync(world, OperationKind.Revert, "before");
        await DoneAsync(world, OperationKind.Start, null);
        var boot = world.Ledger.Facts.Last(f => f is { Kind: GuestFactKind.Runs, State.Runs: 1 });
        Assert.Equal(kept, boot.State.Counter);
        await DoneAsync(world, OperationKind.DropSnapshot, "before"); // While it runs.
        Assert.Empty(await ImageAsync(world));
        Assert.Empty((await world.VmAsync("web")).Snapshots);
    });

    [Fact]
    public void A_snapshot_goes_where_its_disk_goes() => World.Run(seed: 92, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await DoneAsync(world, OperationKind.Snapshot, "before");
        var move = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        Assert.Equal(MoveEnd.Done, move.End);
        await DoneAsync(world, OperationKind.Snapshot, "after");
        Assert.Equal(["before", "after"], (await world.VmAsync("web")).Snapshots.Select(s => s.Name));
        Assert.Equal(2, (await ImageAsync(world)).Count);
        world.LetGo("web");
        await DoneAsync(world, OperationKind.Stop, null);
        await DoneAsync(world, OperationKind.Revert, "before");
        await DoneAsync(world, OperationKind.Start, null);
        Assert.True(world.Runs("web", on: "host2"));
    });

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(20)]
    [InlineData(60)]
    public void A_server_that_dies_meanwhile_makes_it_once_and_goes_back_once(int milliseconds) => World.Run(seed: 93, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await DyingAsync(world, OperationKind.Snapshot, milliseconds);
        Assert.True(Assert.Single((await world.VmAsync("web")).Snapshots).IsWhole);
        Assert.Single(await ImageAsync(world));
        world.LetGo("web");
        await DoneAsync(world, OperationKind.Stop, null);
        await DyingAsync(world, OperationKind.Revert, milliseconds);
        await DoneAsync(world, OperationKind.Start, null);
        await DyingAsync(world, OperationKind.DropSnapshot, milliseconds);
        Assert.Empty((await world.VmAsync("web")).Snapshots);
        Assert.Empty(await ImageAsync(world));
    });

    [Fact]
    public void A_revert_that_comes_late_changes_nothing() => World.Run(seed: 94, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await DoneAsync(world, OperationKind.Snapshot, "before");
        world.LetGo("web");
        await DoneAsync(world, OperationKind.Stop, null);
        await DoneAsync(world, OperationKind.Revert, "before");
        var vm = await world.VmAsync("web");
        var late = new SnapshotOrder(vm.Spec, vm.Epoch, vm.Snapshots[0].Tag);
        await DoneAsync(world, OperationKind.Start, null);
        await world.SleepAsync(2);
        await RefusedAsync("epoch-stale");
        world.LetGo("web");
        await DoneAsync(world, OperationKind.Stop, null);
        await RefusedAsync("epoch-stale");

        async Task RefusedAsync(string code)
        {
            var agent = world.Agents["host1"];
            var refused = await Assert.ThrowsAsync<RefusedException>(() => agent.Process!.Context.CallAsync(
                () => agent.Serving!.RevertToSnapshotAsync(late, CancellationToken.None)));
            Assert.Equal(code, refused.Reasons[0].Code);
        }
    });

    [Fact]
    public void A_saved_vm_is_left_as_it_is() => World.Run(seed: 95, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        await DoneAsync(world, OperationKind.Snapshot, "before");
        world.LetGo("web");
        await DoneAsync(world, OperationKind.Save, null);
        Assert.Equal("vm-saved", (await DoAsync(world, OperationKind.Snapshot, "now")).Problem?.Code);
        Assert.Equal("vm-saved", (await DoAsync(world, OperationKind.Revert, "before")).Problem?.Code);
        await DoneAsync(world, OperationKind.DropSnapshot, "before"); // What the disk is now stays as it is.
        await DoneAsync(world, OperationKind.Resume, null);
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
    });

    [Fact]
    public void While_it_is_moved_nothing_else_is_done_with_it() => World.Run(seed: 96, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var move = await world.MigrateAsync("web", to: "host2");
        var busy = await Assert.ThrowsAsync<RefusedException>(() => DoAsync(world, OperationKind.Snapshot, "now"));
        Assert.Equal("vm-busy", busy.Reasons[0].Code);
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(move)).End);
    });

    private static Task<Operation> DoAsync(World world, OperationKind kind, string? snapshot) => world.Server.AskAsync(c =>
        c.Vms.DoAsync(kind, "web", o => o with { Snapshot = snapshot, Force = kind == OperationKind.Stop }, null, CancellationToken.None));

    private static async Task DoneAsync(World world, OperationKind kind, string? snapshot)
    {
        var ended = await DoAsync(world, kind, snapshot);
        Assert.True(ended.Problem is null, $"{kind}: {ended.Problem?.Cause}");
    }

    /// <summary>The server dies so long after the order was given; the next one ends what was begun.</summary>
    private static async Task DyingAsync(World world, OperationKind kind, int milliseconds)
    {
        var asked = world.Server.AskAsync(c =>
            c.Vms.DoAsync(kind, "web", o => o with { Snapshot = "before" }, null, CancellationToken.None));
        await world.SleepAsync(milliseconds / 1000.0);
        world.Server.Kill();
        try { await asked; }
        catch (ServerGoneException) { } // As meant, unless it was quicker.
        await world.Server.StartAsync();
        for (var tries = 0; tries < 100; tries++)
        {
            if ((await world.Server.AskAsync(c => c.Stores.Operations.UnfinishedAsync())).Count == 0) break;
            await world.SleepAsync(0.2);
        }
        var vm = await world.VmAsync("web");
        if (kind == OperationKind.Snapshot && vm.Snapshots.Count == 0) await DoneAsync(world, kind, "before"); // It died before anything.
        if (kind == OperationKind.DropSnapshot && vm.Snapshots.Count > 0) await DoneAsync(world, kind, "before");
    }

    private static async Task<IReadOnlyDictionary<string, long>> ImageAsync(World world)
    {
        var disk = (await world.VmAsync("web")).Spec.Disks[0];
        return world.Storage.Find($"{Godwit.Simulator.Machines.SimStorage.Directory}/{disk.File}")!.Snapshots;
    }

    private static long Latest(World world) => world.Ledger.Facts.Max(f => f.State.Counter);
}
