using System.Globalization;
using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>
/// The source's half of a move between hosts, live or quick.
///
///   1 link to the target opened, "handing over" made durable      (the guest runs; nothing can leave before this)
///   2 quick: the guest is stopped here; live: it runs on
///   3 QEMU ──unix──► this agent ──TLS──► target agent ──unix──► QEMU, pass after pass
///   4 QEMU stops the guest by itself when the rest fits the aim   (STOP: the pause begins)
///   5 QEMU says completed: all bytes are out and it can no longer restart by itself
///   6 TOKEN(epoch+1, length, digest) follows the last byte        (from here on this copy never runs without proof)
///   7 RUNNING comes back: this QEMU is ended and proved gone; or ABORTED: the guest goes on here
///
/// Lazily the guest is stopped at 2, its stream is its devices only, and its memory follows at 7, by a link of its own (MemoryGiving),
/// while it runs at the target: this QEMU is ended once the target has all of it.
///
/// A rehearsal is all of this but step 6: at 5 the guest goes on here, at once, and the target says whether it had it loaded.
///
/// If QEMU says failed or cancelled instead of completed, it has restarted the guest or will on <c>cont</c>: legal,
/// because no token left. If the link dies after 6, the standing is doubt, and only the target's word ends it.
/// (QEMU: docs/devel/migration; return-path off, see docs/adr/0004.)
/// </summary>
internal sealed class OutgoingMove(OutgoingOrder order, Machine vm, MoveTools tools)
{
    /// <summary>Bytes must flow; a link that is silent this long is given up (reliability 2.5).</summary>
    private static readonly TimeSpan StallMax = TimeSpan.FromSeconds(15);
    /// <summary>With nothing on the way QEMU itself is silent: it looks through a large guest's pages, or wants a processor.</summary>
    private static readonly TimeSpan NothingSentMax = TimeSpan.FromSeconds(60);
    /// <summary>Word to the target that no token comes; the guest does not wait for it longer than this.</summary>
    private static readonly TimeSpan AbortMax = TimeSpan.FromSeconds(1);
    /// <summary>For the target's word on a rehearsal: longer than it may take to load. No guest waits.</summary>
    private static readonly TimeSpan RehearsedMax = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan GivingMax = TimeSpan.FromSeconds(10);
    /// <summary>R5: a live guest stopped this long without "completed" is set going again, whatever was allowed.</summary>
    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(2);

    private readonly TimeProvider time = tools.Time;
    /// <summary>What memory is steered by, so that with the hand-over it comes to no more than was asked for.</summary>
    private readonly MoveLimits limits = tools.HandOvers.Within(order.Limits);
    private readonly Lock gate = new();
    private readonly long begun = tools.Time.GetTimestamp();
    private readonly QemuInstance qemu = vm.Current!;
    private readonly bool wasPaused = vm.Record.Wanted == VmState.Paused;
    private long sending, sent;
    private MemorySteering? memory;
    private bool tokenLeft;
    private string? stopReason;

    public MoveBoard Board => Ending.Board;

    public SourceEnding Ending { get; } = new(
        new MoveRecord
        {
            Move = order.Move.Value, Vm = order.Vm.Value, Role = MoveRole.Source, Mark = MoveMark.HandingOver,
            NewEpoch = order.Epoch.Next().Value, Peer = order.Target.Value, Paused = vm.Record.Wanted == VmState.Paused,
            Incarnation = vm.Current!.Incarnation, Rehearses = order.Rehearses, Lazily = order.IsLazy,
            Ticket = order.IsLazy ? order.Ready.Ticket : null, Endpoint = order.IsLazy ? order.Ready.Endpoint : null,
            BandwidthBytesPerSecond = order.Limits.BandwidthBytesPerSecond,
        },
        vm, vm.Current, tools,
        new MoveBoard(new MoveStatus { Move = order.Move, Standing = MoveStanding.SourceSending, Epoch = order.Epoch }));

    /// <summary>Steps 1 to 3; returns when memory flows. Throws, with the guest untouched, if it cannot begin.</summary>
    public async Task BeginAsync(CancellationToken cancel)
    {
        tools.Machines.Hold(vm, order.Move);
        LinkSender? link = null;
        try
        {
            var connection = await tools.Network.ConnectPeerAsync(order.Ready.Endpoint, order.Target, cancel);
            link = await LinkSender.OpenAsync(connection, order.Move, order.Ready.Ticket, time, cancel);
            if (order.IsLazy) await BeginGivingAsync();
            if (tools.Rules.Keeps(SafetyRule.HandingOverBeforeMemory)) await WriteDownAsync();
            Completion = SendAsync(link, connection.Security);
        }
        catch (Exception)
        {
            if (link is not null) await link.DisposeAsync(); // The target learns that no token will come.
            await Ending.StopGivingAsync();
            await tools.Machines.ReleaseAsync(vm, order.Move);
            throw;
        }
    }

