using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Checking;
using Godwit.Core.Hosts;
using Godwit.Core.Inventory;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server;
using Godwit.Server.Api;
using Godwit.Server.Placing;
using Godwit.Server.Power;
using Godwit.Server.Rebuild;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>
/// A server's store lost, damaged or too old, made anew from its hosts: real files, real SQLite, hosts that say what
/// they are told to.
/// </summary>
public sealed class RebuildTests
{
    [Fact]
    public async Task A_lost_store_is_made_anew_and_the_server_goes_on_with_its_vms()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var vm = await server.CreateVmAsync("web", "h1");
        await server.OkAsync<UserView>("POST", "users", new { name = "anna", role = "operator", password = "a long enough password" });
        await server.StopAsync();
        foreach (var file in Directory.GetFiles(server.Directory, "godwit.db*")) File.Delete(file);

        var dry = await RunAsync(server, dryRun: true);
        Assert.Equal("web", Assert.Single(dry.Plan.Vms).Vm.Spec.Name);
        Assert.Empty(Directory.GetFiles(server.Directory, "godwit.db*"));
        var outcome = await RunAsync(server);
        Assert.Null(outcome.Kept);
        Assert.Contains(outcome.Plan.LeftOut, l => l.Thing == "users and tokens");
        Assert.Equal(2, server.Cluster["h1"].Calls.Count(c => c == "TakeInventory"));
        Assert.DoesNotContain(server.Cluster["h1"].Calls, c => c.StartsWith("Stop", StringComparison.Ordinal) || c == "ForgetVm");

