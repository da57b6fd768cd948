using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.LabTests.Machines;
using Xunit;

namespace Godwit.LabTests.Moves;

/// <summary>R7 on two real agents and QEMUs: what the network delivers twice, or late, changes nothing.</summary>
public sealed class DoubledOrderTests
{
    [RealQemuFact]
    public async Task Orders_that_come_twice_and_late_are_one_move()
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();
        var id = new MoveId($"mv-{new RealRandomness().NextHex(6)}");
        var incoming = new IncomingOrder(id, vm, new Epoch(2), new HostId("a"), StayPaused: false);

        var ready = await Task.WhenAll(
            two.Target.PrepareIncomingAsync(incoming, default), two.Target.PrepareIncomingAsync(incoming, default));
        Assert.Equal(ready[0].Ticket, ready[1].Ticket);
        var outgoing = new OutgoingOrder(id, vm.Id, new Epoch(1), new HostId("b"), MoveMode.Live, new MoveLimits(), ready[0]);
        await Task.WhenAll(two.Source.StartOutgoingAsync(outgoing, default), two.Source.StartOutgoingAsync(outgoing, default));
        await two.RestAsync(id);

        await two.Source.StartOutgoingAsync(outgoing, default);
        await two.Source.CancelMoveAsync(id, default);
        await two.Target.AbandonIncomingAsync(id, false, default);
        await two.Source.SettleOutgoingAsync(id, TargetProof.Aborted, default);
        await two.Source.CleanMoveAsync(id, default);
        await two.Source.CleanMoveAsync(id, default);
        await Assert.ThrowsAsync<RefusedException>(() => two.Source.StartOutgoingAsync(outgoing, default));

        Assert.Equal(MoveStanding.SourceReleased, (await two.Source.QueryMoveAsync(id, default)).Standing);
        Assert.Equal(MoveStanding.TargetRuns, (await two.Target.QueryMoveAsync(id, default)).Standing);
        Assert.Equal(VmState.Running, await TwoAgents.StateAsync(two.Target, vm.Id));
        Assert.Equal(VmState.Unknown, await TwoAgents.StateAsync(two.Source, vm.Id));
    }
}
