using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Tests.Balance;
using Xunit;

namespace Godwit.Tests.Placement;

public sealed class PlacementCheckTests
{
    private static readonly PlacementHost Good = RandomCluster.Host("b") with
    {
        Bridges = ["br0"], Pools = new Dictionary<string, string> { ["shared"] = "nfs1" },
    };
    private static readonly PlacementVm Web = RandomCluster.Vm("web", "a") with
    {
        Bridges = ["br0"], Pools = new Dictionary<string, string?> { ["shared"] = "nfs1" }, Tags = ["web"],
    };

    private static string[] Codes(PlacementVm vm, PlacementHost host, PlacementPolicy? policy = null, params PlacementVm[] others) =>
        [.. Judge(vm, host, policy, others).Reasons.Select(reason => reason.Why.Code)];

    private static PlacementVerdict Judge(
        PlacementVm vm, PlacementHost host, PlacementPolicy? policy = null, params PlacementVm[] others) =>
        PlacementCheck.Judge(
            new PlacementView([RandomCluster.Host("a"), host], [vm, .. others], policy ?? new PlacementPolicy()), vm, host);

    [Fact]
    public void A_good_host_has_no_reason_against_it() => Assert.Empty(Codes(Web, Good));

    public static TheoryData<string, string, bool> Reasons => new()
    {
        { "unreachable", "host-unreachable", true }, { "cordoned", "host-cordoned", true }, { "draining", "host-draining", true },
        { "fenced", "host-fenced", true },
        { "pinned", "vm-pinned", true }, { "no qemu", "qemu-missing", true }, { "kvm", "accelerator-differs", true },
        { "machine", "machine-type-missing", true }, { "cpu", "cpu-features-missing", true },
        { "display", "display-missing", true }, { "pool", "pool-missing", true },
        { "other pool", "pool-not-shared", true }, { "bridge", "bridge-missing", true }, { "memory", "memory-short", true },
        { "vcpus", "vcpus-overcommitted", true }, { "busy", "cpu-busy", false }, { "network", "network-busy", false },
        { "reserve", "reserve-used", false }, { "wide", "vcpus-exceed-host", false },
    };

    [Theory, MemberData(nameof(Reasons))]
    public void Each_fault_has_its_reason(string fault, string code, bool isHard)
    {
        var (vm, host) = (Web, Good);
        switch (fault)
        {
            case "unreachable": host = host with { State = HostState.Unreachable }; break;
            case "cordoned": host = host with { State = HostState.Cordoned }; break;
            case "fenced": host = host with { State = HostState.Fenced }; break;
            case "draining": host = host with { IsDraining = true }; break;
            case "pinned": vm = vm with { IsPinned = true }; break;
            case "no qemu": host = host with { Qemus = [] }; break;
            case "kvm": vm = vm with { Accelerator = Accelerator.Kvm }; break;
            case "machine": vm = vm with { MachineType = "pc-q35-9.2" }; break;
            case "cpu": vm = vm with { CpuModel = "EPYC-v1" }; break;
            case "display": vm = vm with { NeedsDisplay = true }; break;
            case "pool": host = host with { Pools = new Dictionary<string, string>() }; break;
            case "other pool": host = host with { Pools = new Dictionary<string, string> { ["shared"] = "nfs2" } }; break;
            case "bridge": vm = vm with { Bridges = ["br9"] }; break;
            case "memory": host = host with { Standing = new(62 * RandomCluster.GiB, 0, 0) }; break;
            case "vcpus": host = host with { Standing = new(0, 127, 0) }; break;
            case "busy": host = host with { Standing = new(0, 0, 13) }; break;
            case "network": host = host with { Standing = new(0, 0, 0, 0, 99e6) }; break;
            case "reserve": host = host with { Standing = new(58 * RandomCluster.GiB, 0, 0) }; break;
            default: vm = vm with { Demand = vm.Demand with { Vcpus = 17 } }; break;
        }
        var reason = Assert.Single(Judge(vm, host).Reasons);
        Assert.Equal((code, isHard), (reason.Why.Code, reason.IsHard));
        Assert.NotEmpty(reason.Why.Fix);
    }

    [Fact]
    public void Every_reason_is_told_at_once()
    {
        var bad = Good with { State = HostState.Cordoned, Bridges = [], Standing = new(64 * RandomCluster.GiB, 0, 15) };
        Assert.Equal(["host-cordoned", "bridge-missing", "memory-short", "cpu-busy"], Codes(Web, bad));
    }

    [Fact]
    public void Where_it_is_already_a_cordon_is_no_reason_and_its_own_memory_is_not_counted_twice()
    {
        var vm = Web with { Host = Good.Id, Demand = Web.Demand with { MemoryBytes = 40 * RandomCluster.GiB } };
        Assert.Empty(Codes(vm, Good with { State = HostState.Cordoned }));
    }

    [Theory]
    [InlineData("apart", "rule-apart")]
    [InlineData("together", "rule-together")]
    [InlineData("on", "rule-host")]
    [InlineData("off", "rule-host")]
    public void Rules_are_reasons_hard_or_soft_as_they_say(string kind, string code)
    {
        foreach (var isHard in new[] { true, false })
        {
            PlacementRule rule = kind switch
            {
                "apart" => new PlacementRule.Apart { Name = "r", VmTag = "web", IsHard = isHard },
                "together" => new PlacementRule.Together { Name = "r", VmTag = "web", IsHard = isHard },
                "on" => new PlacementRule.OnHosts { Name = "r", VmTag = "web", HostTag = "ssd", IsHard = isHard },
                _ => new PlacementRule.NotOnHosts { Name = "r", VmTag = "web", HostTag = "old", IsHard = isHard },
            };
            var other = RandomCluster.Vm("web2", kind == "apart" ? "b" : "a") with { Tags = ["web"] };
            var policy = new PlacementPolicy { Rules = [rule] };
            var verdict = Judge(Web, Good with { Tags = ["old"] }, policy, other);
            Assert.Equal((code, isHard), (Assert.Single(verdict.Reasons).Why.Code, verdict.Reasons[0].IsHard));
            Assert.Equal(!isHard, verdict.IsAllowed);
            // The rule speaks of tagged VMs only, and is content where it is kept.
            Assert.Empty(Codes(Web with { Tags = [] }, Good with { Tags = ["old"] }, policy, other));
            Assert.Empty(Codes(Web, Good with { Tags = ["ssd"] }, policy, other with { Host = new HostId(kind == "apart" ? "a" : "b") }));
        }
    }

    [Fact]
    public void Hosts_are_rated_by_the_room_they_would_have_and_those_that_cannot_have_no_star()
    {
        PlacementHost[] hosts =
        [
            Good with { Id = new HostId("busy"), Standing = new(0, 0, 12) }, Good with { Id = new HostId("empty") },
            Good with { Id = new HostId("half"), Standing = new(34 * RandomCluster.GiB, 0, 0) },
            Good with { Id = new HostId("closed"), State = HostState.Cordoned },
        ];
        var vm = Web with { Host = null };
        var rated = PlacementCheck.Rate(new PlacementView(hosts, [vm], new PlacementPolicy()), vm);
        Assert.Equal(["empty", "half", "busy", "closed"], rated.Select(rating => rating.Host.Value));
        Assert.Equal([5, 4, 1, 0], rated.Select(rating => rating.Stars));
        Assert.Contains("memory would be at 59 %", rated[1].Reason, StringComparison.Ordinal);
        Assert.Contains("cordoned", rated[3].Reason, StringComparison.Ordinal);
    }
}
