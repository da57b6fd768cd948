using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Hosts;
using Godwit.Server.Migrations;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>The pure decisions of the control plane.</summary>
public sealed class DecisionTests
{
    private static readonly Vm Web = StoreUnderTest.MakeVm("web", "h1") with { State = VmState.Running, Epoch = new Epoch(3) };
    private static readonly HostId H1 = new("h1"), H2 = new("h2");

    [Fact]
    public void The_cpu_model_is_the_newest_that_every_qemu_of_every_host_offers()
    {
        var facts = FakeCluster.Facts();
        Assert.Equal("Nehalem-v2", Best(["Nehalem-v1", "Nehalem-v2", "EPYC-v1", "Haswell-v4"], ["Nehalem-v2", "EPYC-v1", "Nehalem-v1"]));
        Assert.Equal("Skylake-Server-v10", Best(["Skylake-Server-v9", "Skylake-Server-v10", "Nehalem-v1", "max", "host", "Nehalem"]));
        Assert.Null(Best(["Nehalem-v1"], ["EPYC-v1"]));
        Assert.Null(CpuBaseline.BestCpuModel([facts, facts with { Qemus = [] }], Accelerator.Tcg));
        Assert.Equal("EPYC-Milan-v1", CpuBaseline.BestCpuModel(
            [facts with { Qemus = [Qemu(["Nehalem-v1", "EPYC-v1", "EPYC-Milan-v1"])] }], Accelerator.Kvm));

        string? Best(params string[][] hosts) => CpuBaseline.BestCpuModel(
            [.. hosts.Select(models => facts with { Qemus = [Qemu(models)] })], Accelerator.Tcg);
    }

    [Fact]
    public void The_machine_type_is_the_newest_versioned_q35_that_all_know()
    {
        var facts = FakeCluster.Facts();
        var old = facts with { Qemus = [Machines("pc-q35-7.2", "pc-q35-6.2", "q35", "pc-q35-9.2")] };
        var newer = Machines("pc-q35-7.2", "pc-q35-10.0", "pc-q35-9.2");
        var young = facts with { Qemus = [newer, Machines("pc-q35-10.0", "pc-q35-7.2", "pc-q35-9.2")] };
        Assert.Equal("pc-q35-9.2", CpuBaseline.NewestMachineType([old, young]));
        Assert.Equal("pc-q35-10.0", CpuBaseline.NewestMachineType([young]));
    }

    [Fact]
    public void Moves_wait_for_their_hosts_in_order_and_none_is_overtaken_for_ever()
    {
        Assert.Equal(["a", "c"], Begin([], [Move("a", "h1", "h2"), Move("b", "h1", "h3"), Move("c", "h4", "h5")]));
        Assert.Empty(Begin([Move("r", "h1", "h2")], [Move("b", "h1", "h3"), Move("c", "h9", "h3")]));
        Assert.Equal(["b"], Begin([Move("r", "h1", "h2")], [Move("b", "h2", "h1")]));
        Assert.Equal(["cold", "fresh"], Begin([Move("r", "h1", "h2")],
            [Move("cold", "h1", "h2") with { Mode = MoveMode.Cold }, Move("fresh", "h1", "h1") with { Mode = MoveMode.Refresh }]));
    }

    [Fact]
    public void The_host_with_most_room_is_chosen_and_otherwise_every_host_says_why_not()
    {
        Assert.Equal(H2, Best(Room("h1", 2L << 30), Room("h2", 0)).Host);
        Assert.Equal(H1, Best(Room("h1", 0), Room("h2", 0)).Host);
        var none = Best(
            Room("a", 8L << 30), Room("b", 0) with { Shares = new Dictionary<string, string> { ["default"] = "s2" } },
            InState(Room("c", 0), HostState.Unreachable), InState(Room("d", 0), HostState.Cordoned),
            InState(Room("e", 0), HostState.Fenced));
        Assert.Null(none.Host);
        Assert.Equal(["memory-short", "pool-not-shared", "host-unreachable", "host-cordoned", "host-fenced"],
            none.Against.Select(r => r.Code));

        static HostPick Best(params HostRoom[] rooms)
        {
            var web = Web with { Owner = new HostId("home") };
            var scene = StoreUnderTest.Scene([.. rooms, Room("home", 0)], [web]);
            return scene.Best(web, host => host != web.Owner, Overridden.None);
        }
    }

