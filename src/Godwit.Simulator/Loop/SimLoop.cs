using System.Globalization;

namespace Godwit.Simulator.Loop;

/// <summary>
/// One thread, virtual time, and a seeded choice among all that is ready: ordinary async code runs here the same way
/// each time it is given the same seed. Work that leaves the thread is an error with the offending stack.
/// </summary>
public sealed class SimLoop
{
    private const int TraceLinesMax = 200_000;

    internal readonly record struct Work(SimContext Context, SendOrPostCallback Callback, object? State);
    private readonly record struct Due(SimTimer Timer, int Arming);

    private readonly List<Work> _ready = [];
    private readonly PriorityQueue<Due, (long Ticks, long Order)> _timers = new();
    private readonly List<string> _trace = [];
    private readonly List<(Func<bool> Holds, TaskCompletionSource Done)> _waits = [];
    private readonly TraceHash _hash = new();
    private readonly SimRandom _choice;
    private readonly LoopLimits _limits;
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private volatile string? _escapeStack;
    private Exception? _failure;
    private long _timerOrder;
    private int _contexts;

    private SimLoop(ulong seed, LoopLimits limits)
    {
        (Seed, _limits) = (seed, limits);
        _choice = SimRandom.Fork(seed, "choice");
        Root = NewContext("world");
    }

    public ulong Seed { get; }
    public TimeSpan Now { get; private set; }
    public long Steps { get; private set; }
    public ulong Hash => _hash.Value;
    public IReadOnlyList<string> Events => _trace;
    /// <summary>The world itself: network, kernel, the story. It never dies.</summary>
    public SimContext Root { get; }
    /// <summary>Called after each step; throws what it finds wrong.</summary>
    public Action? AfterStep { get; set; }
    /// <summary>Sees each event line as it happens.</summary>
    public Action<string>? OnEvent { get; set; }
    /// <summary>As <see cref="OnEvent"/>, for those in the world who wait for a moment: who, and what.</summary>
    public event Action<string, string>? Traced;

