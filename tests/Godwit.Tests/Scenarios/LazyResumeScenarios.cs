using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// A saved VM that runs before its memory is there. Whatever dies meanwhile, it is never another guest's memory that it runs on, and
/// never zeros: the simulated QEMU tells of both (R1 to R7 after every step).
/// </summary>
public sealed class LazyResumeScenarios
{
    [Theory, InlineData(901UL), InlineData(902UL), InlineData(903UL)]
    public void A_saved_vm_runs_before_its_memory_is_there_and_all_of_it_comes(ulong seed) => World.Run(seed, async world =>
    {
        await SavedAsync(world);
        await DoAsync(world, OperationKind.Resume, o => o with { Lazily = true });
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
        Assert.True(Arrives(world));
        Assert.NotEmpty(SavedFiles(world)); // It is still needed.
        await world.Loop.Until(() => !Arrives(world));
        await world.SleepAsync(1);
        Assert.Empty(SavedFiles(world));
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        Assert.True(world.Runs("web", on: "host2"));
    });

    [Theory, InlineData(911UL), InlineData(912UL), InlineData(913UL), InlineData(914UL), InlineData(915UL), InlineData(916UL)]
    public void An_agent_that_dies_while_memory_arrives_leaves_a_guest_that_the_next_one_fills(ulong seed) => World.Run(seed, async world =>
    {
        await ArrivingAsync(world);
        world.Agents["host1"].Kill();
        await world.SleepAsync(seed % 3);
        world.Agents["host1"].Start();
        await world.Loop.Until(() => !Arrives(world));
        await world.SleepAsync(40);
        Assert.True(world.Runs("web", on: "host1"));
        Assert.Empty(SavedFiles(world));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
        await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        Assert.True(world.Runs("web", on: "host2"));
    });

    [Theory, InlineData(921UL), InlineData(922UL), InlineData(923UL), InlineData(924UL)]
    public void An_agent_that_dies_before_the_guest_runs_leaves_a_file_that_is_resumed_again(ulong seed) => World.Run(seed, async world =>
    {
        await SavedAsync(world);
        var resume = world.Server.AskAsync(c => Do(c, OperationKind.Resume, o => o with { Lazily = true }));
        await world.Loop.Until(() => world.Ledger.Alive.Any(q => q.Ram.Arriving is not null));
        world.Agents["host1"].Kill();
        Assert.NotNull((await resume).Problem);
        world.Agents["host1"].Start();
        await world.SleepAsync(60);
        if ((await world.VmAsync("web")).State == VmState.Saved) await DoAsync(world, OperationKind.Resume, o => o);
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
    });

    [Fact]
    public void A_qemu_that_dies_while_its_memory_arrives_has_crashed_and_its_file_is_gone() => World.Run(seed: 931, async world =>
    {
        await ArrivingAsync(world);
        world.LetGo("web");
        world.Copy("web", on: "host1")!.Process.Exit(Simulator.Machines.ProcessEnd.Injected);
        await world.SleepAsync(20);
        Assert.Equal(VmState.Crashed, (await world.VmAsync("web")).State);
        Assert.Empty(SavedFiles(world));
        await DoAsync(world, OperationKind.Start, o => o);
        world.WantBack("web");
        Assert.Equal(2, world.Ledger.LifeOf("web"));
    });

    [Fact]
    public void A_store_from_before_a_lazy_resume_cannot_have_its_file_resumed_again() => World.Run(seed: 951, async world =>
    {
        await SavedAsync(world);
        var saved = await world.VmAsync("web");
        await DoAsync(world, OperationKind.Resume, o => o with { Lazily = true });
        world.WantBack("web");
        Assert.True(Arrives(world));
        // What such a store would order of the other host.
        await Assert.ThrowsAnyAsync<Exception>(() => world.Server.AskAsync(c => c.Agents.Of(new HostId("host2")).StartVmAsync(
            new StartVm(saved.Spec, saved.Epoch.Next(), saved.SavedFile), CancellationToken.None)));
        await world.SleepAsync(5);
        Assert.Equal(1, world.Ledger.Alive.Count(q => q.Options.Name == "web"));
        Assert.True(world.Runs("web", on: "host1"));
    });

    /// <summary>For longer than who gives the memory asks again, the rest is filled in once the pool is back.</summary>
    [Theory, InlineData(961UL, 20), InlineData(962UL, 700)]
    public void A_pool_that_fails_for_a_while_only_delays_the_rest_of_its_memory(ulong seed, int seconds) => World.Run(seed, async world =>
    {
        await ArrivingAsync(world);
        world.Agents["host1"].Host.Disk.LargeReadsFail = true;
        await world.SleepAsync(seconds);
        Assert.True(Arrives(world));
        world.Agents["host1"].Host.Disk.LargeReadsFail = false;
        await world.SleepAsync(60);
        Assert.False(Arrives(world));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
        Assert.True(world.Runs("web", on: "host1"));
    });

