using Godwit.Core.Migration;
using Godwit.Simulator.Cluster;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Situations of one move, told on the simulator: the shipped code, and the checkers after each step.</summary>
public sealed class MoveScenarios
{
    [Fact]
    public void A_live_move_takes_the_guest_to_its_new_home() => World.Run(seed: 1, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var move = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        Assert.Equal((MoveEnd.Done, null), (move.End, move.Reason));
        Assert.True(world.Runs("web", on: "host2"));
        Assert.Null(world.Copy("web", on: "host1"));
        Assert.InRange(move.Receipt!.PauseMs!.Value, 1, 300);
    });
}
