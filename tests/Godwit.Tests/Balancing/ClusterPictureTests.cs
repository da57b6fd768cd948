using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Loads;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Balancing;
using Godwit.Server.Hosts;
using Godwit.Server.Loads;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Balancing;

/// <summary>From records and loads to what the engine sees.</summary>
public sealed class ClusterPictureTests
{
    private static readonly DateTimeOffset Now = FakeCluster.Now;
    private static readonly HostId H1 = new("h1");

    [Fact]
    public void Hosts_have_what_they_offer_and_what_is_taken_beside_their_vms()
    {
        var vm = Vm("web");
        var view = Picture([vm], promisedMib: 1024 + 256 + 500, vmCpu: 1.5, hostCpu: 2.25);
        var host = Assert.Single(view.Hosts);
        Assert.Equal(Admission.OfferedBytes(8L << 30), host.Capacity.MemoryBytes);
        Assert.Equal((500d * (1 << 20), 0.75), (host.Standing.MemoryBytes, host.Standing.CpuCores));
        Assert.Equal((1.5, (1024 + 256) * (double)(1 << 20)), (view.Vms[0].Demand.CpuCores, view.Vms[0].Demand.MemoryBytes));
    }

    [Fact]
    public void What_is_not_measured_busy_or_frozen_stays_where_it_is_and_what_does_not_run_is_not_there()
    {
        Assert.False(Picture([Vm("web")]).Vms[0].IsPinned);
        Assert.True(Picture([Vm("web")], vmCpu: null).Vms[0].IsPinned);
        Assert.True(Picture([Vm("web")], held: Vm("web").Spec.Id).Vms[0].IsPinned);
        Assert.Empty(Picture([Vm("web") with { State = VmState.Stopped }, Vm("db") with { State = VmState.Saved }]).Vms);
    }

    [Fact]
    public void Moves_of_the_last_hour_are_known_and_older_failed_or_cold_ones_are_not()
    {
        var vm = Vm("web");
        Migration Moved(int minutesAgo, MoveEnd end = MoveEnd.Done, MoveMode mode = MoveMode.Live) =>
            StoreUnderTest.MakeMove(vm, "h2", $"mv-{minutesAgo}") with { End = end, Mode = mode, EndedAt = Now.AddMinutes(-minutesAgo) };
        var view = Picture([vm], moves: [Moved(5), Moved(59), Moved(61), Moved(3, MoveEnd.RolledBack), Moved(2, mode: MoveMode.Cold)]);
        Assert.Equal([Now.AddMinutes(-59), Now.AddMinutes(-5)], view.Vms[0].RecentMoves.Select(m => m.At));
    }

    private static PlacementView Picture(
        IReadOnlyList<Vm> vms, long promisedMib = 0, double? vmCpu = 1, double hostCpu = 1, VmId? held = null,
        IReadOnlyList<Migration>? moves = null) => ClusterPicture.Of(new ClusterSnapshot(
            Now,
            [new HostRoom(new Host { Id = H1, Endpoint = "x:1", State = HostState.Ready, Facts = FakeCluster.Facts() },
                promisedMib << 20, vms.Count, new Dictionary<string, string>())],
            vms, moves ?? [], held is { } vm ? [vm] : new HashSet<VmId>(), new HashSet<HostId>(),
            _ => Window(hostCpu), _ => vmCpu is { } cpu ? Window(cpu) : null), new PlacementPolicy());

    private static LoadWindow Window(double cpu)
    {
        var point = new LoadPoint(Now, (float)cpu, 0, 1 << 20, 0, 0);
        return new LoadWindow(point, LoadSummary.Of([point])!, cpu, null, null, null);
    }

    private static Vm Vm(string name) => StoreUnderTest.MakeVm(name, "h1") with { State = VmState.Running };
}
