using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Draining;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Draining;

/// <summary>Drains through a whole server.</summary>
public sealed class DrainTests
{
    private readonly TaskCompletionSource _memory = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Fact]
    public async Task Everything_leaves_the_host_is_closed_and_what_left_comes_back()
    {
        await using var server = await ThreeHostsAsync("web", "db", "off");
        await server.OkAsync<VmView>("POST", "vms/off/stop", new { force = true });
        _memory.SetResult();
        Assert.Equal(3, (await server.OkAsync<DrainPlan>("POST", "hosts/h1/drain", new { dryRun = true })).Steps.Count);

        await server.OkAsync<Drain>("POST", "hosts/h1/drain");
        var drained = await EndedAsync(server);

        Assert.Equal(DrainEnd.Drained, drained.End);
        Assert.Contains("may be switched off", drained.Reason);
        Assert.DoesNotContain((await server.OkAsync<VmView[]>("GET", "vms")), vm => vm.Owner == new HostId("h1"));
        Assert.All(await server.OkAsync<Migration[]>("GET", "migrations"), m => Assert.Equal(drained.Id, m.Because));
        Assert.Equal("host-cordoned", (await server.ProblemAsync("POST", "vms/web/migrate", new { to = "h1" })).Reasons[0].Code);
        Assert.Equal(drained.Id, (await server.OkAsync<HostView>("GET", "hosts/h1")).Drain!.Id);

        await server.OkAsync<VmView>("POST", "vms/db/migrate", new { to = Other(await OwnerAsync(server, "db")) });
        while ((await server.OkAsync<Migration[]>("GET", "migrations?active=true")).Length > 0) await Task.Delay(20);
        await server.OkAsync<Drain>("POST", "hosts/h1/restore");
        Assert.Equal(DrainEnd.Returned, (await EndedAsync(server)).End);
        Assert.Equal("h1", await OwnerAsync(server, "web"));
        Assert.Equal("h1", await OwnerAsync(server, "off"));
        Assert.NotEqual("h1", await OwnerAsync(server, "db")); // A person moved it since: it is theirs to move.
        Assert.Null((await server.OkAsync<HostView>("GET", "hosts/h1")).Drain);
    }

    [Fact]
    public async Task A_restarted_server_goes_on_and_begins_no_move_twice()
    {
        await using var server = await ThreeHostsAsync("web", "db", "app");
        await server.OkAsync<Drain>("POST", "hosts/h1/drain");
        while (server.Cluster["h1"].Count("StartOutgoing") == 0) await Task.Delay(20);
        await server.StopAsync();
        await server.StartAgainAsync();
        _memory.SetResult();

        Assert.Equal(DrainEnd.Drained, (await EndedAsync(server)).End);
        Assert.Equal(3, (await server.OkAsync<Migration[]>("GET", "migrations")).Length);
    }

    [Fact]
    public async Task A_cancel_takes_back_what_waits_lets_end_what_goes_on_and_opens_the_host()
    {
        await using var server = await ThreeHostsAsync("web", "db", "app");
        var begun = await server.OkAsync<Drain>("POST", "hosts/h1/drain");
        Assert.Equal(begun.Id, (await server.OkAsync<Drain>("POST", "hosts/h1/drain")).Id);
        while ((await DrainOf(server)).Vms.Count(v => v.Move is not null) < DrainRules.AtOnceMax) await Task.Delay(20);
        await server.OkAsync<Drain>("POST", "hosts/h1/drain/cancel");
        while (!(await server.OkAsync<Migration[]>("GET", "migrations")).Any(m => m.End == MoveEnd.Cancelled)) await Task.Delay(20);
        _memory.SetResult();

        var ended = await EndedAsync(server);
        Assert.Equal(DrainEnd.Cancelled, ended.End);
        Assert.Equal(1, ended.Count(DrainVmEnd.Moved));
        Assert.Equal(HostState.Ready, (await server.OkAsync<HostView>("GET", "hosts/h1")).State);
        Assert.Equal("no-drain", (await server.ProblemAsync("POST", "hosts/h1/drain/cancel")).Code);
    }

    [Fact]
    public async Task Nothing_is_started_on_a_host_that_is_being_emptied()
    {
        await using var server = await ThreeHostsAsync("web");
        await server.CreateVmAsync("off", "h1", start: false);
        await server.OkAsync<Drain>("POST", "hosts/h1/drain");
        while (server.Cluster["h1"].Count("StartOutgoing") == 0) await Task.Delay(20);
        if (await OwnerAsync(server, "off") == "h1")
            Assert.Contains((await server.ProblemAsync("POST", "vms/off/start")).Code, (string[])["host-drained", "vm-busy"]);
        Assert.Equal("drain-under-way", (await server.ProblemAsync("POST", "hosts/h1/restore")).Code);
        _memory.SetResult();
        Assert.Equal(DrainEnd.Drained, (await EndedAsync(server)).End);
    }

    /// <summary>The record says that nothing is left; the host says otherwise, and it is the host that gets switched off.</summary>
    [Fact]
    public async Task A_qemu_found_on_the_host_is_never_called_safe()
    {
        await using var server = await ThreeHostsAsync();
        var stranger = StoreUnderTest.MakeVm("stranger", "h1");
        server.Cluster["h1"].Vms[stranger.Spec.Id] = FakeHost.Report(stranger.Spec, stranger.Epoch, VmState.Running);
        await server.OkAsync<Drain>("POST", "hosts/h1/drain");

        var ended = await EndedAsync(server);
        Assert.Equal(DrainEnd.Blocked, ended.End);
        Assert.Contains("stranger", ended.Reason);
    }

    [Theory]
    [InlineData("hosts/h9/drain", "{}", "host-not-found")]
    [InlineData("hosts/h1/drain", """{"mode":"cold"}""", "bad-mode")]
    [InlineData("hosts/h1/drain", """{"deadlineSeconds":0}""", "bad-deadline")]
    [InlineData("hosts/h1/drain", """{"deadlineSeconds":99999999}""", "bad-deadline")]
    [InlineData("hosts/h9/restore", "{}", "host-not-found")]
    public async Task A_drain_that_cannot_be_is_refused(string path, string body, string code)
    {
        await using var server = await ThreeHostsAsync();
        Assert.Equal(code, (await server.ProblemAsync("POST", path, body)).Code);
    }

    private async Task<ServerUnderTest> ThreeHostsAsync(params string[] vms)
    {
        var server = await ServerUnderTest.StartAsync("h1", "h2", "h3");
        foreach (var host in (string[])["h1", "h2", "h3"]) server.Cluster[host].Waits["Memory"] = _memory.Task;
        foreach (var vm in vms) await server.CreateVmAsync(vm, "h1");
        return server;
    }

    private static Task<Drain> DrainOf(ServerUnderTest server) => server.OkAsync<Drain>("GET", "hosts/h1/drain");

    private static async Task<Drain> EndedAsync(ServerUnderTest server)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (true)
        {
            if (await DrainOf(server) is { HasEnded: true } ended) return ended;
            await Task.Delay(50, patience.Token);
        }
    }

    private static async Task<string> OwnerAsync(ServerUnderTest server, string vm) =>
        (await server.OkAsync<VmView>("GET", $"vms/{vm}")).Owner.Value;

    private static string Other(string host) => host == "h2" ? "h3" : "h2";
}
