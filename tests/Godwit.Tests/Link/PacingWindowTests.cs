using Godwit.Agent.Link;
using Xunit;

namespace Godwit.Tests.Link;

public sealed class PacingWindowTests
{
    private const double Gigabit = 125e6;
    private const long Second = 1_000_000;

    [Theory]
    [InlineData(Gigabit, 100, 6)] // Long enough to see the queue drained once.
    [InlineData(Gigabit, 1_000, 6)]
    [InlineData(10 * Gigabit, 50, 1)]
    [InlineData(10 * Gigabit, 500, 1)]
    public void A_steady_path_is_kept_busy_with_less_than_two_and_a_half_ms_waiting(double rate, long oneWay, int seconds)
    {
        var path = new BottleneckPath(new(new())) { BytesPerSecond = rate, OneWayMicros = oneWay };
        path.RunUntil(300_000);

        var (worst, delivered) = Watch(path, seconds * Second);

        Assert.InRange(worst, 0, 2.5);
        Assert.InRange(delivered / rate, 0.95, 1.01);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(5_000)]
    public void One_gigabit_is_reached_within_100_ms(long oneWay)
    {
        var path = new BottleneckPath(new(new())) { BytesPerSecond = Gigabit, OneWayMicros = oneWay };
        path.RunUntil(100_000);

        var (_, delivered) = Watch(path, 50_000);

        Assert.InRange(delivered / Gigabit, 0.9, 1.01);
    }

    [Fact]
    public void A_long_path_is_filled_and_its_queue_stays_short()
    {
        var path = new BottleneckPath(new(new())) { BytesPerSecond = Gigabit, OneWayMicros = 20_000 };
        path.RunUntil(2 * Second);

        var (worst, delivered) = Watch(path, 7 * Second);

        Assert.InRange(worst, 0, 5);
        Assert.InRange(delivered / Gigabit, 0.95, 1.01);
    }

    [Fact]
    public void When_the_path_becomes_slower_the_backlog_is_gone_within_a_second()
    {
        var path = new BottleneckPath(new(new())) { BytesPerSecond = Gigabit, OneWayMicros = 200 };
        path.RunUntil(Second);
        path.BytesPerSecond = Gigabit / 2;
        path.RunUntil(2 * Second);

        var (worst, delivered) = Watch(path, 5 * Second);

        Assert.InRange(worst, 0, 2.5);
        Assert.InRange(delivered / (Gigabit / 2), 0.95, 1.01);
    }

    [Fact]
    public void When_the_path_becomes_faster_the_rate_follows_within_a_second()
    {
        var path = new BottleneckPath(new(new())) { BytesPerSecond = Gigabit, OneWayMicros = 2_000 };
        path.RunUntil(Second);
        path.BytesPerSecond = 5 * Gigabit;
        path.RunUntil(2 * Second);

        Assert.InRange(Watch(path, Second).BytesPerSecond / (5 * Gigabit), 0.95, 1.01);
    }

    [Fact]
    public void When_the_path_becomes_longer_the_rate_comes_back()
    {
        var path = new BottleneckPath(new(new())) { BytesPerSecond = Gigabit, OneWayMicros = 100 };
        path.RunUntil(Second);
        path.OneWayMicros = 10_000;
        path.RunUntil(4 * Second);

        Assert.InRange(Watch(path, 5 * Second).BytesPerSecond / Gigabit, 0.9, 1.01);
    }

    [Fact]
    public void A_thread_that_sleeps_now_and_then_neither_inflates_nor_starves_the_window()
    {
        // 8 ms without an acknowledgement, every 50 ms: then all at once.
        var path = new BottleneckPath(new(new()))
        {
            BytesPerSecond = Gigabit, OneWayMicros = 100,
            AckDelayMicros = now => now % 50_000 < 8_000 ? 8_000 - now % 50_000 : 0,
        };
        path.RunUntil(300_000);

        var (worst, delivered) = Watch(path, 6 * Second);

        Assert.InRange(worst, 0, 4);
        Assert.InRange(delivered / Gigabit, 0.8, 1.01);
    }

