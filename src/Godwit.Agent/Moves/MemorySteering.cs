using Godwit.Agent.Link;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>
/// Watches memory cross, sets QEMU's aim at each pass end, and has the end of a pass wait for a lull (ADR 53). All of it happens while
/// the guest runs; once the guest has stopped, QEMU alone finishes.
/// </summary>
internal sealed class MemorySteering(
    QmpClient qmp, LinkSender link, BurstWatch bursts, OutgoingOrder order, MoveBoard board, TimeProvider time)
{
    private const int PassesKept = 1000, StepsKept = 64;
    private static readonly TimeSpan ReportEvery = TimeSpan.FromMilliseconds(250);
    /// <summary>A shorter pass tells no rate.</summary>
    private static readonly TimeSpan PassMin = TimeSpan.FromMilliseconds(200);
    private readonly List<PassFacts> passes = [];

    private readonly long begun = time.GetTimestamp();
    private long counted = time.GetTimestamp();
    private int slowdownPercent;
    /// <summary>Of the stream, over the last pass of which nothing was held back.</summary>
    private long passBytesPerSecond;
    private (long At, long StreamBytes, bool IsHeld) passBegan = (time.GetTimestamp(), 0, false);
    private int aimMs = Convergence.FirstLimitMs(order.Limits.MaxPauseMs);

    private readonly TaskCompletionSource<ConvergenceAdvice.GiveUp> givenUp =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when passes no longer shrink, or the time is up, and the allowed pause does not suffice.</summary>
    public Task<ConvergenceAdvice.GiveUp> GivenUp => givenUp.Task;

    /// <summary>True once the guest was stopped by consent: its pause has no other limit than the link.</summary>
    public bool StoppedByConsent { get; private set; }

    /// <summary>What was decided, oldest first. Replaced as a whole: the receipt is read while this may still run.</summary>
    public IReadOnlyList<SteeringStep> Steps { get; private set; } = [];

    /// <summary>Ends with the stream. Never faults.</summary>
    public async Task RunAsync(QemuSignals signals, CancellationToken watching)
    {
        var pass = 0;
        try
        {
            while (!signals.Stopped.IsCompleted || order.StopsFirst || StoppedByConsent)
            {
                var began = await NextPassAsync(signals, watching);
                if (signals.Stopped.IsCompleted && order.Mode == MoveMode.Live && !StoppedByConsent) return;
                var streamed = link.StreamBytes; // Before QEMU says what remains: it may be more by then, and never less.
                // Still in "setup" QEMU has no figures yet, and its monitor may miss a deadline: the next look will tell.
                if (await qmp.TryQueryMigrateAsync() is not { Ram: { } ram } now)
                {
                    if (qmp.Closed.IsCompleted) return;
                    continue;
                }
                NoteSlowdown(now, ram, pass);
                Report(ram, Math.Max(pass, 1));
                if (order.StopsFirst || StoppedByConsent || (began is null && !IsOverdue)) continue;
                if (began is { } number)
                {
                    pass = number;
                    var facts = new PassFacts(number, ram.RemainingBytes, NotePassRate());
                    if (Convergence.Note(passes, facts, time.GetElapsedTime(counted).TotalMilliseconds)) counted = time.GetTimestamp();
                    if (passes.Count > PassesKept) passes.RemoveAt(1);
                }
                if (passes.Count == 0) continue;
                switch (Convergence.Advise(passes, order.Limits, time.GetElapsedTime(begun)))
                {
                    case ConvergenceAdvice.GiveUp giveUp:
                        givenUp.TrySetResult(giveUp);
                        return;
                    case ConvergenceAdvice.StopNow stop:
                        Note(ram, pass, Say($"stopped for the rest, {stop.WouldPauseMs:0} ms: {stop.Why}"));
                        StoppedByConsent = true; // Before the order: what guards a pause must know whose wish it is.
                        await qmp.StopAsync(QmpMoves.Deadline, CancellationToken.None);
                        break;
                    case ConvergenceAdvice.SwitchBelow aim when began is not null:
                        await AimAsync(aim.DowntimeLimitMs, ram, streamed, pass);
                        break;
                }
            }
        }
        catch (OperationCanceledException) { } // The stream ended.
        catch (QmpException) { } // QEMU is gone or deaf: its other signals end the move.
    }

    /// <summary>As a pass begins: as far as the ladder has come, unless the guest writes in bursts, and a rest is to be met.</summary>
    private async Task AimAsync(int ladderMs, QmpMigrationRam ram, long streamed, int pass)
    {
        link.GoOn();
        var isAboutToSwitch = IsAboutToSwitch(ram);
        var lull = isAboutToSwitch || bursts.Bursts is not { } felt ? null
            : Lull.Advise(passes, passBytesPerSecond, order.Limits, time.GetElapsedTime(begun), felt);
        if (lull is LullAdvice.HoldBack && bursts.HoldBack(streamed + ram.RemainingBytes, passBytesPerSecond))
        {
            passBegan.IsHeld = true;
            Note(ram, pass, "holds the end of this pass back until a burst is over");
            await SetAimAsync(1); // Or QEMU would end the pass before the last bytes of it are held.
            return;
        }
        var limitMs = lull is LullAdvice.EndWithin within ? Math.Max(ladderMs, within.DowntimeLimitMs)
            : isAboutToSwitch ? Math.Max(ladderMs, aimMs) : ladderMs;
        if (limitMs == aimMs) return;
        Note(ram, pass, Say($"aims at a pause of {limitMs + Convergence.DevicePartMs} ms")
            + (limitMs > ladderMs ? ": the guest rests between two bursts" : ""));
        await SetAimAsync(limitMs);
    }

    /// <summary>By the rate it goes by, or as good: then it has decided, and what is said now comes too late.</summary>
    private bool IsAboutToSwitch(QmpMigrationRam ram) =>
        ram.RemainingBytes * 1000.0 <= (double)aimMs * BytesPerSecond;

    /// <summary>
    /// How fast what remains is taken to cross. After pages that pack well, and while a pass was held back, the link seems several times
    /// as fast as it is; the last pass has come to no more than it did.
    /// </summary>
    private long BytesPerSecond => passBytesPerSecond == 0 ? link.Stats.StreamBytesPerSecond
        : Math.Min(passBytesPerSecond, link.Stats.StreamBytesPerSecond);

    private async Task SetAimAsync(int limitMs)
    {
        if (limitMs == aimMs) return;
        aimMs = limitMs;
        await qmp.SetDowntimeLimitAsync(limitMs);
    }

    /// <summary>As a pass begins: of the stream, in bytes a second.</summary>
    private long NotePassRate()
    {
        var (now, bytes, wasHeld) = (time.GetTimestamp(), link.StreamBytes, passBegan.IsHeld);
        var passed = time.GetElapsedTime(passBegan.At, now);
        if (!wasHeld && passed >= PassMin) passBytesPerSecond = (long)((bytes - passBegan.StreamBytes) / passed.TotalSeconds);
        // In the first pass pages of zeros are looked through, and next to nothing crosses for them.
        if (passes.Count == 1) passBytesPerSecond = Math.Max(passBytesPerSecond, link.Stats.DeliveryBytesPerSecond);
        passBegan = (now, bytes, false);
        return BytesPerSecond;
    }

    /// <summary>A deadline is not waited for until a pass ends: one pass may take longer than all that is left.</summary>
    private bool IsOverdue => order.Limits.DeadlineSeconds is { } deadline && time.GetElapsedTime(begun).TotalSeconds >= deadline;

    private void NoteSlowdown(QmpMigration now, QmpMigrationRam ram, int pass)
    {
        var percent = (int)(now.CpuThrottlePercent ?? 0);
        if (percent == slowdownPercent) return;
        slowdownPercent = percent;
        Note(ram, pass, percent == 0 ? "guest at full speed" : Say($"guest slowed by {percent} %"));
    }

    private static string Say(FormattableString words) => FormattableString.Invariant(words);

    private void Note(QmpMigrationRam ram, int pass, string what)
    {
        var atMs = time.GetElapsedTime(begun).TotalMilliseconds;
        var step = new SteeringStep(atMs, pass, ram.RemainingBytes, BytesPerSecond, what);
        Steps = [.. Steps.TakeLast(StepsKept - 1), step];
    }

    /// <summary>The newest pass that began, or null when only time passed.</summary>
    private async Task<int?> NextPassAsync(QemuSignals signals, CancellationToken watching)
    {
        var waiting = signals.Passes.WaitToReadAsync(watching).Joinable();
        await Joining.AnyAsync(waiting, Task.Delay(ReportEvery, time, watching));
        watching.ThrowIfCancellationRequested();
        int? newest = null;
        while (signals.Passes.TryRead(out var number)) newest = number;
        return newest;
    }

    private void Report(QmpMigrationRam ram, int pass)
    {
        var (onWire, rate) = (link.Stats.DeliveryBytesPerSecond, BytesPerSecond);
        var dirty = ram.DirtyPagesPerSecond * ram.PageSizeBytes;
        board.Set(s => s with
        {
            Progress = new MoveProgress
            {
                Pass = pass,
                RemainingBytes = ram.RemainingBytes,
                TotalBytes = ram.TotalBytes,
                SentBytes = link.Stats.SentBytes,
                BytesPerSecond = onWire,
                DirtyBytesPerSecond = dirty,
                SlowdownPercent = slowdownPercent,
                Steps = Steps,
                ExpectedPauseMs = order.StopsFirst || StoppedByConsent
                    ? Convergence.PauseMs(ram.RemainingBytes, rate)
                    : Math.Min(order.Limits.MaxPauseMs, Convergence.PauseMs(ram.RemainingBytes, rate)),
                EtaSeconds = Convergence.EtaSeconds(ram.RemainingBytes, rate, order.StopsFirst ? 0 : dirty),
            },
        });
    }
}
