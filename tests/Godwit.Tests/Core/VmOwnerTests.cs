using Godwit.Core;
using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Xunit;

namespace Godwit.Tests.Core;

/// <summary>Whose a VM is by its hosts' records: by table, and by some thousand random sets of records.</summary>
public sealed class VmOwnerTests
{
    private static readonly VmSpec Web = Rpc.GrpcHostAgentTests.Spec() with { Name = "web" };
    private static readonly DateTimeOffset Now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    [Fact]
    public void The_one_owner_of_the_highest_epoch_owns_it() => Is("h2", 7, VmState.Running, Decide(
        [Owner("h2", 7), Left("h1", 7), Owner("h3", 3, VmState.Stopped)]));

    [Fact]
    public void Two_owners_of_one_epoch_are_frozen_whatever_runs()
    {
        var verdict = Decide([Owner("h1", 4, VmState.Stopped), Owner("h2", 4)]);
        Assert.Equal(("two-owners", VmState.Unknown), (Assert.Single(verdict.Frozen).Code, verdict.State));
    }

    [Theory]
    [InlineData("h9", "owner-silent")] // It was not asked: it is no host of the cluster.
    [InlineData("h3", "owner-silent")]
    [InlineData("h2", "owner-lost")]
    public void A_vm_that_only_somebody_let_go_of_is_frozen_at_where_it_went(string went, string code)
    {
        var claims = Claims([Left("h1", 5)], silent: ["h3"]) with { Moves = [Move("h1", MoveStanding.SourceReleased, 5, went,
            settled: true)] };
        Assert.Equal(code, Assert.Single(Ownership.Decide(claims, Now)!.Frozen).Code);
    }

    [Fact]
    public void Without_a_word_where_it_went_it_is_frozen_where_it_was_and_without_a_disk_it_was_deleted()
    {
        Assert.Equal("owner-unknown", Assert.Single(Decide([Left("h1", 5)]).Frozen).Code);
        Assert.Null(Ownership.Decide(Claims([Left("h1", 5), Left("h2", 4)]) with { HasDisks = false }, Now));
    }

    [Theory]
    [InlineData(VmState.Running, null)]
    [InlineData(VmState.Paused, null)]
    [InlineData(VmState.Stopped, "host-silent")]
    [InlineData(VmState.Crashed, "host-silent")]
    [InlineData(VmState.Saved, "host-silent")]
    public void With_a_silent_host_only_what_runs_is_certain(VmState state, string? code)
    {
        var verdict = Ownership.Decide(Claims([Owner("h1", 3, state)], silent: ["h3"]), Now)!;
        Assert.Equal(code, verdict.Frozen.SingleOrDefault()?.Code);
        Assert.Empty(Decide([Owner("h1", 3, state)]).Frozen);
    }

    [Fact]
    public void A_qemu_beside_the_owners_freezes_it_unless_a_move_accounts_for_it()
    {
        var copy = Left("h1", 3) with { Holding = Left("h1", 3).Holding with { HasProcess = true } };
        Assert.Equal("copy-elsewhere", Assert.Single(Decide([Owner("h2", 3), copy]).Frozen).Code);
        var released = Claims([Owner("h2", 3), copy]) with { Moves = [Move("h1", MoveStanding.SourceReleased, 3, "h2", settled: true)] };
        Assert.Empty(Ownership.Decide(released, Now)!.Frozen);
    }

    [Fact]
    public void A_record_that_cannot_be_read_may_say_anything() => Assert.Equal("record-unreadable", Assert.Single(
        Ownership.Decide(Claims([Owner("h1", 3)]) with { UnreadableAt = [new("h2")] }, Now)!.Frozen).Code);

    [Theory]
    [InlineData(MoveStanding.SourceSending, MoveStanding.TargetCandidate)]
    [InlineData(MoveStanding.SourceDoubt, MoveStanding.TargetIntent)]
    [InlineData(MoveStanding.SourceDoubt, MoveStanding.TargetRuns)]
    public void A_move_under_way_whose_hosts_both_answered_goes_on(MoveStanding source, MoveStanding target)
    {
        var claims = Claims([Owner("h1", 3), Left("h2", 3)]) with
        {
            Moves = [Move("h1", source, 4, "h2", settled: false), Move("h2", target, 4, "h1", settled: false, MoveSide.Target)],
        };
        var move = Assert.Single(Ownership.Decide(claims, Now)!.Moves);
        Assert.Equal((new HostId("h1"), new HostId("h2"), new Epoch(3), (MoveEnd?)null), (move.Source, move.Target, move.Epoch, move.End));
    }

    [Theory]
    [InlineData("h1")]
    [InlineData("h2")]
    public void A_move_with_a_silent_side_is_in_doubt_and_its_vm_is_nobodys_to_start(string answers)
    {
        var claims = Claims(answers == "h1" ? [Owner("h1", 3)] : [Left("h2", 3)], silent: [answers == "h1" ? "h2" : "h1"]) with
        {
            Moves = [answers == "h1" ? Move("h1", MoveStanding.SourceDoubt, 4, "h2", settled: false)
                : Move("h2", MoveStanding.TargetIntent, 4, "h1", settled: false, MoveSide.Target)],
        };
        var verdict = Ownership.Decide(claims, Now)!;
        Assert.Equal((VmState.Unknown, MoveEnd.NeedsOperator), (verdict.State, Assert.Single(verdict.Moves).End));
        Assert.Equal((new HostId("h1"), new Epoch(3)), (verdict.Owner, verdict.Epoch));
    }

