using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Loads;
using Godwit.Core.Power;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Power;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Xunit;

namespace Godwit.Tests.Power;

/// <summary>Turning hosts off and on as people ask for it, over the API, with real hooks.</summary>
public sealed class PowerApiTests
{
    [Fact]
    public async Task Hooks_are_named_never_described_and_lie_apart_from_fences()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        Assert.Equal("power-hook-not-usable", (await server.ProblemAsync("POST", "hosts/h1/settings", new { powerOff = "off" })).Code);
        Assert.Equal("bad-power-hook", (await server.ProblemAsync("POST", "hosts/h1/settings", new { powerOn = "../on" })).Code);
        Assert.Equal("bad-idle-watts", (await server.ProblemAsync("POST", "hosts/h1/settings", new { idleWatts = -1 })).Code);
        Assert.Equal("power-hook-missing", (await server.ProblemAsync("POST", "hosts/h1/standby")).Code);
        Assert.Equal("host-not-found", (await server.ProblemAsync("POST", "hosts/h9/standby")).Code);

        await HookAsync(server, "on", "exit 0");
        await HookAsync(server, "off", "exit 0");
        // What turns a host on must not pass for a proof that it is off.
        Assert.Equal("fence-not-usable", (await server.ProblemAsync("POST", "hosts/h1/settings", new { fence = "on" })).Code);
        var set = await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { powerOff = "off", powerOn = "on", idleWatts = 120 });
        Assert.Equal(("off", "on", 120d), (set.Power.OffHook, set.Power.OnHook, set.Power.IdleWatts));
        set = await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { powerOn = "none" });
        Assert.Equal(("off", null), (set.Power.OffHook, set.Power.OnHook));
    }

    [Fact]
    public async Task Bad_settings_are_refused_with_what_is_possible()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var problem = await server.ProblemAsync("POST", "power", new PowerWish(
            MinHostsOn: 0, LowMinutes: 0, Ceiling: 1, MinOnMinutes: 1, WakeMinutesMax: 0));
        Assert.Equal(["bad-min-hosts", "bad-low-minutes", "bad-min-on-minutes", "bad-wake-minutes", "bad-ceiling"],
            problem.Reasons.Select(r => r.Code));
        Assert.Equal("bad-window", (await server.ProblemAsync("POST", "power", new PowerWish(Windows: ["noon"]))).Code);
        Assert.Equal("nothing-to-set", (await server.ProblemAsync("POST", "power", new { })).Code);
        foreach (var seconds in new[] { 0, 601 })
            Assert.Equal("bad-hold", (await server.ProblemAsync("POST", "power/hold", new PowerHoldWish(seconds, "x"))).Code);
        Assert.Equal("recommendation-not-found", (await server.ProblemAsync("POST", "power/recommendations/wake-h1/apply")).Code);
        var settings = await server.OkAsync<PowerSettings>("POST", "power", new PowerWish(PowerMode.Manual, Windows: ["22:00-06:00"]));
        Assert.Equal("22:00-06:00", Assert.Single(settings.Windows).ToString());
        Assert.Empty((await server.OkAsync<PowerSettings>("POST", "power", new PowerWish(Windows: ["none"]))).Windows);
    }

    [Fact]
    public async Task In_manual_mode_a_person_applies_what_lasted_and_the_host_goes_to_standby_and_comes_back()
    {
        var time = new ShiftedTime();
        await using var server = await ServerUnderTest.StartAtAsync(time, "h1", "h2", "h3");
        var off = await HookAsync(server, "off", "exit 0");
        var on = await HookAsync(server, "on", "exit 0");
        await server.OkAsync<HostView>("POST", "hosts/h3/settings", new { powerOff = "off", powerOn = "on" });
        var web = await server.CreateVmAsync("web", "h3");
        await server.OkAsync<PowerSettings>("POST", "power", new PowerWish(PowerMode.Manual));

        Assert.Contains("15 are wanted", Assert.Single((await LookAsync(server, time, web)).Decisions).Because, StringComparison.Ordinal);
        time.Offset += TimeSpan.FromMinutes(15);
        var asked = Assert.Single((await LookAsync(server, time, web)).Decisions);
        Assert.Equal((PowerDeed.Ask, "standby-h3"), (asked.Deed, asked.Advice.Id));
        await server.OkAsync<HostView>("POST", "power/recommendations/standby-h3/dismiss");
        Assert.Equal(PowerDeed.Wait, Assert.Single((await LookAsync(server, time, web)).Decisions).Deed);
        time.Offset += TimeSpan.FromHours(1);
        await server.OkAsync<PowerHold>("POST", "power/hold", new PowerHoldWish(600, "a rolling upgrade"));
        // A shorter one does not end a longer one.
        var hold = await server.OkAsync<PowerHold>("POST", "power/hold", new PowerHoldWish(1, "x"));
        Assert.Equal("a rolling upgrade", hold.Because);
        Assert.Contains("a rolling upgrade goes on", Assert.Single((await LookAsync(server, time, web)).Decisions).Because,
            StringComparison.Ordinal);
        time.Offset += TimeSpan.FromMinutes(10); // Nobody asked again.
        Assert.Equal(PowerDeed.Ask, Assert.Single((await LookAsync(server, time, web)).Decisions).Deed);

        Assert.Equal(PowerPhase.Emptying,
            (await server.OkAsync<HostView>("POST", "power/recommendations/standby-h3/apply")).Power.Phase);
        await UntilAsync(() => Task.FromResult(File.Exists(off)));
        Assert.Equal("h3\n", await File.ReadAllTextAsync(off));
        Assert.NotEqual(new HostId("h3"), (await server.OkAsync<VmView>("GET", "vms/web")).Owner);
        server.Cluster["h3"].Silent = true;
        await UntilAsync(async () => (await HostAsync(server)).Power.Phase == PowerPhase.Standby);
        Assert.Equal("host-standby", (await server.ProblemAsync("POST", "vms/web/migrate", new { to = "h3" })).Reasons[0].Code);
        Assert.Equal("host-standby", (await server.ProblemAsync("POST", "hosts/h3/restore")).Code);
        var rows = await server.Control.Stores.Audit.LastAsync(DateTimeOffset.UnixEpoch, 100);
        Assert.Equal(["begun", "done"], rows.Where(r => r.Entry.Action == "run power-off hook").Select(r => r.Entry.Result).Order());

        await server.OkAsync<HostView>("POST", "hosts/h3/wake");
        await UntilAsync(() => Task.FromResult(File.Exists(on)));
        Assert.Equal(HostState.Standby, (await HostAsync(server)).State); // Not used before it is proved.
        server.Cluster["h3"].Silent = false;
        await UntilAsync(async () => (await HostAsync(server)).State == HostState.Ready);
        Assert.True(server.Cluster["h3"].Count("WritePoolNonce") > 0);
        Assert.Single((await HostAsync(server)).Power.WakeSeconds);
    }

    [Fact]
    public async Task A_host_whose_vms_have_no_place_elsewhere_is_not_turned_off_by_hand_either()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await HookAsync(server, "off", "exit 0");
        await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { powerOff = "off", powerOn = "off" });
        var offered = (await HostAsync(server, "h1")).MemoryOfferedBytes;
        foreach (var (vm, host) in new[] { ("a", "h1"), ("b", "h2") })
            await server.OkAsync<VmView>("POST", "vms",
                new CreateVmRequest(vm) { Host = host, MemoryBytes = offered * 2 / 3 >> 20 << 20, Start = true });
        Assert.Equal("drain-incomplete", (await server.ProblemAsync("POST", "hosts/h1/standby")).Code);
        Assert.Empty(server.Control.Needs.Open()); // A standby that does not begin asks for no other host.
        await server.ProblemAsync("POST", "hosts/h1/drain");
        await server.ProblemAsync("POST", "vms", new CreateVmRequest("c") { MemoryBytes = offered / 2 >> 20 << 20, Start = true });
        await server.ProblemAsync("POST", "vms/b/migrate");
        Assert.Equal(["a", "c", "b"], server.Control.Needs.Open().Select(need => need.Vm.Name));
        await server.OkAsync<VmView>("POST", "vms/a/save");
        Assert.Equal("vm-saved", (await server.ProblemAsync("POST", "hosts/h1/standby")).Code);
        Assert.Equal(PowerPhase.On, (await HostAsync(server, "h1")).Power.Phase);
    }

    [Fact]
    public async Task What_all_vms_took_together_is_on_record_as_the_clusters()
    {
        var hour = LoadSummary.Of([new LoadPoint(FakeCluster.Now, 2, 1, 1, 2, 3), new LoadPoint(FakeCluster.Now, 4, 1, 1, 2, 3)])!;
        var together = LoadSummary.Together([hour, hour with { CpuMean = 1, WaitMean = 0 }]);
        Assert.Equal((4, 5, 5, 1), (together.CpuMean, together.CpuDemandMax, together.CpuDemandP95, together.WaitMean));

        var time = new ShiftedTime();
        await using var server = await ServerUnderTest.StartAtAsync(time, "h1", "h2");
        var web = await server.CreateVmAsync("web", "h1");
        for (var sample = 0; sample < 70; sample++) await SampleAsync(server, time, web);
        var now = time.GetUtcNow();
        var rows = await server.Control.Stores.Loads.HistoryAsync(Server.Loads.LoadWatch.Cluster, now.AddHours(-1), now);
        Assert.All(rows, row => Assert.Equal(0.5, row.CpuMax, 3));
        Assert.NotEmpty(rows);
        var promised = await server.Control.Stores.Loads.HistoryAsync(Server.Loads.LoadWatch.Promised, now.AddHours(-1), now);
        Assert.All(promised, row => Assert.Equal(web.Spec.MemoryBytes + Host.QemuOverheadBytes, row.MemoryBytes));
        Assert.NotEmpty(promised);
    }

    private static async Task<PowerLook> LookAsync(ServerUnderTest server, ShiftedTime time, VmView vm)
    {
        for (var sample = 0; sample < 6; sample++) await SampleAsync(server, time, vm);
        await server.Control.Power.LookAsync(CancellationToken.None);
        return (await server.OkAsync<PowerView>("GET", "power")).LastLook!;
    }

    private static async Task SampleAsync(ServerUnderTest server, ShiftedTime time, VmView vm)
    {
        time.Offset += TimeSpan.FromSeconds(10);
        server.Cluster[vm.Owner.Value].Load = new HostLoad
        {
            At = FakeCluster.Now, SpanSeconds = 10, MemoryUsedBytes = 1 << 30, CpuCores = 0.5,
            Vms = [new VmLoad(vm.Spec.Id, 0.5, 0, 1 << 20, 0, 0)],
        };
        await server.Control.Loads.RoundAsync(CancellationToken.None);
    }

    private static Task<HostView> HostAsync(ServerUnderTest server, string host = "h3") => server.OkAsync<HostView>("GET", $"hosts/{host}");

    private static async Task UntilAsync(Func<Task<bool>> holds)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        while (!await holds()) await Task.Delay(50, patience.Token);
    }

    /// <summary>A hook that notes each host it is run for; the file it notes them in.</summary>
    private static async Task<string> HookAsync(ServerUnderTest server, string name, string script)
    {
        Directory.CreateDirectory(server.PowerHooks, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var (path, ran) = (Path.Combine(server.PowerHooks, name), Path.Combine(server.Directory, $"ran-{name}"));
        await File.WriteAllTextAsync(path, $"#!/bin/sh\necho \"$1\" >>{ran}\n{script}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return ran;
    }
}
