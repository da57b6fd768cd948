using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>
/// A new QEMU process on the same host: other processors, or a newer QEMU. The memory is one shared file that both
/// processes map, so only device state crosses (x-ignore-shared), straight from QEMU to QEMU.
///
///   1 new QEMU started paused on the same memory; devices compared
///   2 "handing over" made durable, before the guest stops
///   3 old QEMU stops the guest, writes device state, says completed: it cannot restart by itself
///   4 new QEMU says completed: cont; the guest runs
///   5 owner record, then the old QEMU is ended
///
/// One agent holds both ends, so no token and no sync stand in the pause. After a crash of the agent between 3 and 5
/// the run state of the new QEMU tells what happened, or, where that is gone, a mark in memory that goes before
/// <c>cont</c> (<see cref="MoveAdoption"/>). The old one never runs again once the new one may have: they write the same
/// memory.
/// </summary>
internal sealed class RefreshMove(RefreshOrder order, Machine vm, MoveTools tools)
{
    /// <summary>Before the guest stops, and for the new QEMU's answer to <c>cont</c>: no guest waits for the first.</summary>
    private static readonly TimeSpan SwitchMax = TimeSpan.FromSeconds(10);
    /// <summary>R5: from the guest's stop to the order that ends its standing still, by this agent alone.</summary>
    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(2);

    private readonly QemuInstance old = vm.Current!;
    private readonly long begun = tools.Time.GetTimestamp();
    private readonly bool paused = vm.Record.Wanted == VmState.Paused;
    private MoveRecord record = new()
    {
        Move = order.Move.Value, Vm = order.Vm.Value, Role = MoveRole.Refresh, Mark = MoveMark.HandingOver,
        NewEpoch = order.Epoch.Next().Value, Peer = "", Paused = vm.Record.Wanted == VmState.Paused,
    };
    private bool contSent;

    public MoveBoard Board { get; } = new(new MoveStatus
    {
        Move = order.Move, Standing = MoveStanding.SourceSending, Epoch = order.Epoch,
    });

    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <summary>Steps 1 and 2. Throws with the guest untouched.</summary>
    public async Task BeginAsync(Func<QemuInstance, Task<IReadOnlyList<string>>> listDevices, CancellationToken cancel)
    {
        tools.Machines.Hold(vm, order.Move);
        QemuInstance? fresh = null;
        try
        {
            fresh = await tools.Machines.LaunchIncomingAsync(vm.Spec, order.Epoch.Next(), new IncomingWish(
                RamOf: old.Record.RamOf, QemuPath: order.Wish.QemuPath, Cpus: order.Wish.Cpus, Wanted: vm.Record.Wanted), cancel);
            if (Compatibility.CheckDevices(await listDevices(old), await listDevices(fresh)) is { } different)
                throw new RefusedException([different]);
            await fresh.Qmp.PrepareTargetAsync(fresh.IncomingSocket, sameHost: true);
            await old.Qmp.PrepareSourceAsync(order.Limits, sameHost: true);
            record = record with { Incarnation = fresh.Incarnation };
            tools.Journal.MarkNotTold(order.Move);
            await tools.Journal.WriteAsync(record);
        }
        catch (Exception)
        {
            // A disk that is full now must not leave the VM held for ever.
            try
            {
                if (fresh is not null) using (await vm.EnterAsync()) await tools.Machines.DropAsync(vm, fresh);
            }
            finally { await tools.Machines.ReleaseAsync(vm, order.Move); }
            throw;
        }
        Completion = SwitchAsync(fresh);
    }

