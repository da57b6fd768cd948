using Godwit.Agent.Link;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>
/// Watches memory cross and sets QEMU's aim at each pass end. All of it happens while the guest runs; once the guest
/// has stopped, QEMU alone finishes.
/// </summary>
internal sealed class MemorySteering(QmpClient qmp, LinkSender link, OutgoingOrder order, MoveBoard board, TimeProvider time)
{
    private const int PassesKept = 1000;
    private static readonly TimeSpan ReportEvery = TimeSpan.FromMilliseconds(250);
    private readonly List<PassFacts> passes = [];

    private readonly TaskCompletionSource<ConvergenceAdvice.GiveUp> givenUp =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when passes no longer shrink and the allowed pause does not suffice.</summary>
    public Task<ConvergenceAdvice.GiveUp> GivenUp => givenUp.Task;

    /// <summary>Ends with the stream. Never faults.</summary>
    public async Task RunAsync(QemuSignals signals, CancellationToken watching)
    {
        var aimMs = Convergence.FirstLimitMs(order.Limits.MaxPauseMs);
        var pass = 0;
        try
        {
            while (!signals.Stopped.IsCompleted || order.Mode == MoveMode.Quick)
            {
                var began = await NextPassAsync(signals, watching);
                if (signals.Stopped.IsCompleted && order.Mode == MoveMode.Live) return;
                // Still in "setup" QEMU has no figures yet, and its monitor may miss a deadline: the next look will tell.
                if ((await qmp.TryQueryMigrateAsync())?.Ram is not { } ram)
                {
                    if (qmp.Closed.IsCompleted) return;
                    continue;
                }
                Report(ram, Math.Max(pass, 1));
                if (began is not { } number || order.Mode == MoveMode.Quick) continue;
                pass = number;
                passes.Add(new PassFacts(number, ram.RemainingBytes, link.Stats.StreamBytesPerSecond));
                if (passes.Count > PassesKept) passes.RemoveAt(1);
                switch (Convergence.Advise(passes, order.Limits.MaxPauseMs))
                {
                    case ConvergenceAdvice.GiveUp giveUp: givenUp.TrySetResult(giveUp); return;
                    case ConvergenceAdvice.SwitchBelow aim when aim.DowntimeLimitMs != aimMs:
                        aimMs = aim.DowntimeLimitMs;
                        await qmp.SetDowntimeLimitAsync(aimMs);
                        break;
                }
            }
        }
        catch (OperationCanceledException) { } // The stream ended.
        catch (QmpException) { } // QEMU is gone or deaf: its other signals end the move.
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
        var (onWire, rate) = (link.Stats.DeliveryBytesPerSecond, link.Stats.StreamBytesPerSecond);
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
                ExpectedPauseMs = order.Mode == MoveMode.Quick
                    ? Convergence.PauseMs(ram.RemainingBytes, rate)
                    : Math.Min(order.Limits.MaxPauseMs, Convergence.PauseMs(ram.RemainingBytes, rate)),
                EtaSeconds = Convergence.EtaSeconds(ram.RemainingBytes, rate, order.Mode == MoveMode.Quick ? 0 : dirty),
            },
        });
    }
}
