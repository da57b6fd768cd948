using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Xunit;

namespace Godwit.Tests.Core;

public sealed class CompatibilityTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private static readonly Vm GoodVm = new()
    {
        Spec = new VmSpec
        {
            Id = new VmId("vm-000000000001"), Name = "web1", Uuid = "11111111-1111-4111-8111-111111111111", Cpus = 1,
            MemoryBytes = 512L << 20, MachineType = "pc-q35-7.2", CpuModel = "Nehalem-v1", Accelerator = Accelerator.Tcg,
            Disks = [], Nics = [], Uid = 600001,
        },
        Owner = new HostId("host1"), Epoch = new Epoch(3), State = VmState.Running,
    };

    private static readonly Migration GoodMove = new()
    {
        Id = new MoveId("mv-1"), Vm = GoodVm.Spec.Id, VmName = "web1", Source = new HostId("host1"), Target = new HostId("host2"),
        Mode = MoveMode.Live, Limits = new MoveLimits(), Epoch = new Epoch(3), Phase = Phase.Checking, CreatedAt = Now,
    };

    private static readonly SourceFacts GoodSource = new()
    {
        State = VmState.Running, Epoch = new Epoch(3), QemuVersion = "7.2.22", Blockers = [], Devices = [], Clock = Now,
    };

    private static readonly TargetFacts GoodTarget = new()
    {
        UnreachableDisks = [], MissingBridges = [], MissingCpuFeatures = [], AlreadyHere = false,
        Host = new HostFacts
        {
            AgentVersion = "0.1", KernelVersion = "6.1", Cpus = 2, CpuModelName = "x", CpuFlags = [], Accelerator = Accelerator.Tcg,
            AcceleratorReason = "no vmx", Qemus = [new QemuBinary("/usr/bin/qemu-system-x86_64", "7.2.22", ["pc-q35-7.2"], ["Nehalem-v1"])],
            MemoryBytes = 8L << 30, MemoryAvailableBytes = 4L << 30, RamFileSpaceBytes = 4L << 30, Bridges = ["br0"], Pools = [],
            Links = [], Clock = Now,
        },
    };

    private static string[] Codes(Vm? vm = null, Migration? move = null, SourceFacts? source = null, TargetFacts? target = null) =>
        Compatibility.Check(vm ?? GoodVm, move ?? GoodMove, source ?? GoodSource, target ?? GoodTarget).Select(r => r.Code).ToArray();

    [Fact]
    public void A_good_pair_has_no_reason_against_it() => Assert.Empty(Codes());

    [Fact]
    public void A_display_wants_a_qemu_that_can_show_one_and_nothing_else_does()
    {
        var vm = GoodVm with { Spec = GoodVm.Spec with { Display = Display.Vnc } };
        Assert.Equal(["display-missing"], Codes(vm));
        Assert.Equal(["display-missing"], Compatibility.CheckCold(vm, GoodMove, GoodTarget).Select(r => r.Code));
        var able = GoodTarget.Host with { Qemus = [GoodTarget.Host.Qemus[0] with { HasDisplay = true }] };
        Assert.Empty(Codes(vm, target: GoodTarget with { Host = able }));
    }

    [Theory]
    [InlineData(MoveMode.Live, 4096, 4096, true), InlineData(MoveMode.Live, 4096, 4095, false)]
    [InlineData(MoveMode.Quick, 4096, 4095, false), InlineData(MoveMode.Hybrid, 4096, 4095, false)]
    [InlineData(MoveMode.Lazy, 4096, 0, true), InlineData(MoveMode.Refresh, 4096, 0, true)]
    [InlineData(MoveMode.Live, 0, 0, true)] // All of it is there already, or an agent that does not tell.
    public void A_source_must_have_the_room_for_what_its_guest_has_never_used(
        MoveMode mode, long untouchedMib, long availableMib, bool may)
    {
        var source = GoodSource with { UntouchedBytes = untouchedMib << 20, MemoryAvailableBytes = availableMib << 20 };
        Assert.Equal(may, !Codes(move: GoodMove with { Mode = mode }, source: source).Contains("source-memory-short"));
    }

    [Fact]
    public void Every_reason_is_told_at_once()
    {
        var bad = GoodTarget with
        {
            UnreachableDisks = ["shared/vm.qcow2: permission denied"], MissingBridges = ["br0"], MissingCpuFeatures = ["avx2"],
            AlreadyHere = true,
            Host = GoodTarget.Host with
            {
                Accelerator = Accelerator.Kvm, MemoryAvailableBytes = 1 << 20, RamFileSpaceBytes = 1 << 20,
                Clock = Now.AddSeconds(5), Qemus = [new QemuBinary("/q", "6.0.0", ["pc-q35-6.0"], [])],
            },
        };
        Assert.Equal(
            new[] { "accelerator-differs", "bridge-missing", "clock-offset", "cpu-features-missing",
                "disk-unreachable", "machine-type-missing",
                "memory-short", "qemu-blocks", "qemu-too-old", "ram-file-space-short", "same-host", "vm-already-there", "vm-not-running" },
            Codes(move: GoodMove with { Target = GoodMove.Source }, target: bad,
                source: GoodSource with { Blockers = ["VFIO device"], State = VmState.Stopped }).Order());
    }

    [Theory]
    [InlineData(0.9, 0, true)]
    [InlineData(1.1, 0, false)]
    [InlineData(-1.1, 5, false)] // Asked later, and its clock is behind: asking explains nothing.
    [InlineData(5.9, 5, true)] // A host that took 5 s to answer.
    [InlineData(6.1, 5, false)]
    public void Clocks_are_compared_with_what_the_asking_took(double ahead, double asking, bool agree)
    {
        var target = GoodTarget with { Host = GoodTarget.Host with { Clock = GoodSource.Clock.AddSeconds(ahead) } };
        var codes = Compatibility.Check(GoodVm, GoodMove, GoodSource, target, TimeSpan.FromSeconds(asking)).Select(r => r.Code);
        Assert.Equal(agree, !codes.Contains("clock-offset"));
    }

    [Fact]
    public void Every_reason_says_what_to_do_next()
    {
        var reasons = Compatibility.Check(GoodVm, GoodMove with { Target = GoodMove.Source },
            GoodSource with { Blockers = ["x"], Epoch = new Epoch(9) },
            GoodTarget with { UnreachableDisks = ["d"], MissingBridges = ["b"], MissingCpuFeatures = ["f"], AlreadyHere = true });
        Assert.All(reasons, r => Assert.False(string.IsNullOrWhiteSpace(r.Fix), r.Code));
    }

    [Fact]
    public void A_host_without_qemu_is_refused_and_not_a_crash() =>
        Assert.Contains("qemu-missing", Codes(target: GoodTarget with { Host = GoodTarget.Host with { Qemus = [] } }));

    [Fact]
    public void A_refresh_stays_on_its_host_and_needs_no_second_memory()
    {
        var refresh = GoodMove with { Mode = MoveMode.Refresh, Target = GoodMove.Source };
        Assert.Empty(Codes(move: refresh, target: GoodTarget with
        {
            AlreadyHere = true, Host = GoodTarget.Host with { MemoryAvailableBytes = 0, RamFileSpaceBytes = 0 },
        }));
    }

    [Fact]
    public void An_extra_device_at_the_target_is_named_because_qemu_would_not_notice() =>
        Assert.Contains("rng0", Compatibility.CheckDevices(["net0"], ["net0", "rng0"])!.Cause, StringComparison.Ordinal);

    [Fact]
    public void A_paused_guest_may_move() => Assert.Empty(Codes(source: GoodSource with { State = VmState.Paused }));

    /// <summary>512 MiB at 1 MiB/s, twice, and a minute: 18 min; twice that must be left.</summary>
    [Theory]
    [InlineData(37, 37, null)]
    [InlineData(36, 37, "host1")]
    [InlineData(37, 36, "host2")]
    [InlineData(-1, 37, "host1")]
    public void Certificates_hold_for_twice_the_time_a_move_may_take(int sourceMinutes, int targetMinutes, string? shortOne)
    {
        var move = GoodMove with { Limits = new MoveLimits(300, 1 << 20) };
        var target = GoodTarget with
        {
            Host = GoodTarget.Host with { Certificate = new CertificateFacts(Now.AddDays(-20), Now.AddMinutes(targetMinutes), "") },
        };
        var reasons = Compatibility.Check(GoodVm, move, GoodSource with { CertificateEnds = Now.AddMinutes(sourceMinutes) }, target);
        if (shortOne is null) Assert.Empty(reasons);
        else
        {
            var reason = Assert.Single(reasons);
            Assert.Equal("certificate-short", reason.Code);
            Assert.StartsWith($"the certificate of {shortOne} holds until ", reason.Cause);
            Assert.Contains("its clock says 2026-01-01 00:00:00Z", reason.Cause);
        }
        Assert.Empty(Compatibility.Check(GoodVm, move with { Mode = MoveMode.Refresh, Target = GoodMove.Source },
            GoodSource with { CertificateEnds = Now }, target)); // It opens no link.
    }
}