    private async Task SwitchAsync(QemuInstance fresh)
    {
        await tools.FailPoints.HitAsync("refresh.before-listening");
        using var oldSignals = new QemuSignals(old.Qmp);
        using var freshSignals = new QemuSignals(fresh.Qmp);
        try
        {
            if (await oldSignals.IsOffAsync(old.Qmp))
            {
                await GoOnWithOldAsync(fresh, oldSignals, "the guest powered itself off");
                return;
            }
            var pauseOver = PauseOverAsync(oldSignals);
            await old.Qmp.MigrateAsync("unix:" + fresh.IncomingSocket, QmpMoves.Deadline, CancellationToken.None);
            var sent = await EndOfAsync(oldSignals, old.Qmp, oldSignals.Shutdown, pauseOver);
            if (sent != "completed")
            {
                await GoOnWithOldAsync(fresh, oldSignals, sent);
                return;
            }
            await tools.FailPoints.HitAsync("refresh.before-cont");
            var loaded = await EndOfAsync(freshSignals, fresh.Qmp, oldSignals.Shutdown, pauseOver);
            if (loaded != "completed")
            {
                await GoOnWithOldAsync(fresh, oldSignals, $"the new QEMU could not load the guest: {loaded}");
                return;
            }
            tools.Journal.UnmarkNotTold(order.Move); // In memory, no disk is waited for.
            contSent = true;
            if (!paused)
            {
                await fresh.Qmp.ContAsync(QmpMoves.Deadline, CancellationToken.None);
                await freshSignals.Resumed.Joinable().WaitAsync(SwitchMax, tools.Time);
            }
            Board.Stand(MoveStanding.SourceSwitching); // Told after the pause: what hears of it wants a processor, too.
            await SettleAsync(fresh, await ReceiptAsync(oldSignals, freshSignals));
        }
        catch (Exception e) when (e is QmpException or IOException or TimeoutException)
        {
            if (!contSent) await GoOnWithOldAsync(fresh, oldSignals, e.Message);
            else await AskFreshAsync(fresh, oldSignals, e.Message);
        }
    }

    /// <summary>It was told to run and did not answer. Its own word, or the proof that it is gone, ends the doubt.</summary>
    private async Task AskFreshAsync(QemuInstance fresh, QemuSignals oldSignals, string trouble)
    {
        Board.Stand(MoveStanding.SourceDoubt, $"the new QEMU was told to run and did not answer: {trouble}");
        switch (await new MoveAdoption(tools).ArrivesAsync(vm, record))
        {
            case Arrival.Up:
                await SettleAsync(fresh, await ReceiptAsync(oldSignals, null));
                break;
            case Arrival.NeverRan:
                await GoOnWithOldAsync(fresh, oldSignals, trouble);
                break;
            case Arrival.Gone:
                await LoseAsync(fresh, $"the new QEMU died after it was told to run: {trouble}");
                break;
            case Arrival.Silent: // It lives: both are left alone, and the doubt stays.
                break;
        }
    }

    /// <summary>The new one may have run before it died, and both wrote the same memory: the old one must not go on.</summary>
    private async Task LoseAsync(QemuInstance fresh, string reason)
    {
        await tools.StubbornlyAsync(async () =>
        {
            using (await vm.EnterAsync())
            {
                await tools.Machines.DropAsync(vm, fresh);
                await tools.Machines.EndAsCrashedAsync(vm, old, reason);
            }
        });
        await tools.StubbornlyAsync(() => tools.Journal.WriteAsync(record with { Mark = MoveMark.SourceLost, Reason = reason }));
        tools.Journal.UnmarkNotTold(order.Move);
        Board.Stand(MoveStanding.SourceLost, reason);
        await tools.Machines.ReleaseAsync(vm, order.Move);
    }

    /// <summary>Completes when a running guest has stood still for as long as it may; never for one that a person paused.</summary>
    private async Task PauseOverAsync(QemuSignals oldSignals)
    {
        await oldSignals.Stopped;
        await Task.Delay(PauseMax, tools.Time);
    }

    private async Task<string> EndOfAsync(QemuSignals signals, QmpClient qmp, Task shutdown, Task pauseOver)
    {
        var ended = await Joining.AnyAsync(
            signals.MigrationEnded, qmp.Closed, shutdown, pauseOver, Task.Delay(SwitchMax, tools.Time));
        return ended == signals.MigrationEnded ? await signals.MigrationEnded
            : ended == shutdown ? "the guest powered itself off"
            : ended == pauseOver ? $"the guest stood still for {PauseMax.TotalSeconds:0} s"
            : ended == qmp.Closed ? $"QEMU ended: {await qmp.Closed}" : $"it took more than {SwitchMax.TotalSeconds:0} s";
    }