    /// <summary>
    /// Random records of up to four hosts. Whatever they are: an unfrozen VM that is not in a move has exactly one owner
    /// of the highest epoch anybody knows, and no silent host could have it running.
    /// </summary>
    [Fact]
    public void Nothing_is_ever_guessed()
    {
        var (free, frozen) = (0, 0);
        for (var seed = 1; seed <= 5_000; seed++)
        {
            var random = new Random(seed);
            var hosts = Enumerable.Range(1, 4).Select(n => $"h{n}").ToList();
            var silent = hosts.Where(_ => random.Next(5) == 0).ToList();
            var holdings = hosts.Except(silent).Where(_ => random.Next(3) > 0).Select(host => (new HostId(host), new VmHolding(
                Web, new Epoch(1 + random.Next(3)), random.Next(2) == 0, (VmState)random.Next(6), random.Next(3) == 0))).ToList();
            if (holdings.Count == 0) continue;
            var moves = holdings.Where(_ => random.Next(4) == 0).Select(h => Move(h.Item1.Value,
                random.Next(2) == 0 ? MoveStanding.SourceReleased : MoveStanding.SourceDoubt, h.Item2.Epoch.Value + random.Next(2),
                hosts[random.Next(4)], settled: false) with { Host = h.Item1 }).Select(m => m with
                {
                    Move = m.Move with { IsSettled = m.Move.Standing == MoveStanding.SourceReleased },
                }).ToList();
            var claims = Claims(holdings, silent) with { Moves = moves };
            if (Ownership.Decide(claims, Now) is not { Frozen.Count: 0 } verdict || verdict.Moves.Any(m => m.End is null)
                || verdict.State == VmState.Unknown)
            {
                frozen++;
                continue;
            }
            free++;
            var top = Ownership.TopEpoch(claims);
            var owner = Assert.Single(holdings, h => h.Item2.IsOwner && h.Item2.Epoch == top);
            Assert.Equal((owner.Item1, top), (verdict.Owner, verdict.Epoch));
            if (silent.Count > 0 && verdict.Moves.Count == 0) Assert.True(owner.Item2.HasProcess, $"seed {seed}");
        }
        Assert.True(free > 300 && frozen > 300, $"{free} free, {frozen} frozen");
    }

    [Fact]
    public void A_newer_epoch_is_explained_by_a_move_left_in_doubt_and_by_nothing_else()
    {
        var move = Godwit.Tests.Control.StoreUnderTest.MakeMove(Godwit.Tests.Control.StoreUnderTest.MakeVm("web", "h1"), "h2", "mv-1");
        var doubt = move with { End = MoveEnd.NeedsOperator };
        Assert.True(StoreAge.Explains(doubt, new("h2"), new Epoch(2)));
        Assert.True(StoreAge.Explains(doubt, new("h1"), new Epoch(2)));
        Assert.False(StoreAge.Explains(doubt, new("h3"), new Epoch(2)));
        Assert.False(StoreAge.Explains(doubt, new("h2"), new Epoch(3)));
        Assert.False(StoreAge.Explains(move with { End = MoveEnd.RolledBack }, new("h2"), new Epoch(2)));
        Assert.False(StoreAge.Explains(null, new("h2"), new Epoch(2)));
    }

    [Theory]
    [InlineData("h2", 2, true, false)] // An owner elsewhere of as new an epoch.
    [InlineData("h2", 3, false, false)]
    [InlineData("h2", 2, false, true)] // A host that was told it is no longer the owner.
    [InlineData("h2", 1, true, true)] // Declared dead, and superseded.
    [InlineData("h1", 2, true, true)] // The same order again.
    [InlineData("h1", 3, true, false)]
    public void An_order_to_start_is_given_only_where_no_host_knows_as_new_a_word(string host, long epoch, bool isOwner, bool may) =>
        Assert.Equal(may, StoreAge.WhyNotStart(new StartVm(Web, new Epoch(2)), new("h1"), [(new(host), new(Web.Id, new(epoch),
            isOwner))]) is null);

    private static OwnershipVerdict Decide((HostId, VmHolding)[] holdings) => Ownership.Decide(Claims(holdings), Now)!;

    private static void Is(string owner, long epoch, VmState state, OwnershipVerdict verdict)
    {
        Assert.Empty(verdict.Frozen);
        Assert.Equal((new HostId(owner), new Epoch(epoch), state), (verdict.Owner, verdict.Epoch, verdict.State));
    }

    private static VmClaims Claims(IEnumerable<(HostId, VmHolding)> holdings, IEnumerable<string>? silent = null) => new()
    {
        Vm = Web.Id, Holdings = [.. holdings], Silent = [.. (silent ?? []).Select(s => new HostId(s))],
        Hosts = [new("h1"), new("h2"), new("h3"), new("h4")],
    };

    private static (HostId Host, VmHolding Holding) Owner(string host, long epoch, VmState state = VmState.Running) =>
        (new(host), new VmHolding(Web, new Epoch(epoch), true, state, state is VmState.Running or VmState.Paused));

    private static (HostId Host, VmHolding Holding) Left(string host, long epoch) =>
        (new(host), new VmHolding(Web, new Epoch(epoch), false, VmState.Stopped, false));

    private static (HostId Host, MoveHolding Move) Move(
        string host, MoveStanding standing, long newEpoch, string peer, bool settled, MoveSide side = MoveSide.Source) =>
        (new(host), new MoveHolding(new("mv-1"), Web.Id, side, standing, new Epoch(newEpoch), new HostId(peer), settled));
}