    [Theory]
    [InlineData(1_300)]
    [InlineData(1_700)]
    [InlineData(1_900)]
    [InlineData(2_050)]
    [InlineData(2_130)]
    [InlineData(2_200)]
    [InlineData(2_500)]
    [InlineData(3_500)]
    [InlineData(6_000)]
    public void Threads_that_always_wake_late_do_not_hold_a_path_at_the_rate_of_a_slow_beginning(long lateMicros)
    {
        // An agent's first link: slow for 300 ms while it is compiled, and all answers but its first are late on a busy machine.
        var path = new BottleneckPath(new(new()))
        {
            BytesPerSecond = Gigabit / 4, OneWayMicros = 40, AckDelayMicros = now => now < 20_000 ? 0 : lateMicros,
        };
        path.RunUntil(300_000);
        path.BytesPerSecond = Gigabit;
        path.RunUntil(Second);

        var (worst, delivered) = Watch(path, Second);

        Assert.InRange(worst, 0, 4);
        Assert.InRange(delivered / Gigabit, 0.9, 1.01);
    }

    [Fact]
    public void A_shaper_that_saves_up_for_bursts_is_not_taken_for_a_faster_path()
    {
        var window = new PacingWindow(new());
        var path = new BottleneckPath(window)
        {
            BytesPerSecond = Gigabit, OneWayMicros = 100, BucketBytes = 512 * 1024,
            AckDelayMicros = now => now % 50_000 < 5_000 ? 5_000 - now % 50_000 : 0,
        };
        path.RunUntil(Second);

        var (worst, delivered) = Watch(path, 6 * Second);

        Assert.InRange(window.DeliveryRate / Gigabit, 0.95, 1.35);
        Assert.InRange(worst, 0, 4);
        Assert.InRange(delivered / Gigabit, 0.9, 1.01);
    }

    [Fact]
    public void A_source_with_little_to_send_does_not_shrink_the_window()
    {
        var window = new PacingWindow(new());
        var path = new BottleneckPath(window) { BytesPerSecond = Gigabit, OneWayMicros = 200 };
        path.RunUntil(Second);
        double before = window.DeliveryRate;
        path.SourceBytesPerSecond = Gigabit / 50;
        path.RunUntil(5 * Second);

        Assert.InRange(window.DeliveryRate / before, 0.95, 1.05);
    }

    [Fact]
    public void A_ceiling_is_kept_until_it_is_lifted()
    {
        var window = new PacingWindow(new(BandwidthBytesPerSecond: 10_000_000));
        var path = new BottleneckPath(window) { BytesPerSecond = Gigabit, OneWayMicros = 200 };

        Assert.InRange(Watch(path, 5 * Second).BytesPerSecond / 10e6, 0.95, 1.05);
        window.LiftCeiling();
        path.RunUntil(6 * Second);
        Assert.InRange(Watch(path, Second).BytesPerSecond / Gigabit, 0.95, 1.01);
    }

    [Fact]
    public void An_acknowledgement_of_bytes_never_sent_is_refused()
    {
        var window = new PacingWindow(new());
        window.OnSent(1000, 0);

        Assert.False(window.OnAcked(1001, 1));
        Assert.True(window.OnAcked(1000, 1));
        Assert.False(window.OnAcked(999, 2));
    }

    [Fact]
    public void Nothing_may_be_sent_beyond_the_window()
    {
        var window = new PacingWindow(new());
        while (window.Room(0) is > 0 and var room) window.OnSent(Math.Min(room, 10_000), 0);

        Assert.InRange(window.InFlightBytes, 1, PacingWindow.InitialBytes);
    }

    private static (double WorstBacklogMs, double BytesPerSecond) Watch(BottleneckPath path, long micros)
    {
        double worst = 0;
        long before = path.DeliveredBytes;
        path.RunUntil(path.NowMicros + micros, () => worst = Math.Max(worst, path.BacklogMs));
        return (worst, (path.DeliveredBytes - before) * 1e6 / micros);
    }
}
