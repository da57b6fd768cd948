using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>The storage under a guest fails: QEMU stops it (io-error), and it stays where it is until that is repaired.</summary>
public sealed class StorageScenarios
{
    [Fact]
    public void A_guest_whose_storage_fails_is_told_stays_where_it_is_and_goes_on_once_it_is_repaired() =>
        World.Run(seed: 211, async world =>
        {
            await world.CreateVmAsync("web", on: "host1");
            var qemu = world.Copy("web", on: "host1")!;
            _ = qemu.FailStorageAsync();
            await world.SleepAsync(12);

            var shown = await ShownAsync(world);
            Assert.Equal(VmState.Paused, shown.State);
            Assert.Contains("storage failed", shown.Trouble, StringComparison.Ordinal);
            Assert.Single(await EventsAsync(world), e => e.Kind == "vm-storage-failed" && e.Vm == "web");
            var move = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
            Assert.Equal(MoveEnd.RolledBack, move.End);
            Assert.Contains(move.Refusals, r => r.Code == "storage-failed");
            Assert.Equal("storage-failed", (await ResumeAsync(world)).Problem?.Code);

            qemu.StorageFails = false;
            Assert.Null((await ResumeAsync(world)).Problem);
            await world.SleepAsync(8);
            Assert.True(world.Runs("web", on: "host1"));
            Assert.Null((await ShownAsync(world)).Trouble);
            Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"))).End);
        });

    [Fact]
    public void Ha_starts_nothing_elsewhere_because_storage_failed() => World.Run(seed: 212, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var qemu = world.Copy("web", on: "host1")!;
        _ = qemu.FailStorageAsync();
        await world.SleepAsync(180);

        Assert.Same(qemu, Assert.Single(world.Ledger.Alive));
        Assert.Equal((VmState.Paused, new HostId("host1")), ((await world.VmAsync("web")).State, (await world.VmAsync("web")).Owner));
        qemu.StorageFails = false;
        Assert.Null((await ResumeAsync(world)).Problem);
    }, new WorldKnobs { Ha = true });

    [Fact]
    public void Storage_that_fails_while_memory_crosses_ends_the_move_at_once_and_says_why() => World.Run(seed: 213, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var qemu = world.Copy("web", on: "host1")!;
        var move = await world.MigrateAsync("web", to: "host2");
        await world.UntilAsync(move, Phase.Memory);
        _ = qemu.FailStorageAsync();

        var ended = await world.EndOfAsync(move);
        Assert.Equal(MoveEnd.RolledBack, ended.End);
        Assert.Contains("storage failed", ended.Reason, StringComparison.Ordinal);
        await world.SleepAsync(12);
        Assert.Equal("io-error", qemu.RunState);
        Assert.NotNull((await ShownAsync(world)).Trouble);
        qemu.StorageFails = false;
        Assert.Null((await ResumeAsync(world)).Problem);
        Assert.True(world.Runs("web", on: "host1"));
    });

    private static Task<Godwit.Server.Api.VmView> ShownAsync(World world) =>
        world.Server.AskAsync(async c => await c.Views.VmAsync(await c.Vms.FindAsync("web")));

    private static Task<List<Godwit.Server.Api.EventView>> EventsAsync(World world) =>
        world.Server.AskAsync(c => c.Stores.Events.LastAsync(100));

    private static Task<Operation> ResumeAsync(World world) =>
        world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, "web", o => o, null, CancellationToken.None));
}
