namespace Godwit.Simulator.Loop;

/// <summary>
/// The continuations of one simulated process. All contexts share one loop and one thread; having its own lets a
/// process die as kill -9 does: what it still had to do is dropped, and no finally block of it runs.
/// </summary>
public sealed class SimContext : SynchronizationContext
{
    private readonly List<SimLoop.Work> _held = [];

    internal SimContext(SimLoop loop, int number, string name) => (Loop, Number, Name) = (loop, number, name);

    public SimLoop Loop { get; }
    public string Name { get; }
    public bool IsDead { get; private set; }
    public bool IsStalled { get; private set; }
    internal int Number { get; }

    /// <summary>The context whose code runs now, or null outside of a run.</summary>
    public static SimContext? Running => Current as SimContext;

    public override void Post(SendOrPostCallback d, object? state) => Loop.Enqueue(new(this, d, state));

    public override void Send(SendOrPostCallback d, object? state)
    {
        Loop.DemandLoopThread();
        d(state);
    }

    public override SynchronizationContext CreateCopy() => this;

    /// <summary>From now on nothing of it runs, ever.</summary>
    public void Die()
    {
        IsDead = true;
        _held.Clear();
    }

    /// <summary>As SIGSTOP: what becomes ready waits until <see cref="Continue"/>.</summary>
    public void Stall() => IsStalled = true;

    public void Continue()
    {
        IsStalled = false;
        foreach (var work in _held) Loop.Enqueue(work);
        _held.Clear();
    }

    internal void Hold(SimLoop.Work work) => _held.Add(work);

    /// <summary>Runs <paramref name="body"/> as code of this process; the task tells how it ended, unless the process dies.</summary>
    public Task<T> CallAsync<T>(Func<Task<T>> body)
    {
        var result = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(async _ =>
        {
            try { result.TrySetResult(await body()); }
            catch (OperationCanceledException cancelled) { result.TrySetCanceled(cancelled.CancellationToken); }
            catch (Exception failure) { result.TrySetException(failure); }
        }, null);
        return result.Task;
    }

    public Task CallAsync(Func<Task> body) => CallAsync(async () =>
    {
        await body();
        return true;
    });
}