        await server.StartAgainAsync();
        var now = await server.OkAsync<VmView>("GET", "vms/web");
        Assert.Equal((vm.Spec.Id, new HostId("h1"), vm.Epoch, VmState.Running), (now.Spec.Id, now.Owner, now.Epoch, now.State));
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.All(await server.OkAsync<List<HostView>>("GET", "hosts"), h => Assert.NotEmpty(h.SharedPools["default"]));
        await server.OkAsync<VmView>("POST", "vms/web/pause");
        var first = (await server.Control.Stores.Audit.AfterAsync(0, DateTimeOffset.UnixEpoch, 1)).Single();
        Assert.Equal((1, "server rebuild"), (first.Seq, first.Entry.Action));
        Assert.Contains("the audit before ended at ", first.Entry.Detail, StringComparison.Ordinal);
        Assert.True((await server.Control.Audit.VerifyAsync()).IsWhole);
        Assert.DoesNotContain(await server.OkAsync<List<Finding>>("GET", "check"), f => f.Code == "audit-broken");
    }

    [Fact]
    public async Task What_people_had_set_comes_back_from_the_hosts()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        var wish = new { ha = true, tag = new[] { "db" }, priority = 900, moves = new { maxPauseMs = 80 } };
        await server.OkAsync<VmView>("POST", "vms/web/settings", wish);
        await server.OkAsync<HostView>("POST", "hosts/h2/settings", new { tag = new[] { "ssd" } });
        await server.OkAsync<HostView>("POST", "hosts/h2/cordon");
        await server.OkAsync<RuleView>("POST", "rules", new { name = "apart", kind = "apart", vmTag = "db" });
        await server.OkAsync<PowerView>("POST", "power", new { minHostsOn = 2 });
        await server.Control.Notes.RoundAsync(default);
        var (first, kept) = (server.Cluster["h1"].Notes.Version, server.Cluster["h2"].Notes);
        await server.Control.Notes.RoundAsync(default);
        Assert.Equal((first, first), (server.Cluster["h1"].Notes.Version, kept.Version)); // Nothing new, no new version.
        Assert.Single(server.Cluster["h1"].Calls, c => c == "KeepNotes");
        server.Cluster["h1"].Notes = KeptNotes.None; // One copy is enough.
        await server.StopAsync();
        foreach (var file in Directory.GetFiles(server.Directory, "godwit.db*")) File.Delete(file);

        var outcome = await RunAsync(server);
        Assert.DoesNotContain(outcome.Plan.LeftOut, l => l.Thing == "cordons");
        await server.StartAgainAsync();
        var vm = await server.OkAsync<VmView>("GET", "vms/web");
        Assert.Equal((true, "db", 900, 80), (vm.Ha, Assert.Single(vm.Tags), vm.Priority, vm.MoveLimits?.MaxPauseMs));
        await server.Control.Watcher.RoundAsync(default);
        var host = await server.OkAsync<HostView>("GET", "hosts/h2");
        Assert.Equal((HostState.Cordoned, "ssd"), (host.State, Assert.Single(host.Tags)));
        Assert.Equal("apart", Assert.Single(await server.OkAsync<List<RuleView>>("GET", "rules")).Rule.Name);
        Assert.Equal(2, (await server.OkAsync<PowerView>("GET", "power")).Settings.MinHostsOn);
        await server.Control.Notes.RoundAsync(default);
        Assert.Equal(first + 1, server.Cluster["h2"].Notes.Version); // Newer than any copy from before.
    }

    [Fact]
    public async Task A_copy_that_nobody_understands_is_left_out_and_said()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web", "h1");
        server.Cluster["h1"].Notes = new KeptNotes(4, "no json");
        await server.StopAsync();
        foreach (var file in Directory.GetFiles(server.Directory, "godwit.db*")) File.Delete(file);

        var outcome = await RunAsync(server);
        Assert.Contains(outcome.Plan.LeftOut, l => l.Thing == "rules, policies, tags and marks"
            && l.Why.Contains("version 4", StringComparison.Ordinal));
        await server.StartAgainAsync();
        Assert.Equal("web", (await server.OkAsync<VmView>("GET", "vms/web")).Spec.Name);
    }

    [Fact]
    public async Task A_store_that_is_older_than_what_the_hosts_keep_says_so()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        server.Cluster["h1"].Notes = new KeptNotes(7, "{}");
        await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { tag = new[] { "ssd" } });
        await server.Control.Notes.RoundAsync(default);
        Assert.Equal(new KeptNotes(7, "{}"), server.Cluster["h1"].Notes);
        Assert.Contains(await server.Control.Stores.Events.LastAsync(10), e => e.Kind == "notes-behind");
    }

    [Fact]
    public async Task An_older_store_is_put_right_keeps_what_only_it_knew_and_lies_aside()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var vm = await server.CreateVmAsync("web", "h1");
        var never = await server.OkAsync<VmView>("POST", "vms", new { name = "never", cpus = 1, memoryBytes = 64 << 20, start = false });
        await server.OkAsync<UserView>("POST", "users", new { name = "anna", role = "operator", password = "a long enough password" });
        await server.StopAsync();
        server.Cluster["h1"].Vms.Clear();
        server.Cluster["h2"].Vms[vm.Spec.Id] = FakeHost.Report(vm.Spec, new Epoch(6), VmState.Running);

        var outcome = await RunAsync(server, hosts: ["h1"]); // h2 is in the store: it is asked too.
        Assert.NotNull(outcome.Kept);
        Assert.True(new FileInfo(outcome.Kept!).Length > 0);
        Assert.Contains("before-", Path.GetFileName(outcome.Kept), StringComparison.Ordinal);
        await server.StartAgainAsync();
        var now = await server.OkAsync<VmView>("GET", "vms/web");
        Assert.Equal((new HostId("h2"), new Epoch(6)), (now.Owner, now.Epoch));
        Assert.Equal("no-host-knows-it", Assert.Single((await server.OkAsync<VmView>("GET", "vms/never")).Frozen!).Code);
        Assert.Contains(await server.OkAsync<List<UserView>>("GET", "users"), u => u.Name == "anna");
        await server.OkAsync<VmView>("POST", "vms/never/adopt", new { on = never.Owner.Value });
        await server.OkAsync<VmView>("POST", "vms/never/start");
    }

    [Fact]
    public async Task Without_the_clusters_ca_nothing_is_rebuilt_and_no_new_one_is_made()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.StopAsync();
        var ca = Path.Combine(server.Directory, "cluster-ca.pem");
        File.Move(ca, ca + ".away");
        Assert.Equal("ca-missing", (await Assert.ThrowsAsync<RefusedException>(() => RunAsync(server))).Reasons[0].Code);
        Assert.False(File.Exists(ca));
        File.Move(ca + ".away", ca);
        await server.StartAgainAsync();
    }

    [Fact]
    public async Task While_a_server_runs_nothing_is_rebuilt()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        Assert.Equal("server-runs-already", (await Assert.ThrowsAsync<RefusedException>(() => RunAsync(server))).Reasons[0].Code);
    }

    [Fact]
    public async Task A_damaged_store_is_refused_until_a_person_gives_it_up_and_is_kept_all_the_same()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web", "h1");
        await server.StopAsync();
        foreach (var file in Directory.GetFiles(server.Directory, "godwit.db-*")) File.Delete(file);
        await File.WriteAllTextAsync(server.StorePath, "this is no store");
        Assert.Equal("store-unusable", (await Assert.ThrowsAsync<RefusedException>(() => RunAsync(server))).Reasons[0].Code);
        var outcome = await RunAsync(server, lost: true);
        Assert.Equal("this is no store", await File.ReadAllTextAsync(outcome.Kept!));
        await server.StartAgainAsync();
        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("GET", "vms/web")).State);
    }

    [Fact]
    public async Task Run_twice_and_after_a_run_that_was_killed_it_makes_the_same()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web", "h1");
        await server.StopAsync();
        await File.WriteAllTextAsync(server.StorePath + ".rebuilding", "half of one");
        var first = await RunAsync(server, lost: true);
        var second = await RunAsync(server, lost: true);
        Assert.Equal(first.Plan.Vms.Single().Vm with { CreatedAt = default, Spec = second.Plan.Vms.Single().Vm.Spec },
            second.Plan.Vms.Single().Vm with { CreatedAt = default });
        Assert.Equal(2, Directory.GetFiles(server.Directory, "godwit.db.before-*Z").Length);
        Assert.False(File.Exists(server.StorePath + ".rebuilding"));
        await server.StartAgainAsync();
        Assert.Single(await server.OkAsync<List<VmView>>("GET", "vms"));
    }

    [Fact]
    public async Task A_host_that_was_not_named_is_added_later_and_what_it_has_is_taken_in()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        await server.CreateVmAsync("db", "h2");
        await server.StopAsync();
        await RunAsync(server, hosts: ["h1"], lost: true);
        await server.StartAgainAsync();
        Assert.Equal(["web"], (await server.OkAsync<List<VmView>>("GET", "vms")).Select(v => v.Spec.Name));
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h2", endpoint = "h2:7443" });
        await server.Control.Watcher.RoundAsync(CancellationToken.None);
        Assert.Equal(["db", "web"], (await server.OkAsync<List<VmView>>("GET", "vms")).Select(v => v.Spec.Name));
        Assert.Null((await server.OkAsync<VmView>("GET", "vms/db")).Frozen);
    }

    [Fact]
    public async Task A_check_finds_what_hosts_have_left_over_and_repairs_only_what_is_safe()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var (tap, process) = (new Leak(LeakKind.Tap, null, "t00000000000b0a", "a tap of nobody"), new Leak(LeakKind.Process,
            null, "77", "a QEMU of nobody"));
        server.Cluster["h1"].Lies = new HostInventory { Vms = [], Leaks = [tap, process] };
        await server.Control.Stores.Database.RunAsync(work => work.Execute(
            "INSERT INTO reservations (operation, vm, host, bytes) VALUES ('op-gone', 'vm-gone', 'h1', 5)"));
        var found = await server.OkAsync<List<Finding>>("GET", "check");
        Assert.Equal(["leak-process", "leak-tap", "reservation-left"], found.Select(f => f.Code).Order());
        Assert.Equal(0, server.Cluster["h1"].Count("Sweep"));
        Assert.All(found, f => Assert.NotNull(f.Since));

        var repaired = await server.OkAsync<List<Finding>>("POST", "check", new { repair = true });
        Assert.Equal(["leak-tap", "reservation-left"], repaired.Where(f => f.IsRepaired).Select(f => f.Code).Order());
        Assert.Equal(["leak-process"], (await server.OkAsync<List<Finding>>("GET", "check")).Select(f => f.Code));
    }

    [Fact]
    public async Task What_is_still_so_at_the_next_look_is_told_once()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        server.Cluster["h1"].Lies = new HostInventory { Vms = [], Leaks = [new Leak(LeakKind.Process, null, "77", "a QEMU of nobody")] };
        for (var look = 0; look < 4; look++)
        {
            await server.Control.Checks.RoundAsync(CancellationToken.None);
            Assert.Equal(look == 0 ? 0 : 1, (await server.Control.Stores.Events.AfterAsync(0, 100)).Count(e => e.Kind == "check-finding"));
        }
        Assert.Equal(0, server.Cluster["h1"].Count("Sweep"));
    }

    private static Task<RebuildOutcome> RunAsync(
        ServerUnderTest server, string[]? hosts = null, bool lost = false, bool dryRun = false) => RebuildRun.RunAsync(
        new RebuildOptions(server.Directory, new RebuildWish(
            [.. (hosts ?? ["h1", "h2"]).Select(h => (new HostId(h), $"{h}:7443"))], []), lost, dryRun),
        new ServerPorts(new RealDisk(), new RealRandomness(), TimeProvider.System, server.Cluster), CancellationToken.None);
}
