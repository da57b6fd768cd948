namespace Godwit.Simulator.Loop;

/// <summary>
/// Virtual time of one host. Its tick frequency is odd on purpose: code that takes timestamps for 100 ns ticks is
/// wrong on real machines too, and shows here at once.
/// </summary>
public sealed class SimClock(SimLoop loop) : TimeProvider
{
    private const long Frequency = 1_193_182;
    private static readonly DateTimeOffset Start = new(2031, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>How far this host's wall clock is off; its timestamps and timers are not touched by it.</summary>
    public TimeSpan WallClockError { get; set; }

    public override long TimestampFrequency => Frequency;
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override DateTimeOffset GetUtcNow()
    {
        loop.DemandLoopThread();
        return Start + loop.Now + WallClockError;
    }

    public override long GetTimestamp()
    {
        loop.DemandLoopThread();
        return (long)((Int128)loop.Now.Ticks * Frequency / TimeSpan.TicksPerSecond) + 77_777;
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        loop.DemandLoopThread();
        var timer = new SimTimer(loop, SimContext.Running ?? loop.Root, () => callback(state));
        timer.Change(dueTime, period);
        return timer;
    }
}
