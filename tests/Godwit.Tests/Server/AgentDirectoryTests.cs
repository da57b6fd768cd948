using Godwit.Core;
using Godwit.Core.Inventory;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Tests.Rpc;
using CsCheck;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>Who is asked when a host is asked.</summary>
public sealed class AgentDirectoryTests
{
    [Fact]
    public async Task A_host_whose_connection_was_cut_off_is_looked_at_for_newer_epochs_as_before()
    {
        var cluster = new FakeCluster();
        var directory = new AgentDirectory(cluster);
        directory.Put(new HostId("h1"), "192.0.2.1:7443");
        var spec = Gens.Spec.Single();
        directory.Epochs.Take(new HostId("h2"), [new VmEpoch(spec.Id, new Epoch(7), IsOwner: true)]);
        directory.CutOff(new HostId("h1"));
        var order = new StartVm(spec, new Epoch(7));
        var refused = await Assert.ThrowsAsync<RefusedException>(() => directory.Of(new HostId("h1")).StartVmAsync(order, default));
        Assert.Equal(("epoch-behind", 0), (refused.Reasons[0].Code, cluster["h1"].Count("StartVm")));
    }
}
