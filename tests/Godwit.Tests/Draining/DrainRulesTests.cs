using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Draining;
using Godwit.Server.Hosts;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Draining;

/// <summary>The pure half of a drain: who leaves how and where to, what comes next, when it is over.</summary>
public sealed class DrainRulesTests
{
    private static readonly DateTimeOffset Now = FakeCluster.Now;
    private static readonly HostId H1 = new("h1");

    [Fact]
    public void The_plan_spreads_the_vms_and_leaves_none_without_a_word()
    {
        var plan = Plan(H1, [Vm("a"), Vm("b"), Vm("c", 3072), Vm("s", state: VmState.Saved), Vm("x", state: VmState.Stopped)],
            [Room("h1"), Room("h2"), Room("h3")], new DrainLimits());

        Assert.Empty(plan.Reasons);
        Assert.Equal(["c", "a", "b", "s", "x"], plan.Steps.Select(s => s.VmName));
        Assert.Equal(["h2", "h3", "h3"], plan.Steps.Take(3).Select(s => s.Target!.Value.Value));
        Assert.Equal([MoveMode.Live, MoveMode.Live, MoveMode.Live, null, MoveMode.Cold], plan.Steps.Select(s => s.Mode));
        var saved = plan.Steps[3];
        Assert.False(saved.Blocks);
        Assert.Equal("vm-saved", Assert.Single(saved.Why).Code);
    }

    [Fact]
    public void Without_room_elsewhere_it_does_not_begin_and_says_how_much_is_missing()
    {
        var rooms = new[] { Room("h1"), Room("h2", promisedMib: 6000) };
        var plan = Plan(H1, [Vm("a"), Vm("b")], rooms, new DrainLimits());

        Assert.Equal((1024L + 256) << 20, plan.ShortBytes);
        var reason = Assert.Single(plan.Reasons);
        Assert.Equal("drain-incomplete", reason.Code);
        Assert.Contains("b cannot leave h1; 1280 MiB of memory are missing elsewhere", reason.Cause);
        Assert.Empty(Plan(H1, [Vm("a"), Vm("b")], rooms, new DrainLimits(AllowPartial: true)).Reasons);
    }

    [Fact]
    public void A_vm_nobody_can_place_blocks_and_a_silent_host_is_not_drained()
    {
        var plan = Plan(H1, [Vm("a", state: VmState.Unknown)], [Room("h1"), Room("h2")], new DrainLimits());
        Assert.Equal("drain-incomplete", Assert.Single(plan.Reasons).Code);
        var silent = Room("h1") with { Host = Room("h1").Host with { State = HostState.Unreachable } };
        Assert.Equal("host-unreachable", Plan(H1, [], [silent, Room("h2")], new DrainLimits()).Reasons[0].Code);
    }

    [Fact]
    public void The_time_is_told_where_the_links_are_known()
    {
        LinkFacts[] gigabit = [new("eth0", "10.0.0.1", 1_000_000_000, 1500)];
        var rooms = new[] { Linked(Room("h1"), gigabit), Linked(Room("h2"), gigabit) };
        Assert.Equal(1024d * (1 << 20) * 8 / 0.9e9, Plan(H1, [Vm("a")], rooms, new DrainLimits()).EtaSeconds!.Value, 3);
        Assert.Null(Plan(H1, [Vm("a")], [Linked(Room("h1"), gigabit), Linked(Room("h2"), [])], new DrainLimits()).EtaSeconds);
    }

    [Fact]
    public void A_vm_that_fails_three_times_stays_and_keeps_nobody_waiting()
    {
        var drain = Drain("a", "b");
        var part = drain.Vms[0];
        for (var attempt = 1; attempt <= DrainRules.TriesMax; attempt++)
        {
            var begun = part with { Move = new MoveId("mv-1"), Tries = part.Tries + 1 };
            part = DrainRules.AfterMove(drain, begun, Ended(MoveEnd.RolledBack, "the link broke"), Now);
            Assert.Equal(attempt == DrainRules.TriesMax ? DrainVmEnd.Blocked : null, part.End);
            if (part.End is null) Assert.Empty(DrainRules.Next(DrainRules.With(Drain("a"), part), 0, Now));
        }
        Assert.Contains("the link broke", part.Why[0].Cause);
        drain = DrainRules.With(drain, part);
        Assert.Null(DrainRules.IsOver(drain, Now));
        Assert.Equal(["b"], DrainRules.Next(drain, 0, Now).Select(v => v.VmName));
        drain = DrainRules.With(drain, drain.Vms[1] with { End = DrainVmEnd.Moved });
        Assert.Equal(DrainEnd.Blocked, DrainRules.IsOver(drain, Now));
        Assert.Contains("1 stay: a", DrainRules.Sentence(drain, DrainEnd.Blocked, []));
    }

