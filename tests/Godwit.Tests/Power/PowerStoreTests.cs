using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Power;
using Godwit.Core.Vms;
using Godwit.Server.Draining;
using Godwit.Server.Operations;
using Godwit.Server.Store;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Power;

/// <summary>A host is closed in one transaction that finds nothing on it; from there nothing is begun on it.</summary>
public sealed class PowerStoreTests : IDisposable
{
    private static readonly HostId h1 = new("h1");
    private readonly StoreUnderTest store = new();

    public void Dispose() => store.Dispose();

    [Fact]
    public async Task Only_a_host_that_was_drained_for_it_and_holds_nothing_is_closed()
    {
        await store.AddHostAsync("h1");
        Assert.Equal("not-emptying", (await store.Stores.Power.CloseAsync(h1))?.Code);
        await EmptyAsync(DrainEnd.Blocked);
        await RefusedAsync("its drain did not end with nothing left");
        await EmptyAsync(DrainEnd.Drained);
        await store.Stores.Hosts.SetCordonedAsync(h1, false);
        await RefusedAsync("it takes VMs again");
        await EmptyAsync(DrainEnd.Drained);
        await store.Stores.Hosts.SetReachableAsync(h1, false, "x");
        await RefusedAsync("unreachable");
        await store.Stores.Hosts.SetReachableAsync(h1, true, "");
        Assert.Null(await store.Stores.Power.CloseAsync(h1));
        Assert.Equal(HostState.Standby, (await store.Stores.Hosts.FindAsync(h1))!.State);
    }

    [Theory]
    [InlineData(VmState.Running)]
    [InlineData(VmState.Stopped)]
    [InlineData(VmState.Saved)]
    [InlineData(VmState.Unknown)]
    public async Task A_vm_in_any_state_keeps_it_open(VmState state)
    {
        await store.AddVmAsync("web", state: state);
        await EmptyAsync(DrainEnd.Drained);
        await RefusedAsync("web is on it");
    }

    [Fact]
    public async Task A_move_an_operation_or_a_recovery_that_concerns_it_keeps_it_open()
    {
        var web = await store.AddVmAsync("web", host: "h2");
        await store.AddHostAsync("h1");
        await store.Stores.Hosts.SaveAsync(h1, "h1:7443", FakeCluster.Facts());
        await store.BeginMoveAsync(web, "h1");
        await EmptyAsync(DrainEnd.Drained);
        await RefusedAsync("a move of web has it as a side");

        var db = await store.AddVmAsync("db", host: "h2", state: VmState.Saved, number: 2);
        await store.AddHostAsync("h3");
        await EmptyAsync(DrainEnd.Drained, "h3");
        var resume = StoreUnderTest.MakeOperation(OperationKind.Resume, db, "op-r") with { Host = new HostId("h3") };
        Assert.IsType<Begun.Now>(await store.Stores.Operations.BeginAsync(resume, null));
        await RefusedAsync("resume of db goes on", "h3");

        await store.AddHostAsync("h4");
        await EmptyAsync(DrainEnd.Drained, "h4");
        await store.Stores.Fences.BeginAsync(Recovery("h4"), null);
        await RefusedAsync("being recovered", "h4");
    }

    [Fact]
    public async Task On_a_closed_host_nothing_is_begun_and_it_is_neither_fenced_nor_drained()
    {
        var web = await store.AddVmAsync("web", host: "h2", state: VmState.Saved);
        await store.AddHostAsync("h1");
        await EmptyAsync(DrainEnd.Drained);
        Assert.Null(await store.Stores.Power.CloseAsync(h1));

        var vm = StoreUnderTest.MakeVm("new", "h1", number: 5);
        Refused(await store.Stores.Operations.BeginCreateAsync(StoreUnderTest.MakeOperation(OperationKind.Create, vm, "op-c"), vm, null));
        Refused(await store.Stores.Operations.BeginAsync(
            StoreUnderTest.MakeOperation(OperationKind.Resume, web, "op-r") with { Host = h1 }, null));
        Refused(await store.Stores.Operations.BeginMoveAsync(
            StoreUnderTest.MakeOperation(OperationKind.Migrate, web, "mv-1"), StoreUnderTest.MakeMove(web, "h1", "mv-1"), null));
        var start = StoreUnderTest.MakeOperation(OperationKind.Start, web, "op-s");
        Assert.Equal("host-standby", (await store.Stores.Operations.ReserveAsync(start, h1, 1 << 20))?.Code);
        Assert.Equal("host-standby", (await store.Stores.Fences.BeginAsync(Recovery("h1"), null)).Refusal?.Code);
        Assert.Equal("host-standby", (await store.Stores.Drains.BeginAsync(Drain("h1", DrainKind.Back))).Refusal?.Code);
        Assert.False((await store.Stores.Hosts.FindAsync(h1))!.Answers);

        store.OpenAgain();
        Assert.Equal(HostState.Standby, (await store.Stores.Hosts.FindAsync(h1))!.State);
        Assert.True(await store.Stores.Power.OpenAsync(h1, [PowerPhase.GoingOff], "it did not", new Happening("power-failed", "x")));
        var host = (await store.Stores.Hosts.FindAsync(h1))!;
        Assert.Equal((HostState.Ready, "it did not"), (host.State, host.Power.Problem));
        // While it was off, others were proved without it as a witness.
        Assert.All(await store.Stores.Hosts.ListAsync(), other => Assert.True(other.PoolsUnproved));

        static void Refused(Begun? begun) => Assert.Equal("host-standby", Assert.IsType<Begun.Refused>(begun).Reason.Code);
    }

    [Fact]
    public async Task Who_took_no_vms_before_takes_none_when_it_is_back()
    {
        await store.AddHostAsync("h1");
        await store.Stores.Hosts.SetCordonedAsync(h1, true);
        await EmptyAsync(DrainEnd.Drained);
        await store.Stores.Power.CloseAsync(h1);
        await store.Stores.Power.OpenAsync(h1, [PowerPhase.GoingOff], null, new Happening("host-woken", "x"));
        Assert.Equal(HostState.Cordoned, (await store.Stores.Hosts.FindAsync(h1))!.State);
    }

    private async Task RefusedAsync(string why, string host = "h1")
    {
        var refusal = await store.Stores.Power.CloseAsync(new HostId(host));
        Assert.Equal("host-in-use", refusal?.Code);
        Assert.Contains(why, refusal!.Cause, StringComparison.Ordinal);
        Assert.NotEqual(HostState.Standby, (await store.Stores.Hosts.FindAsync(new HostId(host)))!.State);
    }

    /// <summary>As the story leaves it once its drain has ended so.</summary>
    private async Task EmptyAsync(DrainEnd end, string host = "h1")
    {
        var id = new HostId(host);
        var (drain, _) = await store.Stores.Drains.BeginAsync(Drain(host, DrainKind.Away));
        await store.Stores.Drains.EndAsync(drain!, end, "x");
        await store.Stores.Power.ChangeHostAsync(id, [], p => p.Enter(PowerPhase.Emptying, FakeCluster.Now, "anna", "x") with
        {
            Drain = drain!.Id, WasCordoned = drain.WasCordoned,
        });
    }

    private int drains;

    private Drain Drain(string host, DrainKind kind) => new()
    {
        Id = $"dr-{++drains}", Host = new HostId(host), Kind = kind, Limits = new DrainLimits(), CreatedAt = FakeCluster.Now,
    };

    private static HostRecovery Recovery(string host) => new()
    {
        Id = $"rc-{host}", Host = new HostId(host), Scope = RecoveryScope.AllVms, By = "anna", CreatedAt = FakeCluster.Now,
    };
}
