using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>Fencing as people ask for it, over the API, with a real hook where there is one.</summary>
public sealed class FencingApiTests
{
    [Fact]
    public async Task Silence_alone_recovers_nothing_and_a_persons_word_must_name_the_host_twice()
    {
        await using var server = await SilentAsync();
        Assert.Equal("fence-missing", (await server.ProblemAsync("POST", "hosts/h1/recover")).Code);
        Assert.Equal("fence-missing", (await server.ProblemAsync("POST", "hosts/h1/fence")).Code);
        Assert.Equal("host-answers", (await server.ProblemAsync("POST", "hosts/h2/recover", new { fenced = true, confirm = "h2" })).Code);
        foreach (var confirm in new[] { null, "", "h2", "H1" })
            Assert.Equal("bad-confirmation", (await server.ProblemAsync("POST", "hosts/h1/recover", new { fenced = true, confirm })).Code);
        Assert.Equal("host-not-found", (await server.ProblemAsync("POST", "hosts/h9/recover", new { fenced = true, confirm = "h9" })).Code);
        Assert.Equal("recovery-not-found", (await server.ProblemAsync("GET", "hosts/h1/recovery")).Code);
        Assert.Equal((new HostId("h1"), 0), ((await VmAsync(server)).Owner, server.Cluster["h2"].Count("StartVm")));
    }

    [Fact]
    public async Task A_persons_word_is_on_record_before_the_vms_are_started_elsewhere()
    {
        await using var server = await SilentAsync();
        var recovery = await server.OkAsync<HostRecovery>("POST", "hosts/h1/recover", new { fenced = true, confirm = "h1" });
        var ended = await server.Control.Recoveries.EndOfAsync(recovery.Id, default);
        Assert.Equal((RecoveryEnd.Done, RecoveryScope.AllVms), (ended.End, ended.Scope));

        var vm = await VmAsync(server);
        Assert.Equal((new HostId("h2"), VmState.Running), (vm.Owner, vm.State));
        var host = await server.OkAsync<HostView>("GET", "hosts/h1");
        Assert.Equal((HostState.Fenced, FenceKind.Person), (host.State, host.Fenced!.Kind));
        Assert.StartsWith("uid ", host.Fenced.By, StringComparison.Ordinal);
        var rows = await server.Control.Stores.Audit.LastAsync(DateTimeOffset.UnixEpoch, 100);
        Assert.Contains(rows, row => row.Entry is { Action: "POST hosts/{host}/recover", Result: "begun" }
            && row.Entry.Detail!.Contains("\"confirm\":\"h1\"", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_hook_of_the_servers_machine_is_set_by_name_run_once_and_on_record()
    {
        await using var server = await SilentAsync();
        Assert.Equal("fence-not-usable", (await server.ProblemAsync("POST", "hosts/h1/settings", new { fence = "off" })).Code);
        Assert.Equal("bad-fence", (await server.ProblemAsync("POST", "hosts/h1/settings", new { fence = "../off" })).Code);
        var ran = await HookAsync(server, "off", "exit 0");
        Assert.Equal("off", (await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { fence = "off" })).Fence);

        var fenced = await server.OkAsync<HostRecovery>("POST", "hosts/h1/fence");
        Assert.Equal(RecoveryEnd.Done, (await server.Control.Recoveries.EndOfAsync(fenced.Id, default)).End);
        Assert.Equal(new HostId("h1"), (await VmAsync(server)).Owner); // Only fenced so far.
        var recovery = await server.OkAsync<HostRecovery>("POST", "hosts/h1/recover");
        Assert.Equal(RecoveryEnd.Done, (await server.Control.Recoveries.EndOfAsync(recovery.Id, default)).End);
        Assert.Equal(new HostId("h2"), (await VmAsync(server)).Owner);
        Assert.Equal("h1\n", await File.ReadAllTextAsync(ran)); // The proof still stood: not run again.
        Assert.Equal(["begun", "done"], await HookRowsAsync(server));
    }

    [Fact]
    public async Task A_watchdog_is_a_fence_only_of_a_host_that_offers_one_and_proves_nothing_before_it_was_seen_armed()
    {
        await using var server = await SilentAsync();
        Assert.Equal("watchdog-missing", (await server.ProblemAsync("POST", "hosts/h1/settings", new { fence = "watchdog" })).Code);
        var dog = new WatchdogFacts("/dev/watchdog", "", 30, null, null, false, "busy");
        await server.Control.Stores.Hosts.SaveFactsAsync(new HostId("h1"), server.Cluster["h1"].Facts with { Watchdog = dog });
        var set = await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { fence = "watchdog" });
        Assert.Equal(("watchdog", null), (set.Fence, set.Watchdog));
        Assert.Equal("watchdog-not-armed", (await server.ProblemAsync("POST", "hosts/h1/recover")).Code);
        Assert.Equal("watchdog-not-armed", (await server.ProblemAsync("POST", "hosts/h1/fence")).Code);
        Assert.Null((await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { fence = "none" })).Fence);
        Assert.Equal(new HostId("h1"), (await VmAsync(server)).Owner);
    }

