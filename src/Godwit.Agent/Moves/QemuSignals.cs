using System.Threading.Channels;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>
/// One QEMU's events during a move, as tasks: set on the monitor's reading loop the moment they arrive, so that
/// nothing inside the pause polls.
/// </summary>
internal sealed class QemuSignals : IDisposable
{
    private readonly TaskCompletionSource<long> stopped = New<long>();
    private readonly TaskCompletionSource<long> resumed = New<long>();
    private readonly TaskCompletionSource<string> migrationEnded = New<string>();
    private readonly TaskCompletionSource storageFailed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource shutdown = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<int> passes = Channel.CreateBounded<int>(
        new BoundedChannelOptions(64) { FullMode = BoundedChannelFullMode.DropOldest });
    private readonly IDisposable subscription;

    public QemuSignals(QmpClient qmp)
    {
        subscription = qmp.Subscribe(Hear);
        _ = EndPassesAsync(qmp.Closed);
    }

    /// <summary>QEMU's time of the first STOP, in microseconds since 1970.</summary>
    public Task<long> Stopped => stopped.Task;
    /// <summary>QEMU's time of the first RESUME, in microseconds since 1970.</summary>
    public Task<long> Resumed => resumed.Task;
    /// <summary>"completed", "failed" or "cancelled"; other words mean "still going" and are not ends.</summary>
    public Task<string> MigrationEnded => migrationEnded.Task;
    /// <summary>QEMU's time of that end, in microseconds since 1970; 0 before it.</summary>
    public long EndedTimestampMicros { get; private set; }
    /// <summary>The guest powered itself off (not: QEMU was told to quit).</summary>
    public Task Shutdown => shutdown.Task;
    /// <summary>QEMU stopped the guest because one of its disks failed or is full.</summary>
    public Task StorageFailed => storageFailed.Task;
    /// <summary>Pass numbers as they begin; drops the oldest when nobody reads.</summary>
    public ChannelReader<int> Passes => passes.Reader;

    /// <summary>
    /// What happened before anybody listened is not told again: a guest that is off already counts as having powered off now.
    /// </summary>
    public async Task<bool> IsOffAsync(QmpClient qmp)
    {
        var status = await qmp.QueryStatusAsync(QmpMoves.Deadline, CancellationToken.None);
        if (status.Status == QmpRunStatus.Shutdown) shutdown.TrySetResult();
        return shutdown.Task.IsCompleted;
    }

    private void Hear(QmpEvent e)
    {
        switch (e.Name)
        {
            case "STOP": stopped.TrySetResult(e.TimestampMicros); break;
            case "RESUME": resumed.TrySetResult(e.TimestampMicros); break;
            case "MIGRATION_PASS": passes.Writer.TryWrite(e.Data.GetProperty("pass").GetInt32()); break;
            case "MIGRATION" when e.Data.GetProperty("status").GetString() is "completed" or "failed" or "cancelled":
                EndedTimestampMicros = e.TimestampMicros;
                migrationEnded.TrySetResult(e.Data.GetProperty("status").GetString()!);
                break;
            case QmpEvents.BlockIoError when e.IoError() is { Action: "stop" }: storageFailed.TrySetResult(); break;
            case "SHUTDOWN" when e.Data.TryGetProperty("guest", out var guest) && guest.GetBoolean():
                shutdown.TrySetResult();
                break;
        }
    }

    private async Task EndPassesAsync(Task closed)
    {
        await closed;
        passes.Writer.TryComplete();
    }

    public void Dispose()
    {
        subscription.Dispose();
        passes.Writer.TryComplete();
    }

    private static TaskCompletionSource<T> New<T>() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
