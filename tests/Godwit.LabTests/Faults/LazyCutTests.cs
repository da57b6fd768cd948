using System.Globalization;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>
/// A guest that runs at its target while its memory follows, and loses the link to it: for seconds, for a minute, one way, by a reset.
/// Set <c>GODWIT_LAZY_CUTS</c> to more than 2 to have as many guests cut off one after the other.
/// </summary>
[Collection(FaultCollection.Name)]
public sealed class LazyCutTests(FaultLab lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const long SlowBytesPerSecond = 12 << 20;

    private static int Cuts => int.TryParse(
        Environment.GetEnvironmentVariable("GODWIT_LAZY_CUTS"), CultureInfo.InvariantCulture, out var more) ? more : 2;

    private Wires Wires => new(lab.Cluster.Plan);

    public enum Fault { Cut, AsksLost, MemoryLost, Reset }

    public async Task InitializeAsync()
    {
        await lab.BeginTestAsync(output);
        await LazyGuest.AllowAsync();
    }

    public async Task DisposeAsync()
    {
        await LazyGuest.RestoreAsync();
        if (lab.Cluster is null) return;
        foreach (var host in lab.Cluster.Plan.Hosts) await Wires.HealAsync(host.Name);
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 0, 0);
    }

    [FaultTheory]
    [InlineData(Fault.Cut, 60)]
    [InlineData(Fault.AsksLost, 20)]
    [InlineData(Fault.MemoryLost, 20)]
    [InlineData(Fault.Reset, 1)]
    public Task A_link_that_fails_while_memory_follows_only_delays_the_rest(Fault fault, int seconds) =>
        FaultFigures.CountAsync(() => CutOffAsync(fault, seconds));

    [FaultFact]
    public Task Of_many_guests_that_are_cut_off_from_their_memory_none_is_lost() => FaultFigures.CountAsync(async () =>
    {
        for (var cut = 0; cut < Cuts; cut++) await CutOffAsync((Fault)(cut % 4), seconds: 1 + cut % 7);
        output.WriteLine($"{Cuts} guests cut off, 0 lost");
    });

    private async Task CutOffAsync(Fault fault, int seconds)
    {
        await lab.ReadyAsync();
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 24, 20);
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);
        var move = await lab.BeginMoveAsync(MoveMode.Lazy, SlowBytesPerSecond);
        await lab.SeenAsync(move, m => m.Phase == Phase.Verifying); // It runs there, and its memory does not.

        await StrikeAsync(move.Target.Value, fault);
        await Task.Delay(TimeSpan.FromSeconds(seconds));
        Assert.Null((await lab.Cluster.Api.MoveAsync(move.Id.Value, default)).End);
        await Wires.HealAsync(move.Target.Value);

        var ended = await lab.EndOfAsync(move);
        output.WriteLine($"{fault}, {seconds} s: {ended.End} after {ended.Receipt?.TotalMs:0} ms, paused {ended.Receipt?.PauseMs:0} ms");
        Assert.Equal((MoveEnd.Done, null), (ended.End, ended.Reason));
        await lab.WaitForStateAsync(VmState.Running);
        Assert.Equal(ended.Target, (await lab.VmAsync()).Owner);
        await watch.HoldsAsync();
    }

    private Task StrikeAsync(string host, Fault fault) => fault switch
    {
        Fault.Cut => Wires.CutAsync(host, Wires.Link),
        Fault.AsksLost => Wires.CutAsync(host, Wires.Link, Lost.Outgoing),
        Fault.MemoryLost => Wires.CutAsync(host, Wires.Link, Lost.Incoming),
        _ => Wires.ResetAsync(host, Wires.Link),
    };
}
