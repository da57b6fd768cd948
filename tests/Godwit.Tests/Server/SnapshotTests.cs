using System.Net;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server;
using Godwit.Server.Api;
using Godwit.Server.Rebuild;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>Snapshots through the API, over hosts that do as told or fail as told.</summary>
public sealed class SnapshotTests
{
    [Fact]
    public async Task A_snapshot_is_made_while_it_runs_gone_back_to_once_it_is_stopped_and_deleted()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web");
        using var made = await server.SendAsync("POST", "vms/web/snapshots", new { name = "before", note = "the upgrade" });
        Assert.Equal(HttpStatusCode.Created, made.StatusCode);
        await server.OkAsync<VmView>("POST", "vms/web/snapshots");
        var snapshots = await server.OkAsync<VmSnapshot[]>("GET", "vms/web/snapshots");
        Assert.Equal(["snapshot-1", "before"], snapshots.Select(s => s.Name));
        Assert.All(snapshots, s => Assert.True(s is { IsWhole: true, IsCrashConsistent: true } && SnapshotRules.IsTag(s.Tag)));
        Assert.Equal("the upgrade", snapshots[1].Note);
        Assert.StartsWith("uid ", snapshots[1].By);
        Assert.Equal(2, (await server.OkAsync<VmView>("GET", "vms/web")).Snapshots);

        Assert.Equal(("vm-running", 409), Both(await server.ProblemAsync("POST", "vms/web/snapshots/before/revert")));
        var before = (await server.OkAsync<VmView>("POST", "vms/web/stop", new { force = true })).Epoch;
        Assert.Equal(before.Next(), (await server.OkAsync<VmView>("POST", "vms/web/snapshots/before/revert")).Epoch);
        Assert.Equal(before.Next(), server.Cluster["h1"].Snapshots[snapshots[1].Tag]); // Of its own: no order of before is obeyed.
        Assert.Equal(("snapshot-not-found", 404), Both(await server.ProblemAsync("POST", "vms/web/snapshots/none/revert")));

        using var deleted = await server.SendAsync("DELETE", "vms/web/snapshots/before");
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        Assert.Equal(["snapshot-1"], (await server.OkAsync<VmSnapshot[]>("GET", "vms/web/snapshots")).Select(s => s.Name));
        Assert.DoesNotContain(snapshots[1].Tag, server.Cluster["h1"].Snapshots.Keys);
        Assert.Contains(await server.Control.Stores.Events.LastAsync(20), e => e.Kind == "snapshot-reverted");
    }

    [Fact]
    public async Task What_a_host_refuses_leaves_no_snapshot_and_what_nobody_knows_leaves_one_to_be_deleted()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web", start: false);
        server.Cluster["h1"].Fails["MakeSnapshot"] = new RefusedException("snapshot-failed", "the disk is full", "make room");
        Assert.Equal("snapshot-failed", (await server.ProblemAsync("POST", "vms/web/snapshots", new { name = "a" })).Code);
        Assert.Empty(await server.OkAsync<VmSnapshot[]>("GET", "vms/web/snapshots"));
        Assert.Equal(1, server.Cluster["h1"].Count("DropSnapshot")); // Some of its disks may have had it.

        server.Cluster["h1"].Fails["MakeSnapshot"] = new AgentUnreachableException(new HostId("h1"), "the wire broke");
        Assert.Equal(503, (await server.ProblemAsync("POST", "vms/web/snapshots", new { name = "a" })).Status);
        Assert.False(Assert.Single(await server.OkAsync<VmSnapshot[]>("GET", "vms/web/snapshots")).IsWhole);
        server.Cluster["h1"].Fails.Clear();
        Assert.Equal("snapshot-unfinished", (await server.ProblemAsync("POST", "vms/web/snapshots/a/revert")).Code);
        Assert.Equal("name-taken", (await server.ProblemAsync("POST", "vms/web/snapshots", new { name = "a" })).Code);
        using var deleted = await server.SendAsync("DELETE", "vms/web/snapshots/a");
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
    }

    [Fact]
    public async Task Snapshots_come_back_with_a_store_that_was_lost()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web");
        await server.OkAsync<VmView>("POST", "vms/web/snapshots", new { name = "before", note = "the upgrade" });
        var before = await server.OkAsync<VmSnapshot[]>("GET", "vms/web/snapshots");
        await server.Control.Notes.RoundAsync(default);
        await server.StopAsync();
        foreach (var file in Directory.GetFiles(server.Directory, "godwit.db*")) File.Delete(file);
        await RebuildRun.RunAsync(
            new RebuildOptions(server.Directory, new RebuildWish([(new HostId("h1"), "h1:7443")], []), Lost: false, DryRun: false),
            new ServerPorts(new RealDisk(), new RealRandomness(), TimeProvider.System, server.Cluster), CancellationToken.None);
        await server.StartAgainAsync();
        Assert.Equal(before, await server.OkAsync<VmSnapshot[]>("GET", "vms/web/snapshots"));
    }

    private static (string, int) Both(ApiProblem problem) => (problem.Code, problem.Status);
}
