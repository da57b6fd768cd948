using Godwit.Cli;
using Godwit.Cli.Api;
using Godwit.Cli.Upgrade;
using Godwit.Core.Hosts;
using Godwit.Core.Power;
using Godwit.Server.Api;
using Godwit.Server.Draining;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Xunit;

namespace Godwit.Tests.Cli;

/// <summary>A rolling upgrade by the command line, on a whole server whose hosts do as they are told.</summary>
public sealed class UpgradeCommandTests : IAsyncLifetime
{
    private readonly List<string> ran = [];
    private ServerUnderTest server = null!;
    private Func<string, int> ends = _ => 0;

    public async Task InitializeAsync()
    {
        server = await ServerUnderTest.StartAsync("h1", "h2");
        foreach (var (vm, host) in new[] { ("a", "h1"), ("b", "h1"), ("c", "h2") }) await server.CreateVmAsync(vm, host);
    }

    public async Task DisposeAsync() => await server.DisposeAsync();

    [Fact]
    public async Task Each_host_is_empty_when_its_command_runs_and_gets_its_vms_back()
    {
        var run = await RunAsync("cluster upgrade --command \"ssh {host} upgrade\" --verify check --settle 1");
        Assert.True(run.ExitCode == ExitCode.All, run.Output + run.Error);
        Assert.Equal(["h2: ssh {host} upgrade, 0 VMs", "h2: check, 0 VMs", "h1: ssh {host} upgrade, 0 VMs", "h1: check, 0 VMs"], ran);
        foreach (var (vm, host) in new[] { ("a", "h1"), ("b", "h1"), ("c", "h2") })
            Assert.Equal(host, (await server.OkAsync<VmView>("GET", $"vms/{vm}")).Owner.Value);
        Assert.All(await server.OkAsync<HostView[]>("GET", "hosts"), host => Assert.Equal(HostState.Ready, host.State));
    }

