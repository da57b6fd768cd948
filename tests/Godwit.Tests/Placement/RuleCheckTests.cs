using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Tests.Balance;
using Xunit;

namespace Godwit.Tests.Placement;

/// <summary>What rules say of VMs that are not just where they are: on their way, about to leave, or lost with their host.</summary>
public sealed class RuleCheckTests
{
    private static readonly PlacementRule Apart = new PlacementRule.Apart { Name = "r", VmTag = "db" };
    private static readonly PlacementRule Together = new PlacementRule.Together { Name = "r", VmTag = "db" };
    private static readonly PlacementVm One = RandomCluster.Vm("one", "a") with { Tags = ["db"] };
    private static readonly PlacementVm Two = RandomCluster.Vm("two", "b") with { Tags = ["db"] };

    [Fact]
    public void A_vm_that_is_on_its_way_counts_there_and_where_it_still_is()
    {
        var moving = Two with { Heading = new HostId("c") };
        Assert.Equal("rule-apart", Code(Apart, One, "b", moving));
        Assert.Equal("rule-apart", Code(Apart, One, "c", moving));
        Assert.Null(Code(Apart, One, "d", moving));
        Assert.Equal("rule-together", Code(Together, One, "b", moving));
        Assert.Null(Code(Together, One, "c", moving));
    }

    [Fact]
    public void What_is_about_to_leave_its_host_or_is_lost_with_it_keeps_nobody_near()
    {
        foreach (var leaving in new[]
        {
            RandomCluster.Host("b") with { IsDraining = true }, RandomCluster.Host("b") with { State = HostState.Fenced },
        })
            Assert.Null(Code(Together, One, "c", Two, leaving));
        // Silence proves nothing: it may run there.
        Assert.Equal("rule-together", Code(Together, One, "c", Two, RandomCluster.Host("b") with { State = HostState.Unreachable }));
    }

    [Fact]
    public void A_persons_word_makes_rules_wishes_and_sets_a_pin_aside_but_never_room_or_compatibility()
    {
        var vm = One with { IsPinned = true, Bridges = ["br9"], Demand = One.Demand with { MemoryBytes = 100 * RandomCluster.GiB } };
        var view = View(Apart, [vm, Two]);
        string[] Hard(Overridden overridden) =>
            [.. PlacementCheck.Judge(view, vm, view.Host(new HostId("b")), overridden).Reasons
                .Where(r => r.IsHard).Select(r => r.Why.Code)];

        Assert.Equal(["vm-pinned", "bridge-missing", "memory-short", "rule-apart"], Hard(Overridden.None));
        Assert.Equal(["vm-pinned", "bridge-missing", "memory-short"], Hard(Overridden.Rules));
        Assert.Equal(["bridge-missing", "memory-short"], Hard(Overridden.Rules | Overridden.Pin));
        Assert.Contains(PlacementCheck.Judge(view, vm, view.Host(new HostId("b")), Overridden.Rules).Reasons,
            r => r.Why.Code == "rule-apart");
    }

    [Fact]
    public void A_stopped_vm_is_pinned_to_the_host_whose_it_is()
    {
        var vm = One with { Host = null, Home = new HostId("a"), IsPinned = true };
        var view = View(Apart, [vm]);
        Assert.Equal(new HostId("a"), HostPick.Best(view, vm, _ => true).Host);
        var elsewhere = HostPick.Best(view, vm, host => host.Value == "b");
        Assert.Null(elsewhere.Host);
        Assert.Equal("vm-pinned", Assert.Single(elsewhere.Against).Code);
    }

    [Fact]
    public void Breaches_name_every_vm_that_is_where_the_rule_does_not_want_it()
    {
        var third = RandomCluster.Vm("three", "a") with { Tags = ["db"] };
        var stopped = RandomCluster.Vm("off", null) with { Tags = ["db"] };
        Assert.Equal(["one", "three"], RuleCheck.Breaches(View(Apart, [One, Two, third, stopped]), Apart).Select(b => b.VmName));
        Assert.Empty(RuleCheck.Breaches(View(Apart, [One, Two]), Apart));
        var onSsd = new PlacementRule.OnHosts { Name = "r", VmTag = "db", HostTag = "ssd" };
        Assert.All(RuleCheck.Breaches(View(onSsd, [One, Two]), onSsd), b => Assert.Contains("not", b.Why, StringComparison.Ordinal));
        Assert.Equal(2, RuleCheck.Breaches(View(onSsd, [One, Two]), onSsd).Count);
    }