    /// <summary>The second link stands before the guest stops, too: the target may ask by it while it loads.</summary>
    private async Task BeginGivingAsync()
    {
        var linked = Ending.BeginGiving(qemu.RamPath).Linked;
        if (await Joining.AnyAsync(linked, Task.Delay(GivingMax, time)) != linked)
            throw new IOException($"no link for the guest's memory to {order.Target} within {GivingMax.TotalSeconds:0} s");
    }

    /// <summary>Throws <see cref="IOException"/>; this move has then ended before it began, and the board says so.</summary>
    private async Task WriteDownAsync()
    {
        try { await Ending.JournalAsync(); }
        catch (IOException notWritten)
        {
            Board.Stand(MoveStanding.SourceKept, $"it could not be written down: {notWritten.Message}");
            throw;
        }
    }

    /// <summary>Ends when this side rests: settled, or in doubt. Never faults.</summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <summary>Stops the move if no token has left; the board then says what became of it.</summary>
    public async Task CancelAsync(string reason)
    {
        lock (gate)
        {
            if (tokenLeft) return; // Too late: the target decides. The board says how it ended.
            stopReason ??= reason;
        }
        await qemu.Qmp.TryMigrateCancelAsync();
        await Completion;
    }

    private async Task SendAsync(LinkSender link, string security)
    {
        await tools.FailPoints.HitAsync("outgoing.before-listening");
        using var signals = new QemuSignals(qemu.Qmp);
        try
        {
            var end = await StreamAsync(link, signals);
            if (end is StreamEnd.Complete whole && order.Rehearses) await RehearseAsync(link, signals, whole.Summary, security);
            else if (end is StreamEnd.Complete complete) await HandOverAsync(link, signals, complete, security);
            else await KeepAsync(link, signals, ((StreamEnd.Broken)end).Reason);
        }
        catch (Exception e) when (e is QmpException or IOException or OperationCanceledException or TimeoutException)
        {
            if (Volatile.Read(ref tokenLeft)) Board.Stand(MoveStanding.SourceDoubt, e.Message);
            else await KeepAsync(link, signals, e.Message);
        }
        finally
        {
            await link.DisposeAsync();
        }
    }

