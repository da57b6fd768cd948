using System.Text.Json;
using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>The server's disk dies under a cluster of real processes: its VMs do not notice, and are moved as before.</summary>
[Collection(LabCollection.Name)]
public sealed class StoreLossTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    private static readonly TimeSpan RestartMax = TimeSpan.FromMinutes(2);

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [RealQemuFact]
    public async Task A_store_that_was_deleted_is_rebuilt_from_the_hosts_and_the_vm_runs_on_and_moves()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var before = await lab.VmAsync();
        await lab.Cluster.Server.KillAsync();
        var state = Path.Combine(lab.Cluster.Plan.DataDirectory, "server");
        foreach (var file in Directory.GetFiles(state, "godwit.db*")) File.Delete(file);

        var dry = await RebuildAsync(state, "--dry-run");
        Assert.Equal(before.Spec.Id.Value, dry.GetProperty("vms")[0].GetProperty("id").GetString());
        Assert.Empty(Directory.GetFiles(state, "godwit.db*"));
        var plan = await RebuildAsync(state);
        Assert.Equal(0, plan.GetProperty("vms")[0].GetProperty("frozen").GetArrayLength());
        Assert.Equal(LabCluster.TemplateName, plan.GetProperty("templates")[0].GetProperty("name").GetString());
        await lab.Cluster.Server.StartAsync(default);
        await lab.Cluster.Server.WaitUntilAsync<object, ApiException>(async () => await lab.Cluster.Api.HostsAsync(default), RestartMax,
            default);

        var after = await lab.VmAsync();
        Assert.Equal((before.Owner, before.Epoch, VmState.Running), (after.Owner, after.Epoch, after.State));
        await UntilSharedAsync();
        await watch.HoldsAsync(); // The same boot id, a counter that only grew.
        Assert.Empty(await lab.Cluster.Api.CheckAsync(repair: false, default));

        watch = await Continuity.BeginAsync(lab, lab.Guest);
        var move = await lab.MoveAsync(MoveMode.Live);
        Assert.Equal(MoveEnd.Done, move.End);
        await watch.HoldsAsync();
    }

    /// <summary>With the CA on the server's disk: it is a file, and was not lost with the store.</summary>
    private async Task<JsonElement> RebuildAsync(string state, params string[] more)
    {
        string[] hosts = [.. lab.Cluster.Plan.Hosts.SelectMany(h => (string[])["--host", $"{h.Name}={h.ManagementAddress}:7443"])];
        var words = LabNetwork.Inside(lab.Cluster.Plan.ServerNamespace,
            [Path.Combine(AppContext.BaseDirectory, "godwit"), "server", "rebuild", "--state", state, .. hosts, .. more, "--json"]);
        var result = await LabShell.TryAsync(words, deadline: RestartMax);
        Assert.True(result.ExitCode == 0, $"{result.Output}\n{result.Error}");
        return JsonDocument.Parse(result.Output).RootElement;
    }

    /// <summary>Every host is proved anew after a rebuilding, in the server's first rounds.</summary>
    private async Task UntilSharedAsync()
    {
        for (var tries = 0; tries < 300; tries++)
        {
            var hosts = await lab.Cluster.Api.HostsAsync(default);
            if (hosts.All(h => h.State == Core.Hosts.HostState.Ready
                && h.SharedPools.GetValueOrDefault(LabCluster.SharedPoolName) is { Count: > 0 })) return;
            await Task.Delay(100);
        }
        Assert.Fail("the hosts do not share their pool any more");
    }
}