    [Fact]
    public void A_named_host_has_every_reason_and_a_soft_one_is_only_told()
    {
        var soft = new PlacementRule.Apart { Name = "r", VmTag = "db", IsHard = false };
        var told = HostPick.Named(View(soft, [One, Two]), One, new HostId("b"));
        Assert.Equal((new HostId("b"), 0, "rule-apart"), (told.Host!.Value, told.Against.Count, Assert.Single(told.Told).Code));
        var vm = One with { Bridges = ["br9"] };
        Assert.Equal(["bridge-missing", "rule-apart"],
            HostPick.Named(View(Apart, [vm, Two]), vm, new HostId("b")).Against.Select(r => r.Code));
    }

    [Fact]
    public void Tags_are_words_of_one_form_and_there_are_not_too_many()
    {
        Assert.Equal(["a.1", "b_2", "c-3"], PlacementTags.Changed(["c-3", "old"], ["b_2", "a.1", "a.1"], ["old", "never"]));
        foreach (var bad in new[] { "", "Big", "two words", "ä", new string('x', 64), "a\n" })
            Assert.Equal("bad-tag", Assert.Throws<RefusedException>(() => PlacementTags.Changed([], [bad], null)).Reasons[0].Code);
        Assert.Equal("bad-tag", Assert.Throws<RefusedException>(() => PlacementTags.Changed([], ["a"], ["a"])).Reasons[0].Code);
        var many = Enumerable.Range(0, PlacementTags.CountMax).Select(n => $"t{n}").ToList();
        Assert.Equal(PlacementTags.CountMax, PlacementTags.Changed([], many, null).Count);
        var tooMany = Assert.Throws<RefusedException>(() => PlacementTags.Changed(many, ["one-more"], null));
        Assert.Equal("too-many-tags", tooMany.Reasons[0].Code);
    }

    [Fact]
    public void A_rule_that_cannot_be_says_why()
    {
        Assert.Empty(new RuleRecord("spread", RuleKind.Apart, "db").Broken());
        Assert.Empty(new RuleRecord("fast", RuleKind.OnHosts, "db", "ssd").Broken());
        Assert.Equal(["bad-name", "bad-tag", "bad-rule"], new RuleRecord("No", RuleKind.Apart, "D b", "ssd").Broken().Select(r => r.Code));
        Assert.Equal(["bad-tag"], new RuleRecord("fast", RuleKind.NotOnHosts, "db").Broken().Select(r => r.Code));
        Assert.Equal(["bad-rule"], new RuleRecord("odd", (RuleKind)9, "db").Broken().Select(r => r.Code));
    }

    [Theory]
    [InlineData("low", 250), InlineData("normal", 500), InlineData("high", 750), InlineData("0", 0), InlineData("1000", 1000)]
    [InlineData("1001", null), InlineData("-1", null), InlineData("urgent", null), InlineData("", null)]
    public void A_priority_is_a_word_or_a_number_to_a_thousand(string text, int? priority)
    {
        Assert.Equal(priority, VmPriority.Parse(text));
        if (priority is { } known) Assert.Equal(text, VmPriority.Word(known));
    }

    private static string? Code(PlacementRule rule, PlacementVm vm, string host, PlacementVm other, PlacementHost? instead = null)
    {
        var view = View(rule, [vm, other], instead);
        return RuleCheck.Against(rule, view, vm, view.Host(new HostId(host)))?.Why.Code;
    }

    private static PlacementView View(PlacementRule rule, IReadOnlyList<PlacementVm> vms, PlacementHost? instead = null) => new(
        [.. new[] { "a", "b", "c", "d" }.Select(name => instead?.Id.Value == name ? instead : RandomCluster.Host(name))], vms,
        new PlacementPolicy { Rules = [rule] });
}
