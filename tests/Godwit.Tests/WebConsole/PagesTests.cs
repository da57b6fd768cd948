using System.Security.Cryptography;
using System.Text.RegularExpressions;
using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Hosts;
using Godwit.Core.Loads;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Draining;
using Godwit.Server.Loads;
using Godwit.WebConsole.Balancing;
using Godwit.WebConsole.Charts;
using Godwit.WebConsole.HostViews;
using Godwit.WebConsole.Vms;
using Xunit;

namespace Godwit.Tests.Pages;

/// <summary>What the pages of a VM, a host, a drain and the balance show, without a browser.</summary>
public sealed class PagesTests
{
    private static readonly DateTimeOffset start = DateTimeOffset.UnixEpoch;

    [Fact]
    public void A_line_has_a_hole_where_nothing_was_measured()
    {
        Measured[] points = [.. new[] { 0, 10, 20, 30, 120, 130, 140 }.Select(at => new Measured(start.AddSeconds(at), 5))];
        var pieces = TimeLines.Pieces(points, start, start.AddSeconds(150), top: 10);
        Assert.Equal([4, 3], pieces.Select(piece => piece.Split(' ').Length));
        Assert.StartsWith("0,", pieces[0], StringComparison.Ordinal);
        Assert.StartsWith("480,", pieces[1], StringComparison.Ordinal);
        Assert.Empty(TimeLines.Pieces([], start, start.AddSeconds(1), 1));
    }

    [Theory]
    [InlineData(0, 10, 1)]
    [InlineData(0.3, 10, 0.5)]
    [InlineData(7, 10, 10)]
    [InlineData(10, 10, 10)]
    [InlineData(130, 10, 200)]
    [InlineData(700, 1024, 1024)]
    [InlineData(1500, 1024, 2048)]
    public void A_graph_ends_at_the_next_round_number(double max, double unit, double top) =>
        Assert.Equal(top, TimeLines.RoundTop(max, unit), 9);

    [Fact]
    public void Only_what_would_not_be_refused_is_offered_and_what_loses_something_asks_with_the_name()
    {
        Assert.Equal(["start"], Words(VmState.Stopped));
        Assert.Equal(["resume", "resume"], Words(VmState.Saved));
        Assert.Empty(VmAct.Of(Vm(VmState.Unknown)));
        Assert.Empty(VmAct.Of(Vm(VmState.Running) with { Operation = new OperationView("op-1", "save", start) }));
        Assert.Empty(VmAct.Of(Vm(VmState.Running) with { Frozen = [new("x", "x", "x")] }));
        foreach (var act in VmAct.Of(Vm(VmState.Running)).Where(act => act.Name is "stop" or "restart" or "save"))
            Assert.True(act.Question!.Contains("web1", StringComparison.Ordinal) && act.Lost!.Length > 20, act.Word);
        Assert.Equal(["stop"], VmAct.Of(Vm(VmState.Running)).Where(act => act.Force).Select(act => act.Name));
    }

    [Fact]
    public void What_hosts_have_in_common_is_what_all_of_them_have_and_differences_are_marked()
    {
        var matrix = CompatMatrix.Of([Host("host2", ["br0", "dmz"]), Host("host1", ["br0"]), Host("host3", []) with { Facts = null }]);
        Assert.Equal(["host1", "host2", "host3"], matrix.Hosts);
        var networks = matrix.Rows.Single(row => row.Feature == "networks");
        Assert.Equal(["br0", "br0, dmz", "?"], networks.Values);
        Assert.True(networks.Differs);
        Assert.Equal("br0", networks.All);
        var cpu = matrix.Rows.Single(row => row.Feature == "best CPU model");
        Assert.Equal("Nehalem-v2", cpu.All);
        Assert.False(cpu.Differs);
    }

    [Fact]
    public void Only_a_host_that_is_empty_and_closed_is_safe_to_power_off()
    {
        var drained = Host("host1", []) with
        { State = HostState.Cordoned, Drain = Drain(DrainEnd.Drained, DrainVmEnd.Moved, DrainVmEnd.Stays) };
        Assert.True(DrainWords.IsSafeToPowerOff(drained));
        Assert.False(DrainWords.IsSafeToPowerOff(drained with { State = HostState.Ready }));
        Assert.False(DrainWords.IsSafeToPowerOff(drained with { State = HostState.Unreachable }));
        Assert.False(DrainWords.IsSafeToPowerOff(drained with { Drain = drained.Drain! with { Kind = DrainKind.Back } }));
        var blocked = drained with { Drain = Drain(DrainEnd.Blocked, DrainVmEnd.Moved, DrainVmEnd.Blocked) };
        Assert.False(DrainWords.IsSafeToPowerOff(blocked));
        Assert.Equal("blocked 1", DrainWords.StateOf(blocked));
        Assert.Equal("draining 1/2", DrainWords.StateOf(drained with { Drain = Drain(null, DrainVmEnd.Moved, null) }));
    }

