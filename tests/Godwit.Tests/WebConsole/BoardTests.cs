using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.WebConsole.Cluster;
using Godwit.WebConsole.Live;
using Godwit.WebConsole.Look;
using Godwit.WebConsole.Moves;
using Xunit;

namespace Godwit.Tests.Pages;

/// <summary>What pages show, without a browser: the pure parts.</summary>
public sealed class BoardTests
{
    private const long GiB = 1L << 30;

    [Fact]
    public void Vms_stand_in_the_column_of_their_owner_and_a_move_spans_its_two_hosts()
    {
        var board = Board(search: "");
        Assert.Equal(["host1", "host2", "host3"], board.Hosts.Select(host => host.View.Id.Value));
        Assert.Equal(["db1", "web1"], board.Hosts[0].Vms.Select(vm => vm.Name));
        var transfer = Assert.Single(board.Transfers);
        Assert.Equal((3, 1, 1, 3), (transfer.From, transfer.To, transfer.First, transfer.Last));
        Assert.Same(transfer.Move, board.Hosts[2].Vms.Single().Move);
    }

    [Fact]
    public void Search_finds_names_hosts_and_tags_and_tells_how_many_it_hides()
    {
        Assert.Equal(["web1"], Board("WEB").Names);
        Assert.Equal(["db1"], Board("gold").Names);
        Assert.Equal(["cache1"], Board("host3").Names);
        Assert.Equal(3, Board("nothing such").Hidden);
    }

    [Fact]
    public void A_card_grows_with_its_memory_and_stays_within_bounds()
    {
        var heights = new[] { GiB / 4, GiB, 16 * GiB, 4096 * GiB }
            .Select(bytes => new BoardVm(Vm("vm", "host1", bytes), null, null).Height).ToList();
        Assert.Equal(heights.Order(), heights);
        Assert.Equal(320, heights[^1]);
        Assert.True(heights[0] >= 48);
    }

    [Fact]
    public void The_memory_bar_has_its_ceiling_where_admission_has_it()
    {
        var bar = Board("").Hosts[0].Bars.Single(one => one.Name == "RAM");
        Assert.Equal(0.5, bar.Ceiling, 3);
        Assert.True(bar.IsOver);
        Assert.Null(Board("").Hosts[0].Bars.Single(one => one.Name == "CPU").Share);
    }

    [Fact]
    public void The_picker_begins_with_the_best_host_and_ends_with_those_that_may_not()
    {
        var vms = new[] { Vm("web1", "host1", GiB) };
        var ratings = new[] { Rating("host1", 4), Rating("host2", 2), Rating("host3", 5), Rating("host4", 0, "no room") };
        var choices = MoveDraft.Rank([Host("host1"), Host("host2"), Host("host3"), Host("host4")], vms, ratings);
        Assert.Equal(["host3", "host2", "host1", "host4"], choices.Select(choice => choice.Host).ToArray(), StringComparer.Ordinal);
        Assert.Equal("no room", choices[^1].Refused);
        Assert.Equal("it is here now", choices.Single(choice => choice.Host == "host1").Refused);
        Assert.Equal(4 * GiB - 5 * GiB - GiB - Godwit.Core.Hosts.Host.QemuOverheadBytes, choices[0].FreeAfterBytes);
    }

    [Fact]
    public void Shift_reaches_ctrl_adds_and_a_click_alone_begins_anew()
    {
        var (selection, shown) = (new Selection(), new[] { "a", "b", "c", "d" });
        selection.Click("b", ctrl: false, shift: false, shown);
        selection.Click("d", ctrl: false, shift: true, shown);
        Assert.Equal(["b", "c", "d"], selection.Picked);
        selection.Click("c", ctrl: true, shift: false, shown);
        Assert.Equal(["b", "d"], selection.Picked);
        selection.Click("a", ctrl: false, shift: false, shown);
        Assert.Equal(["a"], selection.Picked);
        selection.KeepOnly(["b"]);
        Assert.Empty(selection.Picked);
    }

