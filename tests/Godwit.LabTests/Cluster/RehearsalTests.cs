using Godwit.Core.Migration;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>A rehearsal on real QEMU: the target loads the guest from an image it cannot write, and the guest stays.</summary>
[Collection(LabCollection.Name)]
public sealed class RehearsalTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [RealQemuFact]
    public async Task A_rehearsed_move_leaves_the_guest_where_it_is_and_the_move_itself_goes_as_told()
    {
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var (home, target) = ((await lab.VmAsync()).Owner, await lab.OtherHostAsync());

        var rehearsal = await lab.FollowAsync(await lab.Cluster.Api.MigrateAsync(
            LabFixture.VmName, new MigrateRequest(target) { Rehearse = true }, default));

        Assert.True(rehearsal.End == MoveEnd.Rehearsed, $"{rehearsal.End}: {rehearsal.Reason}");
        output.WriteLine($"would have paused {rehearsal.Receipt!.PauseMs:0.0} ms, stood still {rehearsal.Receipt.OwnPauseMs:0.0} ms; "
            + $"{rehearsal.Receipt.PauseParts}");
        Assert.True(rehearsal.Receipt.PauseMs > 0 && rehearsal.Receipt.OwnPauseMs > 0);
        Assert.Equal(home, (await lab.VmAsync()).Owner);
        await watch.HoldsAsync();

        watch = await Continuity.BeginAsync(lab, lab.Guest);
        var move = await lab.MoveAsync(MoveMode.Live, to: target);
        Assert.True(move.End == MoveEnd.Done, $"{move.End}: {move.Reason}");
        await watch.HoldsAsync();
    }
}