    [Fact]
    public void With_consent_the_last_try_is_quick()
    {
        var drain = Drain("a") with { Limits = new DrainLimits(QuickWhereBlocked: true) };
        var part = drain.Vms[0] with { Tries = DrainRules.TriesMax - 1, Move = new MoveId("mv-1") };
        Assert.Equal(MoveMode.Live, DrainRules.Look(drain, part, Vm("a")).Mode);
        var tooLong = Ended(MoveEnd.RolledBack, "would have paused 900 ms");
        part = DrainRules.AfterMove(drain, part with { Tries = DrainRules.TriesMax }, tooLong, Now);
        Assert.Null(part.End);
        Assert.Equal(MoveMode.Quick, DrainRules.Look(drain, part, Vm("a")).Mode);
    }

    [Fact]
    public void Somebody_elses_work_is_waited_for_and_is_no_try()
    {
        var drain = Drain("a");
        var waits = DrainRules.AfterRefusal(drain, drain.Vms[0], MoveMode.Live, [new("vm-busy", "x", "y")], Now);
        Assert.Equal((0, null), (waits.Tries, waits.End));
        Assert.Empty(DrainRules.Next(DrainRules.With(drain, waits), 0, Now));
        Assert.Single(DrainRules.Next(DrainRules.With(drain, waits), 0, Now.AddMinutes(1)));
        Assert.Equal(1, DrainRules.AfterRefusal(drain, drain.Vms[0], MoveMode.Live, [new("memory-short", "x", "y")], Now).Tries);
    }

    [Fact]
    public void A_persons_cancel_of_one_move_is_heard_and_the_drains_own_cancels_are_none()
    {
        var (drain, cancelled) = (Drain("a"), Ended(MoveEnd.Cancelled, "x"));
        var part = drain.Vms[0] with { Move = new MoveId("mv-1"), Tries = 1 };
        Assert.Equal(DrainVmEnd.Blocked, DrainRules.AfterMove(drain, part, cancelled, Now).End);
        Assert.Null(DrainRules.AfterMove(drain with { CancelRequested = true }, part, cancelled, Now).End);
        Assert.Null(DrainRules.AfterMove(drain with { Limits = new DrainLimits(Deadline: Now) }, part, cancelled, Now).End);
    }

    [Fact]
    public void After_its_deadline_nothing_begins_and_what_goes_on_ends()
    {
        var drain = Drain("a", "b") with { Limits = new DrainLimits(Deadline: Now.AddMinutes(1)) };
        Assert.False(DrainRules.IsToStop(drain, Now));
        Assert.True(DrainRules.IsToStop(drain, Now.AddMinutes(1)));
        var moving = DrainRules.With(drain, drain.Vms[0] with { Move = new MoveId("mv-1") });
        Assert.Null(DrainRules.IsOver(moving, Now.AddMinutes(2)));
        Assert.Equal(DrainEnd.DeadlinePassed, DrainRules.IsOver(drain, Now.AddMinutes(2)));
    }

    [Fact]
    public void What_comes_back_is_only_what_is_where_the_drain_put_it()
    {
        var back = Drain("a") with { Kind = DrainKind.Back };
        var part = back.Vms[0] with { Target = new HostId("h2") };
        Assert.Equal(MoveMode.Live, DrainRules.Look(back, part, Vm("a") with { Owner = new HostId("h2") }).Mode);
        Assert.Equal(DrainVmEnd.Gone, DrainRules.Look(back, part, Vm("a") with { Owner = new HostId("h3") }).Part.End);
        Assert.Equal(DrainVmEnd.Moved, DrainRules.Look(back, part, Vm("a")).Part.End);
        Assert.Equal(DrainVmEnd.Gone, DrainRules.Look(back, part, null).Part.End);
    }

    private static Vm Vm(string name, long memoryMib = 1024, VmState state = VmState.Running) =>
        StoreUnderTest.MakeVm(name, "h1", memoryMib: memoryMib) with { State = state };

    private static DrainPlan Plan(HostId host, IReadOnlyList<Vm> vms, IReadOnlyList<HostRoom> rooms, DrainLimits limits) =>
        DrainPlanner.Plan(host, vms, StoreUnderTest.Scene(rooms, vms), limits);

    private static HostRoom Room(string name, long promisedMib = 0) => new(
        new Host { Id = new HostId(name), Endpoint = "x:1", State = HostState.Ready, Facts = FakeCluster.Facts() },
        promisedMib << 20, 0, Vm("a").Spec.Disks.Select(d => d.Pool).Distinct().ToDictionary(pool => pool, _ => "s1"));

    private static HostRoom Linked(HostRoom room, LinkFacts[] links) =>
        room with { Host = room.Host with { Facts = room.Host.Facts! with { Links = links } } };

    private static Drain Drain(params string[] vms) => new()
    {
        Id = "dr-1", Host = H1, Kind = DrainKind.Away, Limits = new DrainLimits(), CreatedAt = Now,
        Vms = [.. vms.Select(name => new DrainVm(new VmId($"vm-{name}"), name))],
    };

    private static Migration Ended(MoveEnd end, string reason) =>
        StoreUnderTest.MakeMove(Vm("a"), "h2", "mv-1") with { End = end, Reason = reason };
}