    private async Task SettleAsync(QemuInstance fresh, Receipt receipt)
    {
        await tools.StubbornlyAsync(async () =>
        {
            using (await vm.EnterAsync())
            {
                await tools.Machines.AdoptAsOwnerAsync(vm, fresh, order.Epoch.Next(), vm.Record.Wanted);
                await tools.Journal.WriteAsync(record with { Mark = MoveMark.Released, Receipt = receipt });
                Board.Set(s => s with { Standing = MoveStanding.SourceReleased, Receipt = receipt });
                await tools.Machines.DropAsync(vm, old);
            }
        });
        tools.Journal.UnmarkNotTold(order.Move);
        await tools.Machines.ReleaseAsync(vm, order.Move);
        if (!paused) await fresh.Qmp.TryAnnounceSelfAsync();
    }

    /// <summary>The new QEMU never got <c>cont</c>. It is ended first: both map the same memory.</summary>
    private async Task GoOnWithOldAsync(QemuInstance fresh, QemuSignals oldSignals, string reason)
    {
        // After a crash, a new QEMU that is gone must not look as if it might have run: memory says so, or the disk must first.
        if (!tools.Journal.WasSurelyNotTold(order.Move))
            await tools.StubbornlyAsync(() => tools.Journal.WriteAsync(record with { Mark = MoveMark.Withdrawn, Reason = reason }));
        await tools.StubbornlyAsync(fresh.KillAsync);
        var (mark, standing) = (MoveMark.Kept, MoveStanding.SourceKept);
        if (oldSignals.Shutdown.IsCompleted) (mark, standing) = (MoveMark.Stopped, MoveStanding.SourceStopped);
        else if (old.Qmp.Closed.IsCompleted) (mark, standing) = (MoveMark.SourceLost, MoveStanding.SourceLost);
        await old.Qmp.TryMigrateCancelAsync();
        if (mark == MoveMark.Kept && !paused)
        {
            try { await old.Qmp.EnsureRunningAsync(tools.Time); }
            catch (QmpException) when (old.Qmp.Closed.IsCompleted) // It died as it was told to go on.
            {
                (mark, standing) = (MoveMark.SourceLost, MoveStanding.SourceLost);
            }
            catch (QmpException trouble) { reason = $"{reason}; and the guest does not go on: {trouble.Message}"; }
        }
        // The guest goes on: from here the disk may take its time.
        await tools.StubbornlyAsync(async () =>
        {
            using (await vm.EnterAsync()) await tools.Machines.DropAsync(vm, fresh);
        });
        await tools.StubbornlyAsync(() => tools.Journal.WriteAsync(record with { Mark = mark, Reason = reason }));
        tools.Journal.UnmarkNotTold(order.Move);
        Board.Stand(standing, reason);
        await tools.Machines.ReleaseAsync(vm, order.Move);
    }

    /// <summary>Too short to be cancelled half-way: the answer is how it ended.</summary>
    public Task CancelAsync() => Completion;

    /// <param name="freshSignals">Null where RESUME was not heard: the pause is not known then.</param>
    private async Task<Receipt> ReceiptAsync(QemuSignals oldSignals, QemuSignals? freshSignals)
    {
        double? pauseMs = paused || freshSignals is null ? null : (await freshSignals.Resumed - await oldSignals.Stopped) / 1000.0;
        var info = await old.Qmp.TryQueryMigrateAsync();
        return new Receipt
        {
            TotalMs = tools.Time.GetElapsedTime(begun).TotalMilliseconds,
            PauseMs = pauseMs,
            WireBytes = info?.Ram?.TransferredBytes ?? 0,
            Passes = (int)(info?.Ram?.DirtySyncCount ?? 0),
            NormalPages = info?.Ram?.NormalPages ?? 0,
            ZeroPages = info?.Ram?.ZeroPages ?? 0,
            Accelerator = vm.Spec.Accelerator,
            Transport = "same host, memory stays in place",
        };
    }
}