    [Fact]
    public void Hosts_win_over_the_record_and_newer_epochs_over_older()
    {
        Assert.IsType<Verdict.Agrees>(Judge(H1, VmState.Running, 3));
        Assert.Equal(VmState.Stopped, Changed(H1, VmState.Stopped, 3).State);
        Assert.Equal((H2, new Epoch(4)), (Changed(H2, VmState.Running, 4).Owner, Changed(H2, VmState.Running, 4).Epoch));
        Assert.IsType<Verdict.Agrees>(Judge(H2, VmState.Running, 4, isOwner: false));
        Assert.IsType<Verdict.Behind>(Judge(H1, VmState.Running, 2));
        Assert.IsType<Verdict.Agrees>(Judge(H1, VmState.Stopped, 2));
        Assert.IsType<Verdict.Agrees>(Judge(H2, VmState.Stopped, 2));
        Assert.IsType<Verdict.Alarm>(Judge(H2, VmState.Running, 2));
        Assert.IsType<Verdict.Alarm>(Judge(H2, VmState.Running, 3));
    }

    [Fact]
    public void A_vm_its_host_does_not_know_has_crashed_if_it_ran_and_is_no_news_if_it_was_stopped()
    {
        Assert.Equal(VmState.Crashed, Assert.IsType<Verdict.Changed>(ReportRules.Judge(Web, H1, null)).Now.State);
        Assert.IsType<Verdict.Agrees>(ReportRules.Judge(Web with { State = VmState.Stopped }, H1, null));
        Assert.IsType<Verdict.Agrees>(ReportRules.Judge(Web with { State = VmState.Unknown }, H1, null));
    }

    [Fact]
    public void A_saved_vm_keeps_its_file_and_learns_it_from_its_host()
    {
        var saved = Web with { State = VmState.Saved, SavedFile = "vm-web-3.saved" };
        var poweredOff = ReportRules.Judge(saved, H1, FakeHost.Report(Web.Spec, Web.Epoch, VmState.Stopped));
        var now = Assert.IsType<Verdict.Changed>(poweredOff).Now;
        Assert.Equal((VmState.Stopped, null), (now.State, now.SavedFile));
        Assert.IsType<Verdict.Agrees>(ReportRules.Judge(saved, H1, FakeHost.Report(Web.Spec, Web.Epoch, VmState.Saved)));
        var report = FakeHost.Report(Web.Spec, Web.Epoch, VmState.Saved) with { Note = "vm-web-3.saved" };
        Assert.Equal("vm-web-3.saved", Assert.IsType<Verdict.Changed>(ReportRules.Judge(Web, H1, report)).Now.SavedFile);
        Assert.Equal("vm-web-3.saved",
            Assert.IsType<Verdict.Changed>(ReportRules.Judge(saved with { SavedFile = null }, H1, report)).Now.SavedFile);
    }

    [Fact]
    public void Room_is_what_is_offered_less_what_is_promised()
    {
        Assert.Equal(9L << 30, Admission.OfferedBytes(10L << 30));
        Assert.Equal(63L << 30, Admission.OfferedBytes(64L << 30));
        Assert.Null(Admission.Check(H1, 10L << 30, 8L << 30, 1L << 30));
        Assert.Contains("9216 MiB", Admission.Check(H1, 10L << 30, 8L << 30, (1L << 30) + 1)?.Cause);
        Assert.NotNull(Admission.Check(H1, 10L << 30, 0, long.MaxValue));
        Assert.NotNull(Admission.Check(H1, 10L << 30, 0, -1));
    }

    private static Verdict Judge(HostId host, VmState state, long epoch, bool isOwner = true) =>
        ReportRules.Judge(Web, host, FakeHost.Report(Web.Spec, new Epoch(epoch), state) with { IsOwner = isOwner });

    private static Vm Changed(HostId host, VmState state, long epoch) => Assert.IsType<Verdict.Changed>(Judge(host, state, epoch)).Now;

    private static IEnumerable<string> Begin(Migration[] running, Migration[] waiting) =>
        MoveQueue.MayBegin(running, waiting).Select(m => m.Id.Value);

    private static Migration Move(string id, string source, string target) =>
        StoreUnderTest.MakeMove(Web with { Owner = new HostId(source) }, target, id);

    private static HostRoom Room(string name, long promised) => new(
        new Host { Id = new HostId(name), Endpoint = "x:1", State = HostState.Ready, Facts = FakeCluster.Facts() },
        promised, 0, new Dictionary<string, string> { ["default"] = "s1" });

    private static HostRoom InState(HostRoom room, HostState state) => room with { Host = room.Host with { State = state } };

    private static QemuBinary Qemu(string[] models) => new("/q", "7.2.0", ["pc-q35-7.2"], models);
    private static QemuBinary Machines(params string[] machines) => new("/q", "7.2.0", machines, ["Nehalem-v1"]);
}
