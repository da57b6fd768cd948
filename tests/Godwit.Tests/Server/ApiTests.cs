using System.Net;
using System.Net.WebSockets;
using System.Text;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>What a person's client sees, over a real socket.</summary>
public sealed class ApiTests
{
    [Fact]
    public async Task A_host_is_added_described_and_removed()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var hosts = await server.OkAsync<HostView[]>("GET", "hosts");
        Assert.Equal(["h1", "h2"], hosts.Select(h => h.Id.Value));
        Assert.All(hosts, h => Assert.Equal(HostState.Ready, h.State));
        Assert.Equal([new HostId("h2")], hosts[0].SharedPools["default"]);

        using var removed = await server.SendAsync("DELETE", "hosts/h2");
        Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        Assert.Equal("host-not-found", (await server.ProblemAsync("GET", "hosts/h2")).Code);
    }

    [Fact]
    public async Task A_vm_lives_from_create_to_delete()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var vm = await server.CreateVmAsync("web", start: false);
        Assert.Equal(VmState.Stopped, vm.State);
        Assert.Equal(("pc-q35-7.2", "Westmere-v1"), (vm.Spec.MachineType, vm.Spec.CpuModel));

        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("POST", "vms/web/start")).State);
        Assert.Equal(VmState.Paused, (await server.OkAsync<VmView>("POST", $"vms/{vm.Spec.Id}/pause")).State);
        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("POST", "vms/web/resume")).State);
        var saved = await server.OkAsync<VmView>("POST", "vms/web/save");
        Assert.Equal((VmState.Saved, $"{vm.Spec.Id}-2.saved"), (saved.State, saved.SavedFile));
        Assert.Equal("vm-saved", (await server.ProblemAsync("POST", "vms/web/start")).Code);
        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("POST", "vms/web/resume")).State);
        Assert.Equal("vm-running", (await server.ProblemAsync("DELETE", "vms/web")).Code);
        Assert.Equal(VmState.Stopped, (await server.OkAsync<VmView>("POST", "vms/web/stop", new { force = true })).State);

        using var deleted = await server.SendAsync("DELETE", "vms/web");
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        Assert.Empty(await server.OkAsync<VmView[]>("GET", "vms"));
        Assert.DoesNotContain(server.Cluster["h1"].Files.Keys, f => f.EndsWith(".qcow2", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_saved_vm_comes_back_on_another_host_that_sees_its_file()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        await server.OkAsync<VmView>("POST", "vms/web/save");
        var resumed = await server.OkAsync<VmView>("POST", "vms/web/resume", new { host = "h2" });
        Assert.Equal((VmState.Running, new HostId("h2"), new Epoch(2)), (resumed.State, resumed.Owner, resumed.Epoch));
        Assert.Empty(server.Cluster["h1"].Vms);
    }

    [Fact]
    public async Task A_template_is_imported_cloned_and_kept_while_it_has_clones()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        using var content = new ByteArrayContent(new byte[3 << 20]);
        using var put = await server.Http.PutAsync("templates/base?format=raw&pool=default", content);
        Assert.Equal(HttpStatusCode.Created, put.StatusCode);

        var vm = await server.OkAsync<VmView>("POST", "vms", new { name = "web", template = "base" });
        Assert.StartsWith("template-", vm.Spec.Disks[0].BackingFile);
        Assert.Equal("template-has-clones", (await server.ProblemAsync("DELETE", "templates/base")).Code);
        Assert.Equal(1, (await server.OkAsync<TemplateView>("GET", "templates/base")).Clones);

        using var gone = await server.SendAsync("DELETE", "vms/web");
        using var deleted = await server.SendAsync("DELETE", "templates/base");
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        Assert.Empty(server.Cluster["h1"].Files);
    }

    [Fact]
    public async Task A_live_move_reports_its_phases_and_ends_at_the_target()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        var move = await server.OkAsync<Migration>("POST", "vms/web/migrate", new { to = "h2", maxPauseMs = 50 });
        var end = await server.EndOfAsync(move.Id);
        Assert.Equal(MoveEnd.Done, end.End);
        Assert.Equal(9.5, end.Receipt!.PauseMs);
        Assert.Equal(new HostId("h2"), (await server.OkAsync<VmView>("GET", "vms/web")).Owner);
        Assert.Equal(move.Id, Assert.Single(await server.OkAsync<Migration[]>("GET", "migrations?vm=web")).Id);
    }

    [Fact]
    public async Task A_dry_run_gives_every_reason_at_once_and_changes_nothing()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1", start: false);
        server.Cluster["h2"].Facts = FakeCluster.Facts() with { Accelerator = Accelerator.Kvm };
        server.Cluster["h2"].Directories["default"] = "a local disk";
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h2", endpoint = "h2:7443" });
        await server.OkAsync<HostView>("POST", "hosts/h2/cordon");
        server.Cluster["h1"].Vms[(await server.OkAsync<VmView>("GET", "vms/web")).Spec.Id] =
            FakeHost.Report((await server.OkAsync<VmView>("GET", "vms/web")).Spec, new Epoch(1), VmState.Stopped);

        var plan = await server.OkAsync<MovePlan>("POST", "vms/web/migrate", new { to = "h2", dryRun = true });
        Assert.Equal(["host-cordoned", "accelerator-differs", "pool-not-shared", "vm-not-running"], plan.Reasons.Select(r => r.Code));
        Assert.Empty(await server.OkAsync<Migration[]>("GET", "migrations"));
        Assert.Equal("host-cordoned", (await server.ProblemAsync("POST", "vms/web/migrate", new { to = "h2" })).Code);
    }

    [Fact]
    public async Task A_vm_on_a_pool_the_target_does_not_share_is_refused_clearly()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        server.Cluster["h2"].Directories["default"] = "a local disk";
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h2", endpoint = "h2:7443" });
        await server.CreateVmAsync("web", "h1");
        var problem = await server.ProblemAsync("POST", "vms/web/migrate", new { to = "h2" });
        Assert.Equal("pool-not-shared", problem.Code);
        Assert.Equal("pool-not-shared", Assert.Single(problem.Reasons).Code);
    }

    [Fact]
    public async Task The_console_carries_bytes_both_ways()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web");
        using var console = await server.ConsoleAsync("web");
        await console.SendAsync("ls\n"u8.ToArray(), WebSocketMessageType.Binary, true, CancellationToken.None);
        var buffer = new byte[100];
        var echoed = await console.ReceiveAsync(buffer, CancellationToken.None);
        Assert.Equal("ls\n", Encoding.ASCII.GetString(buffer, 0, echoed.Count));
    }

    [Fact]
    public async Task A_vm_has_a_display_where_it_was_made_with_one_and_says_so_where_not()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        Assert.Equal(Display.None, (await server.CreateVmAsync("plain")).Spec.Display);
        var shown = await server.OkAsync<VmView>("POST", "vms", new { name = "shown", display = "vnc", start = true });
        Assert.Equal(Display.Vnc, shown.Spec.Display);
        Assert.Equal(Display.Vnc, server.Cluster["h1"].Vms[shown.Spec.Id].Spec.Display);
        Assert.Equal("display-none", (await server.ProblemAsync("POST", "vms/plain/display/ticket")).Code);
        Assert.Equal("bad-upgrade", (await server.ProblemAsync("GET", "vms/shown/display")).Code);
        using var viewer = await server.ConsoleAsync("shown", "display");
        Assert.Equal(400, (await server.ProblemAsync("POST", "vms", new { name = "odd", display = "spice" })).Status);
    }

    [Fact]
    public async Task A_display_is_for_hosts_that_can_show_one()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var facts = server.Cluster["h1"].Facts;
        server.Cluster["h1"].Facts = facts with { Qemus = [facts.Qemus[0] with { HasDisplay = false }] };
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        Assert.Equal("display-missing", (await server.ProblemAsync("POST", "vms", new { name = "shown", display = "vnc" })).Code);
        await server.CreateVmAsync("plain");
    }

    [Fact]
    public async Task Events_arrive_as_they_happen_and_from_where_a_reader_left()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web");
        using var request = new HttpRequestMessage(HttpMethod.Get, "events");
        request.Headers.Add("Last-Event-ID", "1");
        using var answer = await server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync());
        Assert.Equal("event: vm-started", await reader.ReadLineAsync());
        Assert.StartsWith("data: {\"seq\":2,", await reader.ReadLineAsync());
        Assert.Equal("id: 2", await reader.ReadLineAsync());
        Assert.Equal("", await reader.ReadLineAsync());

        await server.OkAsync<VmView>("POST", "vms/web/pause");
        Assert.Equal("event: vm-paused", await reader.ReadLineAsync());
    }

    [Fact]
    public async Task The_document_names_every_path()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var document = await server.Http.GetStringAsync("/openapi/v1.json");
        foreach (var path in new[] { "hosts", "templates/{template}", "vms/{vm}/migrate", "migrations/{move}/events", "events" })
            Assert.Contains($"\"/api/v1/{path}\"", document);
    }

    [Fact]
    public async Task Only_its_owner_may_talk_to_the_socket()
    {
        await using var server = await ServerUnderTest.StartAsync();
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(server.SocketPath));
    }
}
