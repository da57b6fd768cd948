using System.Text;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
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

    [Fact]
    public void A_display_goes_along_and_is_seen_where_its_guest_is() => World.Run(seed: 2, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", display: Display.Vnc);
        var vm = (await world.VmAsync("web")).Spec.Id;
        Assert.Equal("RFB 003.008\n", await GreetingAsync(world, vm, "host1"));
        var move = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        Assert.Equal((MoveEnd.Done, null), (move.End, move.Reason));
        Assert.Contains("vga0", world.Copy("web", on: "host2")!.Options.DeviceIds);
        Assert.Equal("RFB 003.008\n", await GreetingAsync(world, vm, "host2"));
        Assert.Null(world.Copy("web", on: "host1"));
    });

    private static async Task<string> GreetingAsync(World world, VmId vm, string host)
    {
        var agent = world.Agents[host];
        return await agent.Process!.Context.CallAsync(async () =>
        {
            using var display = await agent.Serving!.OpenDisplayAsync(vm, default);
            var greeting = new byte[64];
            return Encoding.ASCII.GetString(greeting, 0, await display.ReadAsync(greeting));
        });
    }
}
