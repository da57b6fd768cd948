using Godwit.Core;
using Godwit.Core.Checking;
using Godwit.Core.Inventory;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Machines;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>Leaks on a simulated host: found by the shipped agent, swept by it, and nothing that a guest uses is touched.</summary>
public sealed class LeakScenarios
{
    private const string Nobody = "vm-00000000000b", Run = "/run/godwit/vms/";

    [Fact]
    public void Taps_memory_and_directories_of_nobody_are_found_and_swept_and_a_running_guest_keeps_its_own() => World.Run(81,
        async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var id = (await world.VmAsync("web")).Spec.Id;
        var host = world.Agents["host1"].Host;
        Assert.Empty(await CheckAsync(world, repair: false));
        Leave(host, id);

        var found = await CheckAsync(world, repair: false);
        Assert.Equal(["leak-memory", "leak-record-directory", "leak-run-directory", "leak-tap", "leak-tap"], found.Select(f => f.Code)
            .Order());
        Assert.All(await CheckAsync(world, repair: true), f => Assert.True(f.IsRepaired, f.What));
        Assert.Empty(await CheckAsync(world, repair: false));
        Assert.True(world.Runs("web", on: "host1")); // Its own tap and memory: the checker of leaks looks at the end.
        Assert.Single(host.Devices.Taps);
    });

    [Fact]
    public void A_qemu_that_no_record_names_is_told_and_outlives_every_repair() => World.Run(82, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        var (id, host) = ((await world.VmAsync("web")).Spec.Id, world.Agents["host1"].Host);
        world.Agents["host1"].RestartAfter = TimeSpan.Zero;
        world.Agents["host1"].Kill();
        var record = $"/var/lib/godwit/vms/{id}/owner.json";
        var content = (await host.Disk.ReadAsync(record, 1 << 20, CancellationToken.None))!;
        host.Disk.DeleteFile(record);
        world.Agents["host1"].Start();
        await world.Loop.Until(() => world.Agents["host1"].Serving is not null);

        var found = await CheckAsync(world, repair: true);
        Assert.Contains(found, f => f is { Code: "leak-process", IsRepaired: false });
        Assert.DoesNotContain(found, f => f.IsRepaired);
        Assert.True(world.Runs("web", on: "host1"));

        // Put back by a person, it is as before.
        await host.Disk.WriteDurablyAsync(record, content, CancellationToken.None);
        world.Agents["host1"].Kill();
        world.Agents["host1"].Start();
        await world.Loop.Until(() => world.Agents["host1"].Serving is not null);
        await world.SleepAsync(20);
        Assert.Equal(VmState.Running, (await world.VmAsync("web")).State);
    });

    /// <summary>
    /// Simulator, seed 60601043: a QEMU that had loaded a saved state stood still as its agent died, and answered the next one late. It
    /// had never run, nobody ended it, and it was in the way of every later start. Nothing runs in one that loads a file before it is the
    /// current one: it is ended without an answer.
    /// </summary>
    [Fact]
    public void A_qemu_that_loaded_a_saved_state_and_does_not_answer_is_ended() => World.Run(105, async world =>
    {
        await world.CreateVmAsync("web", on: "host1");
        world.LetGo("web");
        await DoAsync(world, OperationKind.Save);
        var resume = world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, "web", o => o, null, CancellationToken.None));
        await world.Loop.Until(() => world.Copy("web", on: "host1")?.RunState == "paused");
        var silent = world.Copy("web", on: "host1")!;
        silent.Process.Stall();
        world.Agents["host1"].Kill();
        await resume; // How it ended is not asked here.
        await world.Loop.Until(() => world.Agents["host1"].Serving is not null);
        await world.SleepAsync(60);
        Assert.Empty(world.Ledger.Alive);
        Assert.Null((await DoAsync(world, OperationKind.Resume)).Problem);
        world.WantBack("web");
        await world.Loop.Until(() => world.Runs("web", on: "host1"));
    });

    /// <summary>Simulator, seed 60401061: a repair took the ticket of a link test that was about to begin.</summary>
    [Fact]
    public void A_link_test_that_is_about_to_begin_is_no_leak() => World.Run(106, async world =>
    {
        await world.SleepAsync(5);
        var agent = world.Agents["host2"];
        await agent.Process!.Context.CallAsync(() => agent.Serving!.PrepareLinkTestAsync(new HostId("host1"), CancellationToken.None));
        Assert.Empty(await CheckAsync(world, repair: true));
    });

    private static Task<Operation> DoAsync(World world, OperationKind verb) =>
        world.Server.AskAsync(c => c.Vms.DoAsync(verb, "web", o => o, null, CancellationToken.None));

    private static void Leave(SimHost host, VmId running)
    {
        Assert.Null(host.Devices.Apply("tuntap add dev t00000000000b0a mode tap"));
        Assert.Null(host.Devices.Apply($"tuntap add dev t{running.Value[3..]}0a mode tap")); // Of the VM's other parity: nobody's now.
        host.MapRam($"{Run}{running}/ram-9");
        host.Disk.CreateDirectory(Run + Nobody);
        host.Disk.CreateDirectory($"/var/lib/godwit/vms/{Nobody}");
    }

    private static Task<IReadOnlyList<Finding>> CheckAsync(World world, bool repair) =>
        world.Server.AskAsync(c => c.Checks.CheckAsync(repair, null, CancellationToken.None));
}