    [Fact]
    public async Task A_hook_that_fails_leaves_every_vm_where_it_is()
    {
        await using var server = await SilentAsync();
        await HookAsync(server, "off", "echo unreachable; exit 1");
        await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { fence = "off" });
        var recovery = await server.OkAsync<HostRecovery>("POST", "hosts/h1/recover");
        while ((await HookRowsAsync(server)).Count < 2) await Task.Delay(20);
        Assert.Equal(["begun", "failed"], await HookRowsAsync(server));
        Assert.Equal((new HostId("h1"), 0), ((await VmAsync(server)).Owner, server.Cluster["h2"].Count("StartVm")));
        Assert.Null((await server.OkAsync<HostRecovery>("GET", "hosts/h1/recovery")).End); // It is tried again, later.

        // A person need not wait for that.
        await server.OkAsync<HostRecovery>("POST", "hosts/h1/recover", new { fenced = true, confirm = "h1" });
        Assert.Equal(RecoveryEnd.Done, (await server.Control.Recoveries.EndOfAsync(recovery.Id, default)).End);
        Assert.Equal(new HostId("h2"), (await VmAsync(server)).Owner);
    }

    [Fact]
    public async Task A_fenced_host_is_told_what_left_it_before_its_word_counts()
    {
        await using var server = await SilentAsync();
        var recovery = await server.OkAsync<HostRecovery>("POST", "hosts/h1/recover", new { fenced = true, confirm = "h1" });
        await server.Control.Recoveries.EndOfAsync(recovery.Id, default);
        var h1 = server.Cluster["h1"];
        h1.Fails["LeaveVm"] = new RefusedException("busy", "not now", "later");
        h1.Silent = false;
        await RoundsAsync(server, 3);
        Assert.Equal(HostState.Fenced, (await server.OkAsync<HostView>("GET", "hosts/h1")).State);

        h1.Fails.Clear();
        h1.Calls.Clear();
        await RoundsAsync(server, 3);
        Assert.Equal(HostState.Ready, (await server.OkAsync<HostView>("GET", "hosts/h1")).State);
        Assert.True(h1.Calls.ToList().IndexOf("LeaveVm") < h1.Calls.ToList().IndexOf("ListVms"));
        Assert.Equal(new HostId("h2"), (await VmAsync(server)).Owner);
    }

    [Fact]
    public async Task A_host_that_refuses_is_left_for_the_next_one_only_after_it_gave_the_vm_up()
    {
        await using var server = await SilentAsync("h3");
        var full = new RefusedException("disk-unreachable", "no mount", "mount it");
        foreach (var host in new[] { "h2", "h3" }) server.Cluster[host].Fails["StartVm"] = full;
        var before = (await VmAsync(server)).Epoch;
        var recovery = await server.OkAsync<HostRecovery>("POST", "hosts/h1/recover", new { fenced = true, confirm = "h1" });
        var ended = await server.Control.Recoveries.EndOfAsync(recovery.Id, default);
        Assert.Equal((RecoveryEnd.NeedsOperator, true), (ended.End, ended.Vms!.Single().Failed));
        Assert.Contains("no mount", ended.Vms!.Single().Outcome, StringComparison.Ordinal);
        var vm = await VmAsync(server);
        Assert.Equal(VmState.Crashed, vm.State);
        Assert.True(vm.Epoch.Value >= before.Value + 2);
        Assert.Equal(1, server.Cluster["h2"].Count("LeaveVm") + server.Cluster["h3"].Count("LeaveVm")); // The second stays its home.
        Assert.Null(vm.Operation);
        Assert.Equal(0, await server.Control.Stores.Database.RunAsync(w => w.Number("SELECT COUNT(*) FROM reservations")));
    }

    [Fact]
    public async Task Ha_is_a_setting_of_a_vm_from_its_making_on()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var made = await server.OkAsync<VmView>("POST", "vms", new { name = "db", ha = true });
        Assert.True(made.Ha);
        Assert.False((await server.OkAsync<VmView>("POST", "vms/db/settings", new { ha = false })).Ha);
        Assert.Equal("vm-not-found", (await server.ProblemAsync("POST", "vms/nothing/settings", new { ha = true })).Code);
    }

    private static async Task<ServerUnderTest> SilentAsync(params string[] more)
    {
        var server = await ServerUnderTest.StartAsync(["h1", "h2", .. more]);
        await server.CreateVmAsync("web", "h1");
        server.Cluster["h1"].Silent = true;
        await RoundsAsync(server, 3);
        return server;
    }

    private static async Task RoundsAsync(ServerUnderTest server, int rounds)
    {
        for (var round = 0; round < rounds; round++) await server.Control.Watcher.RoundAsync(CancellationToken.None);
    }

    private static Task<VmView> VmAsync(ServerUnderTest server) => server.OkAsync<VmView>("GET", "vms/web");

    private static async Task<List<string>> HookRowsAsync(ServerUnderTest server) =>
        [.. (await server.Control.Stores.Audit.LastAsync(DateTimeOffset.UnixEpoch, 100))
            .Where(row => row.Entry.Action == "run fence hook").Select(row => row.Entry.Result)];

    /// <summary>A hook that notes each host it is run for; the file it notes them in.</summary>
    private static async Task<string> HookAsync(ServerUnderTest server, string name, string script)
    {
        Directory.CreateDirectory(server.FenceHooks, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var (path, ran) = (Path.Combine(server.FenceHooks, name), Path.Combine(server.Directory, "ran"));
        await File.WriteAllTextAsync(path, $"#!/bin/sh\necho \"$1\" >>{ran}\n{script}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return ran;
    }
}