    /// <summary>QEMU has let go of the memory, and the record does not say so yet: nothing may be written into it any more.</summary>
    [Theory, InlineData(963UL), InlineData(964UL), InlineData(965UL)]
    public void An_agent_that_dies_as_the_last_page_came_leaves_nothing_to_fill_in(ulong seed) => World.Run(seed, async world =>
    {
        await ArrivingAsync(world);
        await world.Loop.Until(() => !Arrives(world));
        world.Agents["host1"].Host.Disk.BeSlow(true);
        world.Agents["host1"].Kill();
        Assert.NotEmpty(SavedFiles(world));
        world.Agents["host1"].Start();
        await world.SleepAsync(60);
        Assert.Empty(SavedFiles(world));
        Assert.True(world.Runs("web", on: "host1"));
        world.Agents["host1"].Host.Disk.BeSlow(false);
    });

    [Fact]
    public void A_pool_in_which_no_name_can_be_changed_loses_no_saved_state() => World.Run(seed: 966, async world =>
    {
        await SavedAsync(world);
        world.Agents["host1"].Host.Disk.RefusesNames = true;
        await DoAsync(world, OperationKind.Resume, o => o with { Lazily = true });
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
        await world.SleepAsync(20);
        Assert.Empty(SavedFiles(world));
        Assert.Equal(1, world.Ledger.LifeOf("web"));
    });

    [Fact]
    public void A_host_whose_memory_does_not_come_page_by_page_resumes_whole_or_not_at_all() => World.Run(seed: 967, async world =>
    {
        await SavedAsync(world);
        world.Agents["host1"].Host.Disk.BringsOtherPages = "they are huge";
        var refused = await world.Server.AskAsync(c => Do(c, OperationKind.Resume, o => o with { Lazily = true }));
        Assert.Contains("cannot come page by page: they are huge", refused.Problem!.Detail!, StringComparison.Ordinal);
        Assert.NotEmpty(SavedFiles(world));
        Assert.Equal(VmState.Saved, (await world.VmAsync("web")).State);
        await DoAsync(world, OperationKind.Resume, o => o);
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
    });

    [Fact]
    public void A_damaged_mebibyte_ends_the_guest_as_crashed_and_is_named() => World.Run(seed: 971, async world =>
    {
        await SavedAsync(world);
        var content = world.Agents["host1"].Host.Storage.Files[SavedFiles(world).Single()];
        content[content.Length - (3 << 20)] ^= 1;
        await DoAsync(world, OperationKind.Resume, o => o with { Lazily = true });
        await world.SleepAsync(30);
        var vm = await world.VmAsync("web");
        Assert.Equal(VmState.Crashed, vm.State);
        var reports = await world.Server.AskAsync(c => c.Agents.Of(vm.Owner).ListVmsAsync(CancellationToken.None));
        Assert.Contains("has a wrong checksum", reports.Single().Note!, StringComparison.Ordinal);
        Assert.Empty(SavedFiles(world));
    });

    [Fact]
    public void It_is_neither_moved_nor_saved_before_all_of_its_memory_is_there() => World.Run(seed: 941, async world =>
    {
        await ArrivingAsync(world);
        var vm = await world.VmAsync("web");
        var facts = await world.Server.AskAsync(c => c.Agents.Of(vm.Owner).CheckSourceAsync(vm.Spec.Id, CancellationToken.None));
        Assert.Contains("is still in", Assert.Single(facts.Blockers));
        world.LetGo("web");
        var save = await world.Server.AskAsync(c => Do(c, OperationKind.Save, o => o));
        Assert.Equal("memory-arriving", save.Problem?.Code);
        world.WantBack("web");
        Assert.True(world.Runs("web", on: "host1"));
    });

    private static async Task SavedAsync(World world)
    {
        await world.CreateVmAsync("web", on: "host1", new GuestLoad(UsedPages: 4000, WorkingPages: 3000));
        await world.SleepAsync(5);
        world.LetGo("web"); // Its memory goes into a file.
        await DoAsync(world, OperationKind.Save, o => o);
        Assert.NotEmpty(SavedFiles(world));
        world.Agents["host1"].Host.Disk.LargeReadTime = TimeSpan.FromMilliseconds(60);
    }

    private static async Task ArrivingAsync(World world)
    {
        await SavedAsync(world);
        await DoAsync(world, OperationKind.Resume, o => o with { Lazily = true });
        world.WantBack("web");
        Assert.True(Arrives(world));
    }

    private static bool Arrives(World world) => world.Copy("web", on: "host1") is { Ram.Arriving: not null };

    private static List<string> SavedFiles(World world) =>
        [.. world.Agents["host1"].Host.Storage.Files.Keys.Where(f => f.Contains(".saved", StringComparison.Ordinal))];

    private static Task<Operation> Do(Server.ControlPlane plane, OperationKind verb, Func<Operation, Operation> with) =>
        plane.Vms.DoAsync(verb, "web", with, null, CancellationToken.None);

    private static async Task DoAsync(World world, OperationKind verb, Func<Operation, Operation> with) =>
        Assert.Null((await world.Server.AskAsync(c => Do(c, verb, with))).Problem);
}
