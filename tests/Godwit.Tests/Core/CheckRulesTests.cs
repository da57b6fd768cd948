using Godwit.Core;
using Godwit.Core.Checking;
using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Core;

/// <summary>What of a host's things is nobody's, and what store and hosts say of each other.</summary>
public sealed class CheckRulesTests
{
    private static readonly VmId Web = new("vm-0123456789ab"), Other = new("vm-00000000000b");
    private static readonly RecordThing Runs = new(Web, IsOwner: true, IsHeld: false,
        [new InstanceThing(3, RamOf: 2, Pid: 77, IsAlive: true, ["t0123456789ab0b"])]);

    /// <summary>Everything of a VM that runs, and then one thing more.</summary>
    private static readonly HostThings Good = new()
    {
        Records = [Runs],
        Processes = [new ProcessThing(77, Web, 3)],
        Taps = ["lo", "eth0", "br0", "tap0", "t0123456789ab0b"],
        MemoryFiles = [new MemoryThing(Web, 2, "/run/vms/vm-0123456789ab/ram-2")],
        RunDirectories = [Web],
        Shares = ["vm-0123456789ab-3", "somebody-elses"],
    };

    [Fact]
    public void A_host_with_nothing_but_its_own_has_no_leaks() => Assert.Empty(HostLeaks.Of(Good));

    public static TheoryData<string, LeakKind, string> Left => new()
    {
        { "process", LeakKind.Process, "88" },
        { "second process", LeakKind.Process, "88" },
        { "tap", LeakKind.Tap, "t00000000000b0a" },
        { "tap of the other parity", LeakKind.Tap, "t0123456789ab0a" },
        { "memory", LeakKind.Memory, "/run/vms/vm-0123456789ab/ram-1" },
        { "run directory", LeakKind.RunDirectory, "vm-00000000000b" },
        { "record directory", LeakKind.RecordDirectory, "vm-00000000000b" },
        { "share", LeakKind.Share, "vm-0123456789ab-2" },
        { "ticket", LeakKind.Ticket, "mv-1" },
        { "copy", LeakKind.Copy, "77" },
    };

    [Theory]
    [MemberData(nameof(Left))]
    public void Each_thing_of_nobody_is_found_and_nothing_else(string what, LeakKind kind, string thing)
    {
        var leak = Assert.Single(HostLeaks.Of(Things(what)));
        Assert.Equal((kind, thing), (leak.Kind, leak.Thing));
        Assert.Equal(kind is not (LeakKind.Process or LeakKind.Copy), HostLeaks.MayBeRemoved(kind));
    }

    [Fact]
    public void Where_a_qemu_that_no_record_names_lives_nothing_of_its_vm_is_left_over()
    {
        var things = Good with
        {
            Processes = [.. Good.Processes, new ProcessThing(88, Other, 1)],
            Taps = [.. Good.Taps, "t00000000000b0b"], RunDirectories = [Web, Other], Shares = ["vm-00000000000b-1"],
            MemoryFiles = [.. Good.MemoryFiles, new MemoryThing(Other, 1, "/run/x")],
        };
        Assert.Equal(LeakKind.Process, Assert.Single(HostLeaks.Of(things)).Kind);
    }

    [Fact]
    public void Where_a_record_cannot_be_read_nothing_of_its_vm_is_left_over() => Assert.Empty(HostLeaks.Of(Good with
    {
        Unreadable = [Other], Taps = ["t00000000000b0b"], RunDirectories = [Web, Other], EmptyRecordDirectories = [Other],
    }));

    [Fact]
    public void A_copy_that_a_move_holds_is_the_moves() =>
        Assert.Empty(HostLeaks.Of(Good with { Records = [Runs with { IsOwner = false, IsHeld = true }] }));

    [Fact]
    public void What_the_store_has_left_over_is_found_and_what_a_move_in_doubt_keeps_is_not()
    {
        var vm = StoreUnderTest.MakeVm("web", "h1");
        var doubt = StoreUnderTest.MakeMove(vm, "h2", "mv-2") with { End = MoveEnd.NeedsOperator, Reason = "h2 is silent" };
        var found = CheckRules.Findings(new StoreWords
        {
            Vms = [vm],
            Reservations = [new("mv-1", vm.Spec.Id, new("h2"), 1 << 30), new("mv-2", vm.Spec.Id, new("h2"), 1), new("mv-3", vm.Spec.Id,
                new("h2"), 1)],
            Open = [new("mv-3", vm.Spec.Id, "web", IsMove: true, IsRun: false), new("op-4", vm.Spec.Id, "web", IsMove: false, IsRun: true)],
            Doubtful = [doubt],
            AuditProblems = ["row 7 was changed"],
        }, []);
        Assert.Equal(
            ["reservation-left mv-1 True", "move-without-runner mv-3 True", "move-in-doubt mv-2 False", "audit-broken audit False"],
            found.Select(f => $"{f.Code} {f.Thing} {f.CanBeRepaired}"));
    }