    [Fact]
    public void Cancel_is_offered_until_the_hand_over_and_never_claims_more_than_is_known()
    {
        var move = Move("web1", "host1", "host2");
        Assert.True(CancelWords.IsPossible(move));
        Assert.False(CancelWords.IsPossible(move with { Phase = Phase.Switching }));
        Assert.True(CancelWords.IsPossible(move with { Phase = Phase.Verifying, Mode = MoveMode.Lazy }));
        Assert.False(CancelWords.IsPossible(move with { Phase = Phase.Verifying }));
        Assert.Contains("handed over", CancelWords.Of(move with { Phase = Phase.Switching }), StringComparison.Ordinal);
        Assert.Contains("asked where the guest is", CancelWords.Of(move with { CancelRequested = true }), StringComparison.Ordinal);
        Assert.Equal("Cancel came too late: the guest is at host2.",
            CancelWords.Of(move with { CancelRequested = true, End = MoveEnd.Done }));
        Assert.Equal("Cancelled: the guest is at host1 as before.",
            CancelWords.Of(move with { CancelRequested = true, End = MoveEnd.Cancelled }));
    }

    [Fact]
    public void A_long_move_keeps_its_whole_shape_in_a_bounded_number_of_samples()
    {
        var (samples, began) = (new PassSamples(), DateTimeOffset.UnixEpoch);
        for (var n = 0; n < 10_000; n++)
            samples.Add(new MoveProgress { RemainingBytes = 10_000 - n, Pass = 1 + n / 5_000 }, began.AddSeconds(n));
        Assert.InRange(samples.All.Count, 100, 480);
        Assert.Equal((0, 9_999), (samples.All[0].AtSeconds, samples.All[^1].AtSeconds));
        Assert.Equal(2, Assert.Single(PassLines.Passes(samples.All)).Pass);
        var points = PassLines.Points(samples.All, at => at.RemainingBytes, 10_000).Split(' ');
        Assert.Equal(samples.All.Count, points.Length);
        Assert.StartsWith("0,0", points[0], StringComparison.Ordinal);
    }

    private static ClusterBoard Board(string search) => ClusterBoard.Of(
        [Host("host3"), Host("host1"), Host("host2")],
        [Vm("web1", "host1", GiB), Vm("db1", "host1", GiB) with { Tags = ["gold"] }, Vm("cache1", "host3", GiB)],
        new ClusterLoadView([], []), new PlacementPolicy(), [Move("cache1", "host3", "host1")], search);

    /// <summary>8 GiB, of which 4 may be promised and 5 are.</summary>
    private static HostView Host(string name) => new(new HostId(name), $"{name}:7443", HostState.Ready, new HostFacts
    {
        AgentVersion = "1", KernelVersion = "1", Cpus = 4, CpuModelName = "x", CpuFlags = [], Accelerator = Accelerator.Tcg,
        AcceleratorReason = "x", Qemus = [], MemoryBytes = 8 * GiB, MemoryAvailableBytes = GiB, RamFileSpaceBytes = GiB, Bridges = [],
        Pools = [], Links = [], Clock = DateTimeOffset.UnixEpoch,
    }, 1, 5 * GiB, 4 * GiB, new Dictionary<string, IReadOnlyList<HostId>>());

    private static VmView Vm(string name, string owner, long memoryBytes) => new(new VmSpec
    {
        Id = new VmId($"id-{name}"), Name = name, Uuid = "x", Cpus = 1, MemoryBytes = memoryBytes, MachineType = "x", CpuModel = "x",
        Accelerator = Accelerator.Tcg, Disks = [], Nics = [], Uid = 1,
    }, new HostId(owner), new Epoch(1), VmState.Running, null, DateTimeOffset.UnixEpoch, HostState.Ready, null);

    private static HostRating Rating(string host, int stars, string? refused = null) => new(new HostId(host), stars, 0.5, Resource.Memory,
        new PlacementVerdict(new HostId(host), refused is null ? [] : [new PlacementReason(new Refusal("x", refused, "x"), IsHard: true)]));

    private static Migration Move(string vm, string source, string target) => new()
    {
        Id = new MoveId($"mv-{vm}"), Vm = new VmId($"id-{vm}"), VmName = vm, Source = new HostId(source), Target = new HostId(target),
        Mode = MoveMode.Live, Limits = new MoveLimits(), Epoch = new Epoch(1), Phase = Phase.Memory, CreatedAt = DateTimeOffset.UnixEpoch,
    };
}
