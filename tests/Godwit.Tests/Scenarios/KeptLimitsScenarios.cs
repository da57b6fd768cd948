using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Server.Api;
using Godwit.Server.Draining;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>What is kept with a VM holds for every move of it, whoever begins it; what a move is told wins.</summary>
public sealed class KeptLimitsScenarios
{
    private static readonly MoveLimits kept = new(MaxPauseMs: 120) { MayQuick = true };

    [Fact]
    public void Kept_limits_hold_for_a_persons_moves_and_a_moves_own_words_win() => World.Run(seed: 11, async world =>
    {
        await PreparedAsync(world);
        Assert.Equal(kept, (await MovedAsync(world, "host2", new MigrateRequest())).Limits);
        Assert.Equal(kept with { MayQuick = false }, (await MovedAsync(world, "host1", new MigrateRequest { MayQuick = false })).Limits);
        Assert.Equal(new MoveLimits(), (await MovedAsync(world, "host2", new MigrateRequest { Policy = "usual" })).Limits);
    });

    [Fact]
    public void They_hold_for_drains_and_for_a_refresh_and_survive_the_server() => World.Run(seed: 12, async world =>
    {
        await PreparedAsync(world);
        world.Server.Kill();
        await world.Server.StartAsync();
        await world.SleepAsync(5); // It hears its hosts again.
        await world.EndOfAsync(await world.RefreshAsync("web"));
        Assert.Equal(kept, (await NewestAsync(world)).Limits);
        await world.Server.AskAsync(c => c.Drains.BeginAsync(new HostId("host1"), new DrainLimits()));
        await world.Loop.Until(() => world.Runs("web", on: "host2"));
        Assert.Equal(kept, (await NewestAsync(world)).Limits);
    });

    [Fact]
    public void What_cannot_be_meant_changes_nothing_and_usual_forgets() => World.Run(seed: 13, async world =>
    {
        await PreparedAsync(world);
        await Assert.ThrowsAsync<RefusedException>(() => SetAsync(world, new LimitsWish { MaxPauseMs = 0 }));
        Assert.Equal(kept, await KeptAsync(world));
        await SetAsync(world, new LimitsWish { DeadlineSeconds = 60 });
        Assert.Equal(kept with { DeadlineSeconds = 60 }, await KeptAsync(world));
        await SetAsync(world, new LimitsWish { Policy = "usual" });
        Assert.Null(await KeptAsync(world));
    });

    private static async Task PreparedAsync(World world)
    {
        await world.CreateVmAsync("web", on: "host1", new GuestLoad());
        await SetAsync(world, new LimitsWish { MaxPauseMs = 120, MayQuick = true });
    }

    private static Task<bool> SetAsync(World world, LimitsWish wish) => world.Server.AskAsync(async c =>
    {
        await c.Placement.SetVmAsync((await c.Vms.FindAsync("web")).Spec.Id, new VmSettingsRequest(Moves: wish));
        return true;
    });

    private static Task<MoveLimits?> KeptAsync(World world) =>
        world.Server.AskAsync(async c => (await c.Views.VmAsync(await c.Vms.FindAsync("web"))).MoveLimits);

    private static async Task<Migration> MovedAsync(World world, string to, MigrateRequest wish)
    {
        var ended = await world.EndOfAsync(await world.MigrateAsync("web", to, wish: wish));
        Assert.True(ended.End == MoveEnd.Done, $"{ended.End}: {ended.Reason}");
        return ended;
    }

    private static Task<Migration> NewestAsync(World world) => world.Server.AskAsync(async c =>
        (await c.Stores.Moves.NewestAsync((await c.Vms.FindAsync("web")).Spec.Id))!);
}