    [Fact]
    public void Hosts_after_a_move_have_lost_and_won_what_its_vm_is_reckoned_with()
    {
        var load = new ClusterLoadView([HostLoad("host1", 4, 3), HostLoad("host2", 4, 1),
                new(new HostId("host3"), HostState.Ready, 4, 1, null)],
            [new VmLoadView(new VmId("vm-1"), "web1", new HostId("host1"), 2, 1, Window(1))]);
        var move = new PlannedMove(new VmId("vm-1"), "web1", new HostId("host1"), new HostId("host2"),
            MoveGoal.Level, 1, 1, 1, 1, "x", "x");
        var shifts = BalancePicture.Shifts(load, [move]);
        Assert.Equal([0.75, 0.25, null], shifts.Select(shift => shift.Before));
        Assert.Equal([0.5, 0.5, null], shifts.Select(shift => shift.After));
        Assert.Equal(0.5, BalancePicture.LostShare(3600, 2), 9);
        Assert.Equal(1, BalancePicture.Fill(3600, 2));
        Assert.Equal(0, BalancePicture.LostShare(5, 0));
    }

    [Theory]
    [InlineData("xterm", 3)]
    [InlineData("novnc", 54)]
    public void Files_of_others_are_the_ones_that_were_published(string name, int files)
    {
        var directory = Path.Combine(Repository(), "src", "Godwit.WebConsole", "Vendor", name);
        var told = Regex.Matches(File.ReadAllText(Path.Combine(directory, "README.md")), @"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|\r?$",
            RegexOptions.Multiline).ToDictionary(row => row.Groups[1].Value, row => row.Groups[2].Value);
        var there = Directory.GetFiles(directory, "*", SearchOption.AllDirectories)
            .Where(file => Path.GetExtension(file) is ".js" or ".css")
            .ToDictionary(file => Path.GetRelativePath(directory, file),
                file => Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(file))));
        Assert.Equal(files, there.Count);
        Assert.Equal(told.OrderBy(one => one.Key), there.OrderBy(one => one.Key));
    }

    private static IEnumerable<string> Words(VmState state) => VmAct.Of(Vm(state)).Select(act => act.Name);

    private static VmView Vm(VmState state) => new(new VmSpec
    {
        Id = new VmId("vm-1"), Name = "web1", Uuid = "x", Cpus = 1, MemoryBytes = 1, MachineType = "x", CpuModel = "x",
        Accelerator = Accelerator.Tcg, Disks = [], Nics = [], Uid = 1,
    }, new HostId("host1"), new Epoch(1), state, null, start, HostState.Ready, null);

    private static HostView Host(string name, IReadOnlyList<string> bridges) => new(new HostId(name), $"{name}:7443", HostState.Ready,
        new HostFacts
    {
        AgentVersion = "1", KernelVersion = "1", Cpus = 4, CpuModelName = "x", CpuFlags = [], Accelerator = Accelerator.Tcg,
        AcceleratorReason = "x", Qemus = [new QemuBinary("/usr/bin/qemu", "7.2.0", ["pc-q35-7.2"], ["Nehalem-v1", "Nehalem-v2"])],
        MemoryBytes = 1, MemoryAvailableBytes = 1, RamFileSpaceBytes = 1, Bridges = bridges, Pools = [], Links = [], Clock = start,
    }, 0, 0, 1, new Dictionary<string, IReadOnlyList<HostId>>());

    private static Drain Drain(DrainEnd? end, params DrainVmEnd?[] ends) => new()
    {
        Id = "dr-1", Host = new HostId("host1"), Kind = DrainKind.Away, Limits = new DrainLimits(), CreatedAt = start, End = end,
        EndedAt = end is null ? null : start, Vms = [.. ends.Select((one, n) => new DrainVm(new VmId($"vm-{n}"), $"vm{n}") { End = one })],
    };

    private static HostLoadView HostLoad(string name, int cpus, double cores) =>
        new(new HostId(name), HostState.Ready, cpus, 1, Window(cores));

    private static LoadWindow Window(double cores)
    {
        var point = new LoadPoint(start, (float)cores, 0, 0, 0, 0);
        return new LoadWindow(point, LoadSummary.Of([point])!, cores, null, null, null);
    }

    private static string Repository()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Godwit.slnx"))) directory = directory.Parent;
        return directory?.FullName ?? throw new InvalidOperationException("run the tests inside the repository");
    }
}