    private async Task<StreamEnd> StreamAsync(LinkSender link, QemuSignals signals)
    {
        var qmp = qemu.Qmp;
        if (await signals.IsOffAsync(qmp)) return new StreamEnd.Broken("the guest powered itself off");
        await qmp.PrepareSourceAsync(limits, sameHost: order.IsLazy); // Lazily only its devices are in the stream.
        await tools.FailPoints.HitAsync("outgoing.before-memory");
        sending = time.GetTimestamp();
        var path = qemu.OutgoingSocket;
        await using var listener = await tools.Network.ListenUnixAsync(path, vm.Spec.Uid, CancellationToken.None);
        // No sooner: what is prepared while it stands still is pause.
        if (order.StopsFirst && !wasPaused) await qmp.StopAsync(QmpMoves.Deadline, CancellationToken.None);
        await qmp.MigrateAsync("unix:" + path, QmpMoves.Deadline, CancellationToken.None);
        if (Volatile.Read(ref stopReason) is not null) await qmp.TryMigrateCancelAsync(); // Asked for before there was anything to cancel.
        await using var fromQemu = await listener.AcceptAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30), time);
        var pump = link.PumpAsync(fromQemu, new PacingLimits(order.Limits.BandwidthBytesPerSecond), CancellationToken.None);

        using var watching = new CancellationTokenSource();
        if (order.Mode == MoveMode.Live && !wasPaused) _ = LiftCeilingAsync(link, signals);
        var isWatched = order.Mode == MoveMode.Live && !wasPaused && Lull.MayHelp(order.Limits);
        var bursts = new BurstWatch(tools.Machines.Disk, qemu.RamPath, isWatched ? tools.PagesThatChange(vm.Id) : [], link, time);
        _ = bursts.RunAsync(signals.Stopped, watching.Token);
        memory = new MemorySteering(qmp, link, bursts, order with { Limits = limits }, Board, time);
        var steering = memory.RunAsync(signals, watching.Token);
        var guards = GuardAsync(link, signals, watching.Token);
        var ended = await Joining.AnyAsync(signals.MigrationEnded, qmp.Closed, signals.Shutdown, PumpFault(pump), memory.GivenUp,
            signals.StorageFailed);
        if (ended == signals.MigrationEnded && await signals.MigrationEnded == "completed")
        {
            sent = time.GetTimestamp();
            watching.Cancel();
            // QEMU has flushed before it says so, and closes only after 3 to 12 ms of tidying up: all of that is pause.
            if (fromQemu is IBlockingSource source) source.EndReading();
            // No token will leave: nothing stands against it.
            if (order.Rehearses && !wasPaused && !signals.Shutdown.IsCompleted) await qmp.EnsureRunningAsync(time);
            // The guest stands still: the few milliseconds of stream that wait here may not take longer than any pause.
            return new StreamEnd.Complete(await pump.WaitAsync(order.Mode == MoveMode.Live ? PauseMax : StallMax, time));
        }
        watching.Cancel();
        await Task.WhenAll(steering, guards);
        if (ended == memory.GivenUp && await memory.GivenUp is { } gaveUp)
            return new StreamEnd.Broken($"{PromiseScore.WouldHavePaused}{gaveUp.WouldPauseMs:0} ms (limit {order.Limits.MaxPauseMs} ms): "
                + gaveUp.Why + Try("--may-quick, --mode quick, a higher --max-pause, or a calmer hour"));
        return new StreamEnd.Broken(await WhyAsync(ended, signals, pump));
    }

    /// <summary>A ceiling protects the network while the guest runs; once it stands still it would only lengthen the pause.</summary>
    private static async Task LiftCeilingAsync(LinkSender link, QemuSignals signals)
    {
        await signals.Stopped;
        link.LiftCeiling();
    }

    /// <summary>Step 6 and 7. Nothing here waits for a disk or a third machine before the token is out.</summary>
    private async Task HandOverAsync(
        LinkSender link, QemuSignals signals, StreamEnd.Complete complete, string security)
    {
        var stopMicros = wasPaused ? 0 : await signals.Stopped;
        await tools.FailPoints.HitAsync("outgoing.before-token");
        bool stopped;
        lock (gate)
        {
            if (order.IsLazy && Ending.IsGivenUp) stopReason ??= $"{order.Target} no longer waits for its memory";
            stopped = stopReason is not null;
            tokenLeft = !stopped && tools.Rules.Keeps(SafetyRule.TokenIsFinal); // One place: cancel and token exclude each other.
        }
        if (stopped)
        {
            await KeepAsync(link, signals, stopReason!);
            return;
        }
        if (order.IsLazy) Ending.BeginGiving(qemu.RamPath).Allow();
        var token = new Token(order.Epoch.Next(), complete.Summary.Length, complete.Summary.Digest, stopMicros);
        await link.SendTokenAsync(token, CancellationToken.None);
        await tools.FailPoints.HitAsync("outgoing.after-token");
        if (!tools.Rules.Keeps(SafetyRule.KillOnlyOnProof)) await qemu.KillAsync();
        // A slow answer is shown as doubt, so that the server asks the target too; the link's answer still counts.
        if (await Joining.AnyAsync(link.Answer, Task.Delay(PauseMax, time)) != link.Answer)
        {
            Board.Stand(MoveStanding.SourceDoubt, $"no answer to the token within {PauseMax.TotalSeconds:0} s");
            if (!tools.Rules.Keeps(SafetyRule.SilenceIsNoProof)) await Ending.KeepAsync("the target is silent");
        }
        else Board.Stand(MoveStanding.SourceSwitching); // Told after the pause: what hears of it wants a processor, too.
        var answer = await link.Answer;
        switch (answer)
        {
            case LinkAnswer.Running running when running.Epoch == order.Epoch.Next():
                await Ending.ReleaseAsync(await ReceiptAsync(link, signals, complete.Summary.Length, stopMicros, running, security));
                break;
            case LinkAnswer.Aborted aborted when aborted.Epoch == order.Epoch.Next():
                await Ending.KeepAsync($"the target could not start it: {aborted.Reason}");
                break;
            case LinkAnswer when !tools.Rules.Keeps(SafetyRule.TokenIsFinal):
                await Ending.KeepAsync("the link broke");
                break;
            case LinkAnswer other when !Ending.Record.IsSettled:
                Board.Stand(MoveStanding.SourceDoubt, $"the token left and no answer came ({other})");
                break;
        }
    }

    /// <summary>The guest goes on here already; now the target's word on whether it would have gone on there.</summary>
    private async Task RehearseAsync(LinkSender link, QemuSignals signals, StreamSummary sentAll, string security)
    {
        var stopMicros = wasPaused ? 0 : await signals.Stopped;
        await tools.FailPoints.HitAsync("outgoing.before-rehearsed");
        await link.SendRehearsedAsync(sentAll, CancellationToken.None);
        if (await Joining.AnyAsync(link.Answer, Task.Delay(RehearsedMax, time)) != link.Answer)
        {
            await KeepAsync(link, signals, $"the target did not say within {RehearsedMax.TotalSeconds:0} s whether it had loaded");
            return;
        }
        switch (await link.Answer)
        {
            case LinkAnswer.Loaded loaded when Volatile.Read(ref stopReason) is null:
                var wouldRun = Math.Max(loaded.EndTimestampMicros, loaded.LoadedTimestampMicros);
                var receipt = await ReceiptAsync(link, signals, sentAll.Length, stopMicros, new LinkAnswer.Running(
                    order.Epoch.Next(), wouldRun, loaded.EndTimestampMicros, loaded.LoadedTimestampMicros), security);
                await KeepAsync(link, signals, "rehearsed: the target had the guest loaded and was thrown away", receipt with
                {
                    OwnPauseMs = wasPaused ? null : (await signals.Resumed - stopMicros) / 1000.0,
                });
                break;
            case LinkAnswer.Aborted aborted:
                await KeepAsync(link, signals, $"the target could not take it: {aborted.Reason}");
                break;
            case var other:
                await KeepAsync(link, signals, Volatile.Read(ref stopReason) ?? $"the link broke before the target's word ({other})");
                break;
        }
    }

    /// <summary>No token left: the guest goes on here, unless it ended by itself.</summary>
    private async Task KeepAsync(LinkSender link, QemuSignals signals, string reason, Receipt? rehearsed = null)
    {
        if (rehearsed is null) await TrySendAbortAsync(link, reason);
        if (signals.Shutdown.IsCompleted)
        {
            await qemu.Qmp.TryMigrateCancelAsync(); // QEMU would send a guest that is off, too.
            await Ending.StopAsync();
        }
        else if (qemu.Qmp.Closed.IsCompleted) await Ending.LoseAsync($"its QEMU ended during the move: {reason}");
        else
        {
            await qemu.Qmp.TryMigrateCancelAsync();
            await Ending.KeepAsync(reason, rehearsed);
        }
    }

    private async Task TrySendAbortAsync(LinkSender link, string reason)
    {
        try { await link.SendAbortAsync(reason, CancellationToken.None).WaitAsync(AbortMax, time); }
        catch (Exception e) when (e is IOException or TimeoutException) { } // The link closes instead, and says the same.
    }

    private async Task<Receipt> ReceiptAsync(
        LinkSender link, QemuSignals signals, long streamBytes, long stopMicros, LinkAnswer.Running running, string security)
    {
        var info = await qemu.Qmp.TryQueryMigrateAsync();
        var resumeMicros = running.ResumeTimestampMicros - link.ClockOffsetMicros;
        var parts = wasPaused || running.TokenTimestampMicros == 0 ? null : Parts(stopMicros, signals.EndedTimestampMicros,
            running.TokenTimestampMicros - link.ClockOffsetMicros, running.LoadedTimestampMicros - link.ClockOffsetMicros, resumeMicros);
        if (parts is not null && order.Mode == MoveMode.Live) tools.HandOvers.Note(parts);
        return new Receipt
        {
            TotalMs = time.GetElapsedTime(begun).TotalMilliseconds,
            PauseMs = wasPaused ? null : (resumeMicros - stopMicros) / 1000.0,
            PauseParts = parts,
            MemoryMs = time.GetElapsedTime(sending, sent).TotalMilliseconds,
            StreamBytes = streamBytes,
            Steps = memory?.Steps ?? [],
            WireBytes = link.Stats.SentBytes,
            Passes = (int)(info?.Ram?.DirtySyncCount ?? 0),
            NormalPages = info?.Ram?.NormalPages ?? 0,
            ZeroPages = info?.Ram?.ZeroPages ?? 0,
            Accelerator = vm.Spec.Accelerator,
            Transport = $"{security}, peer {order.Target}",
        };
    }

    /// <summary>The target may have loaded before the token was there: then loading took no time of its own.</summary>
    private static PauseParts Parts(long stop, long completed, long token, long loaded, long resumed)
    {
        var ready = Math.Max(token, loaded);
        return new(Ms(stop, completed), Ms(completed, token), Ms(token, ready), Ms(ready, resumed));

        static double Ms(long from, long to) => (to - from) / 1000.0;
    }

    /// <summary>Ends a move whose bytes stand still, or whose guest has stood still too long. Both are before the token.</summary>
    private async Task GuardAsync(LinkSender link, QemuSignals signals, CancellationToken watching)
    {
        try
        {
            var (seen, since) = (0L, time.GetTimestamp());
            var guardsPause = order.Mode == MoveMode.Live && !wasPaused && tools.Rules.Keeps(SafetyRule.PauseGuarded);
            while (true)
            {
                var tick = Task.Delay(TimeSpan.FromSeconds(1), time, watching);
                if (guardsPause && memory?.StoppedByConsent != true) await Joining.AnyAsync(tick, signals.Stopped);
                else await tick;
                watching.ThrowIfCancellationRequested();
                if (guardsPause && signals.Stopped.IsCompleted && memory?.StoppedByConsent != true)
                {
                    await Task.Delay(PauseAllowed, time, watching);
                    if (memory?.StoppedByConsent == true) continue;
                    await StopForAsync(string.Create(CultureInfo.InvariantCulture,
                        $"{PromiseScore.WouldHavePaused}more than {Math.Min(order.Limits.MaxPauseMs, PauseMax.TotalMilliseconds):0} ms ")
                        + string.Create(CultureInfo.InvariantCulture, $"(limit {order.Limits.MaxPauseMs} ms): ")
                        + string.Create(CultureInfo.InvariantCulture, $"the guest stood still for {PauseAllowed.TotalMilliseconds:0} ms ")
                        + "before all of it was sent, and goes on at home" + Try("a higher --max-pause, or a calmer hour"));
                    return;
                }
                var stats = link.Stats;
                if (stats.AckedBytes != seen) (seen, since) = (stats.AckedBytes, time.GetTimestamp());
                else if (Stalled(stats, time.GetElapsedTime(since)) is { } reason)
                {
                    await StopForAsync(reason);
                    return;
                }
            }
        }
        catch (OperationCanceledException) { } // The stream ended: nothing left to guard.
    }

    /// <summary>Of a hybrid move nothing need be tried: it goes on.</summary>
    private string Try(string what) => order.Limits.PassesMax is null ? $"; try {what}" : "";

    /// <summary>
    /// As long as the guest may stand still before QEMU has sent all: what follows has its own few milliseconds, and has to fit, too. Who
    /// consents to a longer pause has it.
    /// </summary>
    private TimeSpan PauseAllowed => limits.MayQuick ? PauseMax
        : TimeSpan.FromMilliseconds(Math.Clamp(limits.MaxPauseMs - Convergence.DevicePartMs, 1, PauseMax.TotalMilliseconds));

    /// <summary>Bytes on the way that nobody takes are the link's or the target's fault; none on the way is QEMU's at home.</summary>
    private string? Stalled(LinkStats stats, TimeSpan since)
    {
        var onTheWay = stats.SentBytes - stats.AckedBytes;
        if (since <= (onTheWay > 0 ? StallMax : NothingSentMax)) return null;
        return onTheWay > 0
            ? $"no byte arrived at {order.Target} for {StallMax.TotalSeconds:0} s: {onTheWay} bytes are on the way, "
                + $"its window is {stats.WindowBytes}, its rate was {stats.DeliveryBytesPerSecond} B/s"
            : $"QEMU sent nothing for {NothingSentMax.TotalSeconds:0} s";
    }

    private async Task StopForAsync(string reason)
    {
        lock (gate)
        {
            if (tokenLeft) return;
            stopReason ??= reason;
        }
        await qemu.Qmp.TryMigrateCancelAsync();
    }

    private async Task<string> WhyAsync(Task ended, QemuSignals signals, Task<StreamSummary> pump)
    {
        if (stopReason is not null) return stopReason;
        if (ended == signals.Shutdown) return "the guest powered itself off";
        if (ended == signals.StorageFailed) return "its storage failed or is full, and QEMU stopped the guest";
        if (ended == qemu.Qmp.Closed) return "QEMU ended";
        if (pump.IsFaulted) return pump.Exception!.InnerException!.Message;
        var info = await qemu.Qmp.TryQueryMigrateAsync();
        return $"QEMU says {info?.Status ?? "nothing"}: {info?.ErrorDescription ?? "the stream broke"}";
    }

    /// <summary>Completes only if the pump breaks; its ordinary end is told by QEMU's own event.</summary>
    private static async Task PumpFault(Task pump)
    {
        try { await pump; }
        catch (Exception) { return; } // The reason is read from the pump itself.
        await new TaskCompletionSource().Task;
    }

    private abstract record StreamEnd
    {
        public sealed record Complete(StreamSummary Summary) : StreamEnd;
        public sealed record Broken(string Reason) : StreamEnd;
    }
}
