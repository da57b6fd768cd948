namespace Godwit.Agent.Host;

/// <summary>
/// One thread for one pump: continuations come back to it, and streams that see it block instead of going through the
/// thread pool. Lives as long as the pump.
/// </summary>
internal sealed class RealNetworkThread : SynchronizationContext
{
    private readonly Queue<(SendOrPostCallback Callback, object? State)> _posted = new();
    private bool _finished;

    /// <summary>True where the calling thread belongs to one pump, so that blocking it hurts nobody else.</summary>
    public static bool IsCurrent => Current is RealNetworkThread;

    public static Task<T> RunAsync<T>(string name, Func<Task<T>> pump)
    {
        var result = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() => new RealNetworkThread().Run(pump, result)) { Name = name, IsBackground = true }.Start();
        return result.Task;
    }

    public override void Post(SendOrPostCallback d, object? state)
    {
        lock (_posted)
        {
            if (_finished)
            {
                ThreadPool.UnsafeQueueUserWorkItem(_ => d(state), null); // A late one must still run.
                return;
            }
            _posted.Enqueue((d, state));
            Monitor.Pulse(_posted);
        }
    }

    public override void Send(SendOrPostCallback d, object? state) => throw new NotSupportedException();
    public override SynchronizationContext CreateCopy() => this;

    private void Run<T>(Func<Task<T>> pump, TaskCompletionSource<T> result)
    {
        SetSynchronizationContext(this);
        var running = Begin(pump);
        running.ContinueWith(_ => Post(static _ => { }, null), CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        while (!running.IsCompleted)
        {
            var (callback, state) = Take();
            callback(state);
        }
        lock (_posted) _finished = true;
        while (_posted.TryDequeue(out var late)) late.Callback(late.State);
        result.TrySetFromTask(running);
    }

    private static Task<T> Begin<T>(Func<Task<T>> pump)
    {
        try
        {
            return pump();
        }
        catch (Exception reason)
        {
            return Task.FromException<T>(reason);
        }
    }

    private (SendOrPostCallback Callback, object? State) Take()
    {
        lock (_posted)
        {
            while (_posted.Count == 0) Monitor.Wait(_posted);
            return _posted.Dequeue();
        }
    }
}
