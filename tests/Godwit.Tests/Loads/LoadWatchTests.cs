using Godwit.Core;
using Godwit.Core.Loads;
using Godwit.Core.Ports;
using Godwit.Server.Api;
using Godwit.Server.Loads;
using Godwit.Server.Store;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Xunit;

namespace Godwit.Tests.Loads;

/// <summary>From hosts' answers to what the API tells, through a whole server and its store.</summary>
public sealed class LoadWatchTests
{
    [Fact]
    public async Task What_hosts_tell_is_kept_and_a_silent_one_holds_up_nobody()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var vm = await server.CreateVmAsync("web", "h1");
        server.Cluster["h2"].Fails["SampleLoad"] = new AgentUnreachableException(new HostId("h2"), "silent");
        server.Cluster["h1"].Load = Load(vm.Spec.Id, cpu: 1.5, wait: 0.25);
        await server.Control.Loads.RoundAsync(CancellationToken.None);

        var load = await server.OkAsync<LoadView>("GET", "vms/web/load");
        Assert.Equal((1.5f, 0.25f), (load.Window!.Now.CpuCores, load.Window.Now.WaitCores));
        Assert.Equal(1.75, load.Window.CpuToReckonWith, 3);
        Assert.Equal(2.5f, (await server.OkAsync<LoadView>("GET", "hosts/h1/load")).Window!.Now.CpuCores);
        Assert.Null((await server.OkAsync<LoadView>("GET", "hosts/h2/load")).Window);
        Assert.Equal("host-not-found", (await server.ProblemAsync("GET", "hosts/h9/load")).Code);
    }

    [Fact]
    public async Task Five_minutes_become_a_row_and_what_the_host_had_nothing_to_compare_with_none()
    {
        var time = new ShiftedTime();
        await using var server = await ServerUnderTest.StartRemoteAsync(time);
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        server.Cluster["h1"].Load = Load(null, cpu: 1, wait: 0) with { SpanSeconds = 0 };
        await server.Control.Loads.RoundAsync(CancellationToken.None);
        Assert.Null((await server.OkAsync<LoadView>("GET", "hosts/h1/load")).Window);

        server.Cluster["h1"].Load = Load(null, cpu: 1, wait: 0);
        await server.Control.Loads.RoundAsync(CancellationToken.None);
        time.Offset = LoadStore.Slot;
        await server.Control.Loads.RoundAsync(CancellationToken.None);
        var row = Assert.Single((await server.OkAsync<LoadView>("GET", "hosts/h1/load")).History);
        Assert.Equal((300, 2.0), (row.SpanSeconds, row.CpuMean));
    }

    [Fact]
    public async Task Hours_are_made_of_their_slots_and_old_rows_go()
    {
        using var store = new StoreUnderTest();
        var hour = new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero);
        for (var slot = 0; slot < 12; slot++)
            await store.Stores.Loads.AddAsync(hour + slot * LoadStore.Slot, [("vm/vm-1", Summary(cpu: slot))]);
        var now = hour.AddHours(1);
        Assert.Equal(12, (await store.Stores.Loads.HistoryAsync("vm/vm-1", hour, now)).Count);
        var coarse = Assert.Single(await store.Stores.Loads.HistoryAsync("vm/vm-1", now.AddDays(-2), now));
        Assert.Equal((3600, 5.5, 11), (coarse.SpanSeconds, coarse.CpuMean, coarse.CpuMax));

        var later = hour.AddDays(2) - LoadStore.Slot;
        await store.Stores.Loads.AddAsync(later, [("vm/vm-1", Summary(cpu: 3))]);
        Assert.Single(await store.Stores.Loads.HistoryAsync("vm/vm-1", hour, hour.AddHours(2)));
        Assert.Equal(2, (await store.Stores.Loads.HistoryAsync("vm/vm-1", hour.AddDays(-2), later)).Count);
    }

    [Fact]
    public async Task Of_memory_that_was_promised_the_most_of_an_hour_is_kept_and_of_all_else_the_mean()
    {
        using var store = new StoreUnderTest();
        var hour = new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero);
        for (var slot = 0; slot < 12; slot++)
            await store.Stores.Loads.AddAsync(hour + slot * LoadStore.Slot,
                [(LoadWatch.Promised, Summary(0) with { MemoryMean = slot }), ("vm/vm-1", Summary(0) with { MemoryMean = slot })]);
        foreach (var (thing, memory) in new[] { (LoadWatch.Promised, 11.0), ("vm/vm-1", 5.5) })
            Assert.Equal(memory,
                Assert.Single(await store.Stores.Loads.HistoryAsync(thing, hour.AddDays(-2), hour.AddHours(1))).MemoryBytes);
    }

    private static HostLoad Load(VmId? vm, double cpu, double wait) => new()
    {
        At = FakeCluster.Now, SpanSeconds = 10, CpuCores = cpu + 1, MemoryUsedBytes = 1 << 30, CpuPressure = 0.1,
        Vms = vm is { } id ? [new VmLoad(id, cpu, wait, 1 << 20, 100, 200)] : [],
    };

    private static LoadSummary Summary(double cpu) => LoadSummary.Of([new LoadPoint(FakeCluster.Now, (float)cpu, 0, 1, 2, 3)])!;
}