    [Fact]
    public void Hosts_findings_name_the_host_and_only_things_no_guest_can_be_behind_are_repaired()
    {
        var (vm, spec) = (StoreUnderTest.MakeVm("web", "h1"), StoreUnderTest.MakeVm("lost", "h1", number: 2).Spec);
        var inventory = new HostInventory
        {
            Vms = [new VmHolding(spec, new Epoch(4), true, VmState.Running, true)],
            Unreadable = [new(vm.Spec.Id, "owner.json is torn")],
            Leaks = [.. Enum.GetValues<LeakKind>().Select(k => new Leak(k, null, $"{k}", $"{k}"))],
            Files = [new("default", "vm-0000000000ff-0.qcow2", 5 << 20), new(spec.Disks[0].Pool, spec.Disks[0].File, 1),
                new("default", "template-x", 1)],
        };
        var found = CheckRules.Findings(new StoreWords { Vms = [vm] },
            [new(new("h1"), "h1:7443", FakeCluster.Facts(), inventory), new(new("h2"), "h2:7443", null, null, "no answer")]);
        Assert.Equal(["host-silent", "vm-orphan", "record-unreadable", "leak-process", "leak-copy", "leak-tap", "leak-memory",
            "leak-run-directory", "leak-share", "leak-ticket", "leak-record-directory", "disk-unnamed"], found.Select(f => f.Code));
        Assert.Equal(["leak-tap", "leak-memory", "leak-run-directory", "leak-share", "leak-ticket", "leak-record-directory"],
            found.Where(f => f.CanBeRepaired).Select(f => f.Code));
        Assert.All(found, f => Assert.True(f.What.Length > 0 && f.Next.Length > 0));
    }

    [Fact]
    public void A_plan_keeps_names_and_numbers_apart_and_says_what_it_leaves_out()
    {
        var one = StoreUnderTest.MakeVm("web", "h1").Spec with { Id = Web };
        var twin = StoreUnderTest.MakeVm("web", "h1", number: 2).Spec with { Id = Other };
        var sameUid = StoreUnderTest.MakeVm("db", "h1").Spec with { Id = new("vm-ffffffffff0c"), Nics = [] };
        var clone = one.Disks[0] with { BackingFile = $"template-{new string('a', 64)}.qcow2", File = $"{Web}-0.qcow2", Pool = "default" };
        var inventory = new HostInventory
        {
            Vms = [Holds(one with { Template = "debian", TemplateVersion = 2, Disks = [clone] }), Holds(twin), Holds(sameUid)],
            Files = [new("default", clone.BackingFile!, 9, 10), new("default", $"template-{new string('b', 64)}.raw", 9, 10),
                new("default", "vm-ffffffffffff-0.qcow2", 1)],
            Denied = [new(new("h9"), DateTimeOffset.UnixEpoch)],
        };
        var plan = RebuildRules.Plan([new(new("h1"), "h1:1", FakeCluster.Facts(), inventory)], [], storeIsLost: true, FakeCluster.Now);
        Assert.Equal(2, plan.Vms.Count);
        Assert.Equal(2, plan.Vms.Select(v => v.Vm.Spec.Name).Distinct().Count());
        Assert.All(plan.Vms, v => Assert.True(Names.IsValid(v.Vm.Spec.Name)));
        Assert.Equal(["debian 2", $"image-{new string('b', 12)} 1"], plan.Templates.Select(t => $"{t.Name} {t.Version}"));
        Assert.Equal("h9", Assert.Single(plan.Denied.Hosts).Host.Value);
        Assert.Contains(plan.LeftOut, l => l.Thing == "vm-ffffffffff0c");
        Assert.Contains(plan.LeftOut, l => l.Thing == "default/vm-ffffffffffff-0.qcow2");
        Assert.Contains(plan.LeftOut, l => l.Thing == "users and tokens");

        static VmHolding Holds(VmSpec spec) => new(spec, new Epoch(1), true, VmState.Running, true);
    }

    private static HostThings Things(string what) => what switch
    {
        "process" => Good with { Processes = [.. Good.Processes, new(88, Other, 1)] },
        "second process" => Good with { Processes = [.. Good.Processes, new(88, Web, 4)] },
        "tap" => Good with { Taps = [.. Good.Taps, "t00000000000b0a"] },
        "tap of the other parity" => Good with { Taps = [.. Good.Taps, "t0123456789ab0a"] },
        "memory" => Good with { MemoryFiles = [.. Good.MemoryFiles, new(Web, 1, "/run/vms/vm-0123456789ab/ram-1")] },
        "run directory" => Good with { RunDirectories = [Web, Other] },
        "record directory" => Good with { EmptyRecordDirectories = [Other] },
        "share" => Good with { Shares = [.. Good.Shares, "vm-0123456789ab-2"] },
        "ticket" => Good with { IdleTickets = [new("mv-1")] },
        _ => Good with { Records = [Runs with { IsOwner = false }] },
    };
}
