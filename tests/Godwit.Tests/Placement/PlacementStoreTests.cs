using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Server.Store;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Placement;

/// <summary>The last look at hard rules, in the transaction that begins something: whatever was decided before it.</summary>
public sealed class PlacementStoreTests : IDisposable
{
    private readonly StoreUnderTest _store = new();

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task A_move_is_not_begun_to_where_another_is_on_its_way()
    {
        var (one, two) = await PairAsync(RuleKind.Apart);
        await _store.BeginMoveAsync(one, "h3");
        Assert.Equal("rule-apart", await BeginAsync(two, "h3"));
        Assert.Equal("rule-apart", await BeginAsync(two, "h1")); // Where it still is.
        Assert.Null(await BeginAsync(two, "h3", ignoresRules: true));
    }

    [Fact]
    public async Task A_start_is_not_begun_beside_another_that_is_being_started()
    {
        var (one, two) = await PairAsync(RuleKind.Apart, "h1", "h1", VmState.Stopped);
        var (first, second) = (Start(one), Start(two));
        Assert.Null(await _store.Stores.Operations.ReserveAsync(first, one.Owner, 1 << 20));
        Assert.Equal("rule-apart", (await _store.Stores.Operations.ReserveAsync(second, two.Owner, 1 << 20))?.Code);
        Assert.Null(await _store.Stores.Operations.ReserveAsync(first, one.Owner, 1 << 20)); // Asked again after a restart.
        Assert.Null(await _store.Stores.Operations.ReserveAsync(second with { Kind = OperationKind.Restart }, two.Owner, 1 << 20));
        Assert.Null(await _store.Stores.Operations.ReserveAsync(second with { IgnoresRules = true }, two.Owner, 1 << 20));
    }

    [Fact]
    public async Task A_lost_vm_gets_no_home_that_a_rule_forbids()
    {
        var (one, _) = await PairAsync(RuleKind.Apart);
        await _store.Stores.Hosts.SetReachableAsync(new HostId("h1"), false, "silent");
        Assert.Null(await _store.Stores.Fences.ProveAsync(new FenceProof
        {
            Id = "fp-1", Host = new HostId("h1"), Kind = FenceKind.Person, By = "anna", At = FakeCluster.Now,
        }));
        var recover = StoreUnderTest.MakeOperation(OperationKind.Recover, one, "op-r");
        Assert.IsType<Begun.Now>(await _store.Stores.Operations.BeginAsync(recover, null));
        var (none, why) = await HomeAsync("h2");
        Assert.Equal((null, "rule-apart"), (none, why?.Code));
        Assert.Equal(new HostId("h3"), (await HomeAsync("h3")).Vm!.Owner);

        Task<(Vm? Vm, Refusal? Refusal)> HomeAsync(string to) =>
            _store.Stores.Fences.RehomeAsync(recover, one.Owner, new HostId(to), VmState.Running, 1 << 20, null);
    }

    [Fact]
    public async Task A_soft_rule_an_untagged_vm_and_a_rule_about_hosts_are_what_they_are()
    {
        var (one, two) = await PairAsync(RuleKind.Apart, isHard: false);
        Assert.Null(await BeginAsync(one, "h2"));
        await _store.Stores.Placement.AddAsync(new RuleRecord("fast", RuleKind.OnHosts, "db", "ssd"));
        Assert.Equal("rule-host", await BeginAsync(two, "h3"));
        await _store.Stores.Hosts.SetTagsAsync(new HostId("h3"), _ => ["ssd"]);
        Assert.Null(await BeginAsync(two, "h3"));
    }

    [Fact]
    public async Task Rules_and_the_policy_outlive_the_server()
    {
        await PairAsync(RuleKind.Together);
        await _store.Stores.Placement.ChangePolicyAsync(policy => policy with { VcpuOvercommit = 3 });
        _store.OpenAgain();
        var policy = await _store.Stores.Placement.PolicyAsync();
        Assert.Equal((3, 0.85), (policy.VcpuOvercommit, policy.LoadCeiling));
        Assert.Equal("db", Assert.IsType<PlacementRule.Together>(Assert.Single(policy.Rules)).VmTag);
        Assert.True(await _store.Stores.Placement.RemoveAsync("pair"));
        Assert.False(await _store.Stores.Placement.RemoveAsync("pair"));
        Assert.Empty((await _store.Stores.Placement.PolicyAsync()).Rules);
    }

    [Fact]
    public async Task There_are_not_more_rules_than_can_be_looked_at()
    {
        for (var rule = 0; rule < PlacementStore.RulesMax; rule++)
            Assert.Null(await _store.Stores.Placement.AddAsync(new RuleRecord($"r{rule}", RuleKind.Apart, "db")));
        Assert.Equal("too-many-rules", (await _store.Stores.Placement.AddAsync(new RuleRecord("more", RuleKind.Apart, "db")))?.Code);
    }

    private async Task<(Vm One, Vm Two)> PairAsync(
        RuleKind kind, string host1 = "h1", string host2 = "h2", VmState state = VmState.Running, bool isHard = true)
    {
        foreach (var host in (string[])["h1", "h2", "h3"]) await _store.AddHostAsync(host);
        var vms = new List<Vm>();
        foreach (var (name, host, number) in new[] { ("db1", host1, 1), ("db2", host2, 2) })
        {
            var vm = await _store.AddVmAsync(name, host, state, number);
            vms.Add((await _store.Stores.Vms.SetPlacementAsync(vm.Spec.Id, v => v with { Tags = ["db"] }))!);
        }
        Assert.Null(await _store.Stores.Placement.AddAsync(new RuleRecord("pair", kind, "db", IsHard: isHard)));
        return (vms[0], vms[1]);
    }

    private int _moves;

    private async Task<string?> BeginAsync(Vm vm, string target, bool ignoresRules = false)
    {
        var id = $"mv-{++_moves + 10}";
        var wished = StoreUnderTest.MakeOperation(OperationKind.Migrate, vm, id) with { IgnoresRules = ignoresRules };
        return await _store.Stores.Operations.BeginMoveAsync(wished, StoreUnderTest.MakeMove(vm, target, id), null) switch
        {
            Begun.Refused refused => refused.Reason.Code,
            Begun.Now => null,
            var other => other.GetType().Name,
        };
    }

    private static Operation Start(Vm vm) => StoreUnderTest.MakeOperation(OperationKind.Start, vm, $"op-{vm.Spec.Name}");
}