    /// <summary>
    /// Runs <paramref name="story"/> to its end. Throws <see cref="SimFailedException"/> with seed, time and the last
    /// events when the story throws, a checker objects, a limit is reached, or nothing is left to happen.
    /// </summary>
    public static LoopResult Run(ulong seed, Func<SimLoop, Task> story, LoopLimits? limits = null)
    {
        var loop = new SimLoop(seed, limits ?? new LoopLimits());
        var before = SynchronizationContext.Current;
        try
        {
            loop.RunToEnd(story);
            return new LoopResult(seed, loop.Hash, loop.Steps, loop.Now, loop._trace);
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    /// <summary>A process of its own: see <see cref="SimContext"/>.</summary>
    public SimContext NewContext(string name) => new(this, _contexts++, name);

    /// <summary>Calls <paramref name="action"/> as the world, after <paramref name="delay"/> of virtual time.</summary>
    public void After(TimeSpan delay, Action action)
    {
        DemandLoopThread();
        new SimTimer(this, Root, action).Change(delay, Timeout.InfiniteTimeSpan);
    }

    /// <summary>To the tick. Task.Delay cuts to whole milliseconds, and a millisecond is long between two QEMUs.</summary>
    public async Task SleepAsync(TimeSpan time)
    {
        var over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        After(time, over.SetResult);
        await over.Task;
    }

    /// <summary>Completes after the first step at whose end <paramref name="holds"/>.</summary>
    public Task Until(Func<bool> holds)
    {
        if (holds()) return Task.CompletedTask;
        var wait = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _waits.Add((holds, wait));
        return wait.Task;
    }

    /// <summary>One line about something that happened; part of the hash.</summary>
    public void Trace(string who, string what)
    {
        var ms = (Now.Ticks / (double)TimeSpan.TicksPerMillisecond).ToString("0.000", CultureInfo.InvariantCulture);
        var line = $"{ms,12} ms  {who,-10} {what}";
        _hash.Add(line);
        if (_trace.Count < TraceLinesMax) _trace.Add(line);
        OnEvent?.Invoke(line);
        Traced?.Invoke(who, what);
    }

    /// <summary>Ends the run after this step: the world is asked for something it does not model, or a checker objects.</summary>
    public void Fail(Exception failure) => _failure ??= failure;

    private void RunToEnd(Func<SimLoop, Task> story)
    {
        var end = Root.CallAsync(() => story(this));
        try
        {
            while (!end.IsCompleted) StepOnce();
            ThrowIfFailed();
            end.GetAwaiter().GetResult(); // Completed: this only throws what the story threw.
        }
        catch (Exception reason)
        {
            throw Described(reason);
        }
    }

    private void StepOnce()
    {
        if (_ready.Count == 0) AdvanceTime();
        else RunOne();
        ThrowIfFailed();
        if (Steps > _limits.StepsMax)
            throw new SimFailedException($"over {_limits.StepsMax} steps: something runs in circles without time passing");
        if (Now > _limits.TimeMax)
            throw new SimFailedException($"over {_limits.TimeMax} of virtual time: the story does not end");
    }

    private void RunOne()
    {
        var pick = _choice.Next(_ready.Count);
        var work = _ready[pick];
        _ready[pick] = _ready[^1];
        _ready.RemoveAt(_ready.Count - 1);
        if (work.Context.IsDead) return;
        if (work.Context.IsStalled)
        {
            work.Context.Hold(work);
            return;
        }

        Steps++;
        _hash.Add(((long)work.Context.Number << 32) | (uint)pick);
        _hash.Add(Now.Ticks);
        SynchronizationContext.SetSynchronizationContext(work.Context);
        work.Callback(work.State);
        SynchronizationContext.SetSynchronizationContext(Root);
        AfterStep?.Invoke();
        CompleteWaits();
    }

    private void CompleteWaits()
    {
        for (var i = _waits.Count - 1; i >= 0; i--)
        {
            if (!_waits[i].Holds()) continue;
            _waits[i].Done.SetResult();
            _waits.RemoveAt(i);
        }
    }

    private void AdvanceTime()
    {
        if (!_timers.TryPeek(out _, out var next))
        {
            SpinWait.SpinUntil(() => _escapeStack is not null, _limits.EscapeGraceMs);
            ThrowIfFailed();
            throw new SimFailedException("nothing is left to happen, and the story has not ended: it waits for ever");
        }
        Now = TimeSpan.FromTicks(Math.Max(Now.Ticks, next.Ticks));
        while (_timers.TryPeek(out var due, out var when) && when.Ticks <= Now.Ticks)
        {
            _timers.Dequeue();
            due.Timer.Fire(due.Arming);
        }
    }

    internal void Arm(SimTimer timer, int arming, TimeSpan due) =>
        _timers.Enqueue(new(timer, arming), (Now.Ticks + Math.Max(0, due.Ticks), _timerOrder++));

    internal void Enqueue(Work work)
    {
        if (Environment.CurrentManagedThreadId == _thread) _ready.Add(work);
        else Escaped();
    }

    /// <summary>Every port calls it: code that left the loop is caught at its next look at the world.</summary>
    internal void DemandLoopThread()
    {
        if (Environment.CurrentManagedThreadId == _thread) return;
        Escaped();
        throw new InvalidOperationException("called from a thread that is not the simulator's");
    }

    /// <summary>
    /// Runs on the foreign thread. It must not throw into the runtime's continuation code there: that would end the
    /// whole process; the loop throws instead, at its next step.
    /// </summary>
    private void Escaped() => _escapeStack ??= Environment.StackTrace;

    private void ThrowIfFailed()
    {
        if (_escapeStack is { } stack)
            throw new SimFailedException(
                "work left the loop: something below runs on another thread (ConfigureAwait(false), Task.Run, "
                + $"a hop inside a library). Keep it on the loop, or this seed means nothing.\n{stack}");
        if (_failure is { } failure) throw failure;
    }

    private SimFailedException Described(Exception reason)
    {
        // A seed that fails now and then is the worst kind: look once more whether a hop was the cause.
        if (reason is not SimFailedException) SpinWait.SpinUntil(() => _escapeStack is not null, 5);
        if (_escapeStack is { } stack && !reason.Message.Contains("left the loop", StringComparison.Ordinal))
            reason = new SimFailedException($"work left the loop, and then: {reason.Message}\n{stack}", reason);
        var last = string.Join('\n', _trace.TakeLast(_limits.TraceLinesInFailure));
        return new SimFailedException(
            $"seed {Seed}, step {Steps}, {Now} of virtual time: {reason.Message}\nLast events:\n{last}", reason);
    }
}

/// <param name="TraceLinesInFailure">How many of the last events a failure carries.</param>
/// <param name="EscapeGraceMs">
/// Real time a run that has nothing left to do waits for work that escaped; the thread pool may need 500 ms to start it.
/// </param>
public sealed record LoopLimits(long StepsMax = 5_000_000, int TraceLinesInFailure = 60, int EscapeGraceMs = 2000)
{
    public TimeSpan TimeMax { get; init; } = TimeSpan.FromDays(2);
}

public sealed record LoopResult(
    ulong Seed, ulong Hash, long Steps, TimeSpan Time, IReadOnlyList<string> Events);
