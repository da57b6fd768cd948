using Godwit.Core;
using Godwit.Core.Checking;
using Godwit.Core.Hosts;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>What hosts report changes the record; nothing that a report says changes a host.</summary>
public sealed class WatcherTests
{
    /// <summary>Simulator, seed 21725: that a proof was incomplete was known to the server of that day only.</summary>
    [Fact]
    public async Task A_pool_that_could_not_be_proved_shared_is_proved_by_the_next_server()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        server.Cluster["h1"].Silent = true;
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h2", endpoint = "h2:7443" });
        await server.StopAsync();
        server.Cluster["h1"].Silent = false;
        await server.StartAgainAsync();

        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Equal([new HostId("h1")], (await server.OkAsync<HostView>("GET", "hosts/h2")).SharedPools["default"]);
    }

    /// <summary>
    /// Simulator, seed 5222219: a pool was read-only as it was proved, the server died before it kept that it was, and the next one
    /// found it as it had always been.
    /// </summary>
    [Fact]
    public async Task A_pool_whose_proof_outlived_the_facts_it_was_made_for_is_proved_again()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var (watcher, hosts, h1) = (server.Control.Watcher, server.Control.Stores.Hosts, server.Cluster["h1"]);
        await watcher.RoundAsync(CancellationToken.None);
        var facts = h1.Facts;
        h1.Facts = facts with { Pools = [.. facts.Pools.Select(pool => pool with { Writable = false })] };
        await watcher.RoundAsync(CancellationToken.None);
        Assert.Empty((await server.OkAsync<HostView>("GET", "hosts/h1")).SharedPools);
        await hosts.SaveFactsAsync(new HostId("h1"), facts); // What was kept is from before.
        h1.Facts = facts;

        await watcher.RoundAsync(CancellationToken.None);
        Assert.Equal([new HostId("h2")], (await server.OkAsync<HostView>("GET", "hosts/h1")).SharedPools["default"]);
    }

    /// <summary>Found on real machines: each looked for others to share with before any other was kept, and none looked again.</summary>
    [Fact]
    public async Task Hosts_that_join_at_once_share_their_pool()
    {
        await using var server = await ServerUnderTest.StartAsync("first");
        string[] names = [.. Enumerable.Range(1, 8).Select(n => $"h{n}")];
        server.Cluster["first"].Directories["default"] = "its own disk"; // Nobody is there whom they could all have seen.
        await Task.WhenAll(names.Select(name =>
            server.OkAsync<HostView>("POST", "hosts", new { name, endpoint = $"{name}:7443" })));

        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        var shares = (await server.Control.Stores.Hosts.SharesAsync()).Where(s => s.Host.Value != "first").ToList();
        Assert.Equal(names, shares.Select(s => s.Host.Value).Order(StringComparer.Ordinal));
        Assert.Single(shares.Select(s => s.Share).Distinct());
    }

    [Fact]
    public async Task A_host_whose_proof_never_came_through_shares_nothing_until_it_does()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Equal([new HostId("h2")], (await server.OkAsync<HostView>("GET", "hosts/h1")).SharedPools["default"]);

        await server.Control.Stores.Hosts.DoubtSharesAsync(new HostId("h1"));
        Assert.Empty((await server.OkAsync<HostView>("GET", "hosts/h2")).SharedPools["default"]);
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Equal([new HostId("h2")], (await server.OkAsync<HostView>("GET", "hosts/h1")).SharedPools["default"]);
    }

    [Fact]
    public async Task A_host_that_falls_silent_is_marked_and_its_vms_are_neither_changed_nor_touched()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web");
        server.Cluster["h1"].Silent = true;
        for (var i = 0; i < 3; i++) await server.Control.Watcher.RoundAsync(CancellationToken.None);
        var vm = await server.OkAsync<VmView>("GET", "vms/web");
        Assert.Equal((VmState.Running, HostState.Unreachable), (vm.State, vm.OwnerState));

        server.Cluster["h1"].Silent = false;
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Equal(HostState.Ready, (await server.OkAsync<HostView>("GET", "hosts/h1")).State);
        Assert.Equal(["host-unreachable", "host-reachable"],
            (await server.Control.Stores.Events.AfterAsync(0, 100)).Select(e => e.Kind)
                .Where(kind => kind.EndsWith("reachable", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_guest_that_powered_itself_off_is_stopped_in_the_record()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var vm = await server.CreateVmAsync("web");
        server.Cluster["h1"].Vms[vm.Spec.Id] = FakeHost.Report(vm.Spec, vm.Epoch, VmState.Stopped);
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Equal(VmState.Stopped, (await server.OkAsync<VmView>("GET", "vms/web")).State);
    }

    [Fact]
    public async Task A_qemu_nobody_knows_is_told_once_and_never_touched()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var stranger = Rpc.GrpcHostAgentTests.Spec();
        server.Cluster["h1"].Vms[stranger.Id] = FakeHost.Report(stranger, new Epoch(9), VmState.Running);
        for (var i = 0; i < 3; i++) await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Single(await server.Control.Stores.Events.AfterAsync(0, 100), e => e.Kind == "vm-orphan");
        Assert.DoesNotContain(server.Cluster["h1"].Calls, c => c.Contains("Stop", StringComparison.Ordinal) || c == "ForgetVm");
    }

    [Fact]
    public async Task A_guest_that_a_host_knows_with_a_newer_epoch_than_the_store_is_frozen_until_a_person_settles_it()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var vm = await server.CreateVmAsync("web", "h1");
        server.Cluster["h1"].Vms.Clear();
        server.Cluster["h2"].Vms[vm.Spec.Id] = FakeHost.Report(vm.Spec, new Epoch(7), VmState.Running);
        for (var i = 0; i < 3; i++) await server.Control.Watcher.RoundAsync(CancellationToken.None);
        var frozen = await server.OkAsync<VmView>("GET", "vms/web");
        Assert.Equal((new HostId("h1"), new Epoch(1)), (frozen.Owner, frozen.Epoch));
        Assert.Equal("h2 knows epoch 7 of web, the store 1: the store is older than its hosts", Assert.Single(frozen.Frozen!).Cause);
        Assert.Single(await server.Control.Stores.Events.AfterAsync(0, 100), e => e.Kind == "vm-frozen");
        foreach (var verb in (string[])["start", "stop", "restart", "pause", "save", "resume"])
            Assert.Equal("vm-frozen", (await server.ProblemAsync("POST", $"vms/web/{verb}")).Code);
        Assert.Equal("vm-frozen", (await server.ProblemAsync("POST", "vms/web/migrate", new { to = "h2" })).Code);
        Assert.Equal("vm-frozen", (await server.ProblemAsync("DELETE", "vms/web?force=true")).Code);
        Assert.Contains(await server.OkAsync<List<Finding>>("GET", "check"), f => f.Code == "vm-frozen" && f.Thing == "web");

        var now = await server.OkAsync<VmView>("POST", "vms/web/adopt", new { });
        Assert.Equal((new HostId("h2"), new Epoch(7), VmState.Running), (now.Owner, now.Epoch, now.State));
        Assert.Null(now.Frozen);
        Assert.DoesNotContain(await server.OkAsync<List<Finding>>("GET", "check"), f => f.Code == "vm-frozen");
        await server.OkAsync<VmView>("POST", "vms/web/pause");
    }

    [Fact]
    public async Task A_host_that_no_longer_owns_a_vm_and_knows_a_newer_epoch_freezes_it_too()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var vm = await server.CreateVmAsync("web", "h1");
        server.Cluster["h2"].Vms[vm.Spec.Id] = FakeHost.Report(vm.Spec, new Epoch(3), VmState.Stopped) with { IsOwner = false };
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Equal("store-behind", Assert.Single((await server.OkAsync<VmView>("GET", "vms/web")).Frozen!).Code);
    }

    [Fact]
    public async Task A_server_that_starts_with_an_older_store_has_looked_before_it_takes_an_order()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var vm = await server.CreateVmAsync("web", "h1");
        await server.StopAsync();
        server.Cluster["h2"].Vms[vm.Spec.Id] = FakeHost.Report(vm.Spec, new Epoch(4), VmState.Running);
        await server.StartAgainAsync();
        Assert.Equal("vm-frozen", (await server.ProblemAsync("POST", "vms/web/stop", new { force = true })).Code);
    }

    [Fact]
    public async Task A_person_says_where_a_vm_is_to_be_only_where_nothing_of_it_runs_elsewhere()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var vm = await server.CreateVmAsync("web", "h1");
        server.Cluster["h2"].Vms[vm.Spec.Id] = FakeHost.Report(vm.Spec, new Epoch(3), VmState.Stopped) with { IsOwner = false };
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Equal("copy-elsewhere", (await server.ProblemAsync("POST", "vms/web/adopt", new { on = "h2" })).Code);
        server.Cluster["h1"].Silent = true;
        Assert.Equal("host-silent", (await server.ProblemAsync("POST", "vms/web/adopt", new { on = "h2" })).Code);
        for (var i = 0; i < 3; i++) await server.Control.Watcher.RoundAsync(CancellationToken.None);
        var settled = await server.OkAsync<VmView>("POST", "vms/web/adopt", new { on = "h2", gone = new[] { "h1" } });
        Assert.Equal((new HostId("h2"), VmState.Stopped), (settled.Owner, settled.State));
        await server.OkAsync<VmView>("POST", "vms/web/start");
        Assert.True(server.Cluster["h2"].Vms[vm.Spec.Id].Epoch > new Epoch(1));
    }

    [Fact]
    public async Task Two_copies_are_an_alarm_and_neither_is_stopped()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var vm = await server.CreateVmAsync("web", "h1");
        server.Cluster["h2"].Vms[vm.Spec.Id] = FakeHost.Report(vm.Spec, new Epoch(1), VmState.Running);
        for (var i = 0; i < 4; i++) await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Single(await server.Control.Stores.Events.AfterAsync(0, 100), e => e.Kind == "vm-two-owners");
        Assert.DoesNotContain(server.Cluster["h2"].Calls, c => c.Contains("Stop", StringComparison.Ordinal) || c == "ForgetVm");
        Assert.Equal(new HostId("h1"), (await server.OkAsync<VmView>("GET", "vms/web")).Owner);
    }

    [Fact]
    public async Task An_idle_cluster_writes_nothing_to_the_store()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web");
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        var before = await ChangesAsync(server);
        for (var i = 0; i < 5; i++)
        {
            server.Cluster["h1"].Facts = FakeCluster.Facts() with { MemoryAvailableBytes = i, Clock = FakeCluster.Now.AddSeconds(i) };
            await server.Control.Watcher.RoundAsync(CancellationToken.None);
        }
        Assert.Equal(before, await ChangesAsync(server));
        Assert.Equal(4, (await server.OkAsync<HostView>("GET", "hosts/h1")).Facts!.MemoryAvailableBytes);
    }

    [Fact]
    public async Task A_host_that_comes_back_without_its_mounts_no_longer_shares_its_pool()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        server.Cluster["h2"].Silent = true;
        for (var i = 0; i < 3; i++) await server.Control.Watcher.RoundAsync(CancellationToken.None);
        server.Cluster["h2"].Silent = false;
        server.Cluster["h2"].Directories["default"] = "an empty directory";
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Empty((await server.OkAsync<HostView>("GET", "hosts/h2")).SharedPools["default"]);
        Assert.Empty((await server.OkAsync<HostView>("GET", "hosts/h1")).SharedPools["default"]);
    }

    private static Task<long> ChangesAsync(ServerUnderTest server) =>
        server.Control.Stores.Database.RunAsync(work => work.Number("SELECT total_changes()"));
}
