using Godwit.Cli;
using Godwit.Cli.Api;
using Godwit.Core.Hosts;
using Godwit.Server.Api;
using Godwit.Server.Draining;
using Godwit.Tests.Control;
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
    public async Task A_persons_line_knows_its_host() =>
        Assert.Equal(3, await Godwit.Cli.Upgrade.PersonsCommand.RunAsync(
            "test \"$GODWIT_HOST\" = h9 && test {host} = h9 && exit 3", "h9", CancellationToken.None));

    private Task<GodwitRun> RunAsync(string line) => GodwitRun.OfAsync(
        new ServerAddress(server.SocketPath, IsChosen: true), line, isTerminal: false, CancellationToken.None,
        runCommand: async (what, host, _) =>
        {
            var there = (await server.OkAsync<VmView[]>("GET", "vms")).Count(vm => vm.Owner.Value == host);
            ran.Add($"{host}: {what}, {there} VMs");
            return ends(what);
        });
}
