namespace Godwit.Simulator.Loop;

/// <summary>Fires on the context that made it; dies with it.</summary>
internal sealed class SimTimer(SimLoop loop, SimContext context, Action callback) : ITimer
{
    private TimeSpan _period = Timeout.InfiniteTimeSpan;
    private bool _disposed;

    /// <summary>Grows with each change: an arming of an older number in the loop's queue is void.</summary>
    internal int Arming { get; private set; }

    public bool Change(TimeSpan dueTime, TimeSpan period)
    {
        loop.DemandLoopThread();
        if (_disposed) return false;
        Arming++;
        _period = period;
        if (dueTime != Timeout.InfiniteTimeSpan) loop.Arm(this, Arming, dueTime);
        return true;
    }

    internal void Fire(int arming)
    {
        if (arming != Arming || _disposed || context.IsDead) return;
        if (_period > TimeSpan.Zero) loop.Arm(this, Arming, _period);
        context.Post(static timer => ((SimTimer)timer!).Call(), this);
    }

    private void Call()
    {
        if (!_disposed) callback();
    }

    public void Dispose() => _disposed = true;

    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }
}
