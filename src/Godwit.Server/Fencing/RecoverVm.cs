using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Migrations;
using Godwit.Server.Operations;
using Godwit.Server.Placing;
using Godwit.Server.Store;
using Godwit.Server.Vms;

namespace Godwit.Server.Fencing;

/// <summary>
/// One VM of a host that is proved to be off. What was being done with it ends first, by what is proved; then this holds the
/// VM as every operation does. The new home is durable before the order to start goes there, and the order is repeated under
/// the same epoch until its answer is known: a home is left for the next one only where it refused, and durably gave the VM up.
/// </summary>
internal sealed class RecoverVm(
    Stores stores, PlacementDesk desk, AgentDirectory agents, MigrationRunner moves, VmNumbers numbers, TimeProvider time)
{
    private const int StartTriesMax = 6, HomesMax = 8, DoubtRepairsMax = 5;
    /// <summary>Every other operation ends within the deadlines of its calls; a move within the silence it may meet.</summary>
    private static readonly TimeSpan OthersMax = TimeSpan.FromMinutes(10), LookEvery = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan StartAgainAfter = TimeSpan.FromSeconds(2);

    /// <summary>Tries to get a host that has room for it, and waits for that; false: there is none to be had.</summary>
    public Func<PlacementVm, IReadOnlyList<Refusal>, CancellationToken, Task<bool>>? MakeRoom { private get; init; }

    /// <summary>Ends within a bounded time; what could not be done is told in the answer.</summary>
    public async Task<RecoveredVm> RunAsync(HostRecovery recovery, RecoveredVm planned, CancellationToken stopping)
    {
        var repairs = 0;
        for (var since = time.GetTimestamp(); ; await Task.Delay(LookEvery, time, stopping))
        {
            if (time.GetElapsedTime(since) > OthersMax) return Failed(planned, "is busy with something else for too long");
            if (await stores.Vms.FindAsync(planned.Vm) is not { } vm) return Done(planned, "was deleted");
            var holder = await stores.Operations.HolderAsync(planned.Vm);
            if (holder?.Recovery == recovery.Id) return await BringBackAsync(recovery, planned, holder, vm, stopping);
            if (holder is not null) continue; // A move ends soon: both its sides are answered for now.

            if (vm.State == VmState.Unknown && await DoubtAsync(recovery.Host, vm) is { } doubt)
            {
                if (++repairs > DoubtRepairsMax) return Failed(planned, $"is in doubt, and the other host of {doubt.Id} does not answer");
                await SettleAsync(doubt.Id, recovery.Host);
                continue;
            }
            if (IsSettled(recovery, planned, vm) is { } settled) return settled;
            var wished = new Operation
            {
                Id = numbers.OperationId(), Kind = OperationKind.Recover, Vm = planned.Vm, VmName = planned.Name,
                Recovery = recovery.Id, CreatedAt = time.GetUtcNow(),
            };
            switch (await stores.Operations.BeginAsync(wished, null))
            {
                case Begun.Now now:
                    return await BringBackAsync(
                        recovery, planned, now.Operation, await stores.Moves.ReadVmAsync(planned.Vm), stopping);
                case Begun.Refused refused: // Frozen: nobody knows whose it is.
                    return Failed(planned, $"was not brought back: {refused.Reason.Cause}");
            }
        }
    }

    /// <summary>It is somewhere else already: its move was done, or its host of now answers for it.</summary>
    private static RecoveredVm? IsSettled(HostRecovery recovery, RecoveredVm planned, Vm vm) =>
        vm.Owner == recovery.Host || (vm.State == VmState.Crashed && planned.Restart) ? null
        : vm.State == VmState.Unknown ? Failed(planned, $"is on {vm.Owner} by the record, which does not know how it is")
        : Done(planned, $"is on {vm.Owner}, {Fields.Word(vm.State)}");

    private async Task<Migration?> DoubtAsync(HostId host, Vm vm) =>
        (await stores.Moves.InDoubtAsync(host)).FirstOrDefault(move => move.Vm == vm.Spec.Id);

    private async Task SettleAsync(MoveId doubt, HostId fenced)
    {
        try { await moves.RepairAsync(doubt, fenced); }
        catch (RefusedException) { } // It is being repaired already, or was settled: looked at again.
    }

    private async Task<RecoveredVm> BringBackAsync(
        HostRecovery recovery, RecoveredVm planned, Operation operation, Vm vm, CancellationToken stopping)
    {
        var refusedBy = new Dictionary<HostId, Refusal>();
        // Given a home before the server ended: the same one is asked again, under the same epoch.
        if (!operation.EpochTaken)
        {
            var (settled, moved) = await GiveHomeAsync(recovery, planned, operation, vm, refusedBy, stopping);
            if (moved is null) return settled!;
            vm = moved;
        }
        while (planned.Restart)
        {
            try
            {
                var report = await StartAsync(vm, stopping);
                await stores.Operations.EndAsync(operation, Said("vm-started", vm, $"runs on {vm.Owner} again"), work =>
                    VmStore.SetState(work, vm.Spec.Id, vm.Epoch, report.State, null));
                return Done(planned, $"was started on {vm.Owner}");
            }
            catch (AgentUnreachableException silent)
            {
                // It may run there, so nobody else may start it, unless that host is fenced by now. The record stays "running",
                // as of the order: the host's next report tells.
                if (await stores.Fences.InForceAsync(vm.Owner) is null)
                    return await GiveUpAsync(planned, operation, vm, null, silent.Message);
            }
            catch (RefusedException refused) { refusedBy[vm.Owner] = refused.Reasons[0]; }
            var (settled, moved) = await GiveHomeAsync(recovery, planned, operation, vm, refusedBy, stopping);
            if (moved is null) return settled!;
            vm = moved;
        }
        await stores.Operations.EndAsync(operation, Said("vm-rehomed", vm, $"belongs to {vm.Owner} now, {Fields.Word(vm.State)}"));
        return Done(planned, $"belongs to {vm.Owner} now, {Fields.Word(vm.State)}");
    }

    private async Task<(RecoveredVm? Settled, Vm? Moved)> GiveHomeAsync(
        HostRecovery recovery, RecoveredVm planned, Operation operation, Vm vm, Dictionary<HostId, Refusal> refusedBy,
        CancellationToken stopping)
    {
        var (refusedHere, askedForRoom) = (refusedBy.ContainsKey(vm.Owner), false);
        Epoch? left = null;
        while (true)
        {
            var (home, why) = refusedBy.Count < HomesMax ? await ChooseAsync(vm, planned.Restart, refusedBy)
                : (null, "too many hosts refused it");
            if (home is null && planned.Restart && !askedForRoom && await MakeRoomAsync(vm, stopping))
            {
                askedForRoom = true;
                continue;
            }
            if (home is not { } host)
                return (await GiveUpAsync(planned, operation, vm, refusedHere ? VmState.Crashed : null, why, left), null);
            if (await WhyNotAsync(vm, host, stopping) is { } against)
            {
                refusedBy[host] = against;
                continue;
            }
            if (refusedHere && left is null)
            {
                if (!await GivesUpAsync(vm, stopping))
                    return (await GiveUpAsync(planned, operation, vm, null, refusedBy[vm.Owner].Cause), null);
                left = vm.Epoch.Next(); // The epoch it gave the VM up for is the one its next home gets.
            }
            var state = planned.Restart ? VmState.Running : vm.State is VmState.Running or VmState.Paused or VmState.Unknown
                ? VmState.Crashed : vm.State;
            var bytes = planned.Restart ? vm.Spec.MemoryBytes + Host.QemuOverheadBytes : 0;
            var (moved, full) = await stores.Fences.RehomeAsync(operation, recovery.Host, host, state, bytes, left);
            if (moved is not null) return (null, moved);
            refusedBy[host] = full!;
        }
    }

    private async Task<bool> MakeRoomAsync(Vm vm, CancellationToken stopping)
    {
        if (MakeRoom is null) return false;
        var scene = await desk.LookAsync();
        var pick = HostPick.Best(scene.View, scene.Of(vm), host => host != vm.Owner, Overridden.Pin);
        return pick.Host is null && await MakeRoom(scene.Of(vm) with { IsPinned = false }, pick.Against, stopping);
    }

    /// <summary>
    /// Where it is, if that host answers and has not refused it; else the best host. What does not run takes no room and
    /// breaks no rule.
    /// </summary>
    private async Task<(HostId? Home, string Why)> ChooseAsync(Vm vm, bool restart, Dictionary<HostId, Refusal> refusedBy)
    {
        var scene = await desk.LookAsync();
        if (!refusedBy.ContainsKey(vm.Owner)
            && scene.Rooms.FirstOrDefault(room => room.Host.Id == vm.Owner) is { Host.State: not HostState.Fenced } here)
            return here.Host.State == HostState.Unreachable ? (null, $"its host {vm.Owner} does not answer, and is not fenced")
                : (here.Host.Id, "");
        var wanted = restart ? scene.Of(vm) : scene.Of(vm) with { Demand = default };
        // Its pin holds it to a host that is off.
        var pick = HostPick.Best(scene.View, wanted, host => !refusedBy.ContainsKey(host),
            restart ? Overridden.Pin : Overridden.Pin | Overridden.Rules);
        return (pick.Host, string.Join("; ", refusedBy.Values.Concat(pick.Against).Select(reason => reason.Cause)));
    }

    /// <summary>What only the host itself knows: disks, CPU, bridges.</summary>
    private async Task<Refusal?> WhyNotAsync(Vm vm, HostId host, CancellationToken stopping)
    {
        if (host == vm.Owner) return null; // The order to start says the same.
        try
        {
            var target = await agents.Of(host).CheckTargetAsync(vm.Spec, stopping);
            var reasons = Compatibility.CheckCold(vm with { State = VmState.Stopped }, VmNeeding.AsColdMove(vm, host), target);
            return reasons.Count > 0 ? reasons[0] : null;
        }
        catch (RefusedException refused) { return refused.Reasons[0]; }
        catch (AgentUnreachableException silent) { return new Refusal("host-unreachable", silent.Message, "wait until it answers"); }
    }

    private async Task<VmReport> StartAsync(Vm vm, CancellationToken stopping)
    {
        for (var attempt = 1; ; attempt++)
        {
            try { return await agents.Of(vm.Owner).StartVmAsync(new StartVm(vm.Spec, vm.Epoch), stopping); }
            catch (AgentUnreachableException) when (attempt < StartTriesMax) { } // The order may have arrived: it is repeated.
            await Task.Delay(StartAgainAfter * (1 << (attempt - 1)), time, stopping);
        }
    }

    /// <summary>The host that refused to start it has it no longer, durably: an order that comes late changes nothing there.</summary>
    private async Task<bool> GivesUpAsync(Vm vm, CancellationToken stopping)
    {
        try
        {
            await agents.Of(vm.Owner).LeaveVmAsync(vm.Spec, vm.Epoch.Next(), stopping);
            return true;
        }
        catch (Exception not) when (not is AgentUnreachableException or RefusedException) { return false; }
    }

    /// <param name="state">What the record says from now on; null: what it says already.</param>
    /// <param name="left">The epoch its owner gave it up for: a later start there must be above it.</param>
    private async Task<RecoveredVm> GiveUpAsync(
        RecoveredVm planned, Operation operation, Vm vm, VmState? state, string why, Epoch? left = null)
    {
        await stores.Operations.EndAsync(operation, Said("operation-failed", vm, $"could not be brought back: {why}"), state is { } known
            ? work => VmStore.RecordOwner(work, vm.Spec.Id, vm.Owner, left ?? vm.Epoch, known) : null);
        return Failed(planned, $"was not brought back: {why}");
    }

    private static Happening Said(string kind, Vm vm, string text) => new(kind, $"{vm.Spec.Name} {text}", vm.Spec.Name, vm.Owner.Value);
    private static RecoveredVm Done(RecoveredVm planned, string outcome) => planned with { Outcome = outcome };
    private static RecoveredVm Failed(RecoveredVm planned, string outcome) => planned with { Outcome = outcome, Failed = true };
}