    [Theory]
    [InlineData("upgrade", "the command ended with 7")]
    [InlineData("check", "the check ended with 7")]
    public async Task A_host_that_does_not_go_well_stays_empty_and_ends_it_and_the_next_run_goes_on_with_it(string fails, string said)
    {
        ends = line => line == fails ? 7 : 0;
        var run = await RunAsync("cluster upgrade --command upgrade --verify check --settle 1 --host h1 --host h2");
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.Contains(said, run.Output, StringComparison.Ordinal);
        Assert.Contains("--host h1 --host h2", run.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(ran, line => line.StartsWith("h2", StringComparison.Ordinal));
        Assert.Equal(DrainEnd.Drained, (await server.OkAsync<HostView>("GET", "hosts/h1")).Drain?.End);

        ends = _ => 0;
        run = await RunAsync("cluster upgrade --command upgrade --settle 1 --host h1 --host h2");
        Assert.True(run.ExitCode == ExitCode.All, run.Output + run.Error);
    }

    [Fact]
    public async Task With_a_host_away_already_nothing_begins()
    {
        await server.OkAsync<HostView>("POST", "hosts/h2/cordon");
        var run = await RunAsync("cluster upgrade --command upgrade");
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.Contains("cluster-not-whole", run.Error, StringComparison.Ordinal);
        Assert.Empty(ran);
    }

    [Fact]
    public async Task A_dry_run_shows_the_order_and_what_speaks_against_it()
    {
        var run = await RunAsync("cluster upgrade --command upgrade --dry-run");
        Assert.Equal(ExitCode.All, run.ExitCode);
        Assert.True(run.Output.IndexOf("h2", StringComparison.Ordinal) < run.Output.IndexOf("h1", StringComparison.Ordinal), run.Output);
        Assert.Empty(ran);
    }

    [Fact]
    public async Task A_host_on_standby_is_woken_for_its_turn_and_off_again_in_the_end()
    {
        await AgainWithAsync("h3");
        await AsleepAsync("h3");
        var plan = await RunAsync("cluster upgrade --command upgrade --dry-run");
        Assert.Matches("1 +h3 +0 +0 +on standby: it is woken, and goes back in the end", plan.Output);
        Assert.Equal(HostState.Standby, (await HostAsync("h3")).State);

        var followed = FollowPowerAsync("h3");
        var run = await RunAsync("cluster upgrade --command upgrade --settle 1");
        Assert.True(run.ExitCode == ExitCode.All, run.Output + run.Error);
        Assert.Equal(["h3: upgrade, 0 VMs", "h2: upgrade, 0 VMs", "h1: upgrade, 0 VMs"], ran); // Awake first: room for the others' VMs.
        Assert.Contains("h3: on standby again", run.Output, StringComparison.Ordinal);
        await followed;
        Assert.Equal(HostState.Standby, (await HostAsync("h3")).State);
        foreach (var (vm, host) in new[] { ("a", "h1"), ("b", "h1"), ("c", "h2") })
            Assert.Equal(host, (await server.OkAsync<VmView>("GET", $"vms/{vm}")).Owner.Value);
    }

    [Fact]
    public async Task A_host_that_does_not_wake_ends_it_before_anything_was_touched_and_what_to_do_is_told()
    {
        var time = await AgainWithAsync("h3");
        await AsleepAsync("h3");
        var woken = Task.Run(async () =>
        {
            await UntilAsync(() => Task.FromResult(File.Exists(Ran("on"))));
            time.Offset += TimeSpan.FromMinutes(11);
        });
        var run = await RunAsync("cluster upgrade --command upgrade --settle 1");
        await woken;
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.Contains("h3: not woken: it was woken and did not come in 10 min; look at the machine, then 'godwit host wake h3'",
            Unwrapped(run), StringComparison.Ordinal);
        Assert.Contains("or without it: godwit cluster upgrade --host h2 --host h1 --command", Unwrapped(run), StringComparison.Ordinal);
        Assert.Empty(ran);

        run = await RunAsync("cluster upgrade --command upgrade --settle 1 --host h2"); // One that can be spared may stay off.
        Assert.True(run.ExitCode == ExitCode.All, run.Output + run.Error);
        Assert.Equal(HostState.Standby, (await HostAsync("h3")).State);
    }

    [Fact]
    public async Task Where_it_ends_early_the_woken_host_stays_on_and_that_is_told()
    {
        await AgainWithAsync("h3");
        await AsleepAsync("h3");
        ends = _ => ran[^1].StartsWith("h2", StringComparison.Ordinal) ? 7 : 0;
        var isOn = UntilAsync(() => Task.FromResult(File.Exists(Ran("on"))))
            .ContinueWith(_ => server.Cluster["h3"].Silent = false, TaskScheduler.Default);
        var run = await RunAsync("cluster upgrade --command upgrade --settle 1");
        Assert.False(await isOn);
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.Contains("h3 was on standby and stays on now; off again once all is well: godwit host standby h3", run.Output + run.Error,
            StringComparison.Ordinal);
        Assert.Equal(HostState.Ready, (await HostAsync("h3")).State);
    }

    [Fact]
    public void A_host_that_nobody_can_wake_or_that_is_on_its_way_off_keeps_it_from_beginning()
    {
        var on = Examples.Host("h1");
        var asleep = Examples.Host("h2") with
        {
            State = HostState.Standby, Power = new HostPower { Phase = PowerPhase.Standby, OnHook = "on" },
        };
        Assert.Null(RollingUpgrade.WhyNot([on, asleep], [on, asleep]));
        var stuck = asleep with { Power = asleep.Power with { OnHook = null } };
        Assert.Equal("power-hook-missing", RollingUpgrade.WhyNot([on, stuck], [on, stuck])?.Code);
        Assert.Null(RollingUpgrade.WhyNot([on, stuck], [on])); // It is not to be worked on.
        foreach (var phase in new[] { PowerPhase.Emptying, PowerPhase.GoingOff })
        {
            var leaving = on with { Power = new HostPower { Phase = phase } };
            Assert.Contains("on its way to standby", RollingUpgrade.WhyNot([asleep, leaving], [asleep])?.Cause, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_persons_line_knows_its_host() =>
        Assert.Equal(3, await PersonsCommand.RunAsync(
            "test \"$GODWIT_HOST\" = h9 && test {host} = h9 && exit 3", "h9", CancellationToken.None));

    /// <summary>The same cluster with one host more, which its hooks turn off and on.</summary>
    private async Task<ShiftedTime> AgainWithAsync(string host)
    {
        await server.DisposeAsync();
        var time = new ShiftedTime();
        server = await ServerUnderTest.StartAtAsync(time, "h1", "h2", host);
        foreach (var (vm, at) in new[] { ("a", "h1"), ("b", "h1"), ("c", "h2") }) await server.CreateVmAsync(vm, at);
        Directory.CreateDirectory(server.PowerHooks, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (var name in new[] { "on", "off" })
        {
            var path = Path.Combine(server.PowerHooks, name);
            await File.WriteAllTextAsync(path, $"#!/bin/sh\necho \"$1\" >>{Ran(name)}\n");
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
        await server.OkAsync<HostView>("POST", $"hosts/{host}/settings", new { powerOff = "off", powerOn = "on" });
        return time;
    }

    private async Task AsleepAsync(string host)
    {
        await server.OkAsync<HostView>("POST", $"hosts/{host}/standby");
        await UntilAsync(() => Task.FromResult(File.Exists(Ran("off"))));
        server.Cluster[host].Silent = true;
        await UntilAsync(async () => (await HostAsync(host)).Power.Phase == PowerPhase.Standby);
        File.Delete(Ran("off"));
    }

    /// <summary>A machine that does what its hooks were run for: it answers again, and falls silent again.</summary>
    private async Task FollowPowerAsync(string host)
    {
        await UntilAsync(() => Task.FromResult(File.Exists(Ran("on"))));
        server.Cluster[host].Silent = false;
        await UntilAsync(() => Task.FromResult(File.Exists(Ran("off"))));
        server.Cluster[host].Silent = true;
    }

    private string Ran(string hook) => Path.Combine(server.Directory, $"ran-{hook}");

    private Task<HostView> HostAsync(string host) => server.OkAsync<HostView>("GET", $"hosts/{host}");

    private static async Task UntilAsync(Func<Task<bool>> holds)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        while (!await holds()) await Task.Delay(50, patience.Token);
    }

    private static string Unwrapped(GodwitRun run) =>
        string.Join(' ', run.Output.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries));

    private Task<GodwitRun> RunAsync(string line) => GodwitRun.OfAsync(
        new ServerAddress(server.SocketPath, IsChosen: true), line, isTerminal: false, CancellationToken.None,
        runCommand: async (what, host, _) =>
        {
            var there = (await server.OkAsync<VmView[]>("GET", "vms")).Count(vm => vm.Owner.Value == host);
            ran.Add($"{host}: {what}, {there} VMs");
            return ends(what);
        });
}
