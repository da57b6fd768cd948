using System.Threading.Channels;
using Godwit.Core;
using Godwit.Simulator.Loop;
using Xunit;

namespace Godwit.Tests.Simulation;

/// <summary>
/// Tests that catch work on the thread pool need one that answers: beside stories that keep its threads busy they would
/// wait for what comes too late.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class CalmThreadPool
{
    public const string Name = "a calm thread pool";
}

/// <summary>The loop everything else stands on: what stays on it, what is caught leaving it, what a seed promises.</summary>
[Collection(CalmThreadPool.Name)]
public sealed class SimLoopTests
{
    [Fact]
    public void Same_seed_gives_the_same_run_twenty_times()
    {
        var hashes = Enumerable.Range(0, 20).Select(_ => SimLoop.Run(7, BusyStoryAsync)).Select(r => (r.Hash, r.Steps, r.Time));
        Assert.Single(hashes.Distinct());
    }

    [Fact]
    public void Different_seeds_give_different_orders()
    {
        var hashes = Enumerable.Range(0, 20).Select(seed => SimLoop.Run((ulong)seed, BusyStoryAsync).Hash);
        Assert.Equal(20, hashes.Distinct().Count());
    }

    [Fact]
    public void An_hour_passes_without_waiting_for_it() => SimLoop.Run(1, async loop =>
    {
        await Task.Delay(TimeSpan.FromHours(1), new SimClock(loop));
        Assert.Equal(TimeSpan.FromHours(1), loop.Now);
    });

    [Fact]
    public void A_missed_deadline_throws_at_its_virtual_time() => SimLoop.Run(1, async loop =>
    {
        var clock = new SimClock(loop);
        var never = new TaskCompletionSource();
        await Assert.ThrowsAsync<TimeoutException>(() => never.Task.WaitAsync(TimeSpan.FromSeconds(3), clock));
        Assert.Equal(TimeSpan.FromSeconds(3), loop.Now);

        using var cancel = new CancellationTokenSource(TimeSpan.FromSeconds(2), clock);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => never.Task.WaitAsync(cancel.Token));
        Assert.Equal(TimeSpan.FromSeconds(5), loop.Now);
    });

    [Fact]
    public void WhenAny_sees_the_earlier_timer_first() => SimLoop.Run(1, async loop =>
    {
        var clock = new SimClock(loop);
        var slow = Task.Delay(TimeSpan.FromSeconds(2), clock);
        var quick = Task.Delay(TimeSpan.FromSeconds(1), clock);
        Assert.Same(quick, await Task.WhenAny(slow, quick));
        await Task.WhenAll(slow, quick);
        Assert.Equal(TimeSpan.FromSeconds(2), loop.Now);
    });

    [Fact]
    public void A_periodic_timer_ticks_on_virtual_time() => SimLoop.Run(1, async loop =>
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(250), new SimClock(loop));
        for (var tick = 0; tick < 4; tick++) Assert.True(await timer.WaitForNextTickAsync());
        Assert.Equal(TimeSpan.FromSeconds(1), loop.Now);
    });

    [Fact]
    public void A_bounded_channel_keeps_its_order_whatever_the_seed()
    {
        for (ulong seed = 0; seed < 20; seed++) SimLoop.Run(seed, async loop =>
        {
            var channel = Channel.CreateBounded<int>(2);
            var producer = ProduceAsync(channel.Writer, 50);
            var read = new List<int>();
            while (await channel.Reader.WaitToReadAsync())
                while (channel.Reader.TryRead(out var item)) read.Add(item);
            await producer;
            Assert.Equal(Enumerable.Range(0, 50), read);
        });
    }

    [Fact]
    public void An_async_iterator_stays_on_the_loop() => SimLoop.Run(1, async loop =>
    {
        var thread = Environment.CurrentManagedThreadId;
        var sum = 0;
        await foreach (var item in CountAsync(new SimClock(loop), 10)) sum += item;
        Assert.Equal(45, sum);
        Assert.Equal(thread, Environment.CurrentManagedThreadId);
    });

    [Fact]
    public void Timestamps_measure_true_time_though_the_frequency_is_odd() => SimLoop.Run(1, async loop =>
    {
        var clock = new SimClock(loop);
        var start = clock.GetTimestamp();
        await Task.Delay(TimeSpan.FromSeconds(90), clock);
        Assert.Equal(90, clock.GetElapsedTime(start).TotalSeconds, 4);
        Assert.NotEqual(TimeSpan.TicksPerSecond, clock.TimestampFrequency);
    });

    [Fact]
    public void Work_on_another_thread_fails_the_run_and_names_the_culprit()
    {
        var failure = Assert.Throws<SimFailedException>(() => SimLoop.Run(1, async loop =>
        {
            using var gate = new ManualResetEventSlim();
            loop.After(TimeSpan.FromSeconds(1), gate.Set); // Else it may be over before anyone awaits it.
            await Task.Run(gate.Wait);
        }));
        Assert.Contains("work left the loop", failure.Message, StringComparison.Ordinal);
        Assert.Contains("   at ", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ReadAllAsync_of_a_channel_is_caught_leaving_the_loop()
    {
        var failure = Assert.Throws<SimFailedException>(() => SimLoop.Run(1, async _ =>
        {
            var channel = Channel.CreateBounded<int>(1);
            var producer = ProduceAsync(channel.Writer, 100);
            await foreach (var item in channel.Reader.ReadAllAsync()) GC.KeepAlive(item);
            await producer;
        }));
        Assert.True(failure.Message.Contains("work left the loop"), failure.ToString());
    }

    [Fact]
    public void A_foreign_thread_may_not_read_the_clock()
    {
        var failure = Assert.Throws<SimFailedException>(() => SimLoop.Run(1, async loop =>
        {
            var clock = new SimClock(loop);
            await Task.Run(() => clock.GetUtcNow());
        }));
        Assert.Contains("work left the loop", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WhenAny_over_an_asynchronous_source_is_caught_and_Joining_is_the_cure()
    {
        var failure = Assert.Throws<SimFailedException>(() => SimLoop.Run(1, loop => Task.WhenAny(Later(loop), Never())));
        Assert.Contains("work left the loop", failure.Message, StringComparison.Ordinal);
        SimLoop.Run(1, async loop =>
        {
            var later = Later(loop);
            Assert.Same(later, await Joining.AnyAsync(Never(), later));
            await Later(loop).Joinable().WaitAsync(TimeSpan.FromSeconds(10), new SimClock(loop));
            Assert.Equal(TimeSpan.FromSeconds(2), loop.Now);
        });

        static Task Never() => new TaskCompletionSource().Task;
        static Task Later(SimLoop loop)
        {
            var later = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            loop.After(TimeSpan.FromSeconds(1), later.SetResult);
            return later.Task;
        }
    }

    [Fact]
    public void Waiting_for_ever_is_reported_not_hung()
    {
        var failure = Assert.Throws<SimFailedException>(
            () => SimLoop.Run(9, _ => new TaskCompletionSource().Task, new LoopLimits(EscapeGraceMs: 50)));
        Assert.Contains("waits for ever", failure.Message, StringComparison.Ordinal);
        Assert.Contains("seed 9", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Running_in_circles_hits_the_step_limit()
    {
        var failure = Assert.Throws<SimFailedException>(() => SimLoop.Run(1, async _ =>
        {
            while (true) await Task.Yield();
        }, new LoopLimits(StepsMax: 1000)));
        Assert.Contains("1000 steps", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_story_that_never_ends_hits_the_time_limit()
    {
        var failure = Assert.Throws<SimFailedException>(() => SimLoop.Run(1, async loop =>
        {
            while (true) await Task.Delay(TimeSpan.FromHours(1), new SimClock(loop));
        }));
        Assert.Contains("virtual time", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_failing_story_carries_its_seed_and_last_events()
    {
        var failure = Assert.Throws<SimFailedException>(() => SimLoop.Run(5, async loop =>
        {
            await Task.Yield();
            loop.Trace("story", "something odd");
            throw new InvalidDataException("as it was meant");
        }));
        Assert.Contains("seed 5", failure.Message, StringComparison.Ordinal);
        Assert.Contains("something odd", failure.Message, StringComparison.Ordinal);
        Assert.IsType<InvalidDataException>(failure.InnerException);
    }

    [Fact]
    public void A_killed_process_runs_no_finally_and_no_timer() => SimLoop.Run(1, async loop =>
    {
        var clock = new SimClock(loop);
        var (ticks, cleanedUp) = (0, false);
        var process = loop.NewContext("victim");
        _ = process.CallAsync(async () =>
        {
            try
            {
                while (true)
                {
                    await Task.Delay(TimeSpan.FromSeconds(1), clock);
                    ticks++;
                }
            }
            finally { cleanedUp = true; }
        });
        await Task.Delay(TimeSpan.FromSeconds(3.5), clock);
        process.Die();
        await Task.Delay(TimeSpan.FromSeconds(10), clock);
        Assert.Equal(3, ticks);
        Assert.False(cleanedUp);
    });

    [Fact]
    public void A_stalled_process_goes_on_where_it_was() => SimLoop.Run(1, async loop =>
    {
        var clock = new SimClock(loop);
        var process = loop.NewContext("slow");
        var wokenAt = TimeSpan.Zero;
        _ = process.CallAsync(async () =>
        {
            await Task.Delay(TimeSpan.FromSeconds(1), clock);
            wokenAt = loop.Now;
        });
        await Task.Yield();
        process.Stall();
        await Task.Delay(TimeSpan.FromSeconds(60), clock);
        Assert.Equal(TimeSpan.Zero, wokenAt);
        process.Continue();
        await Task.Delay(TimeSpan.FromSeconds(1), clock);
        Assert.Equal(TimeSpan.FromSeconds(60), wokenAt);
    });

    [Fact]
    public void A_call_across_processes_comes_back_on_the_callers_side() => SimLoop.Run(1, async loop =>
    {
        var (here, there) = (loop.NewContext("here"), loop.NewContext("there"));
        await here.CallAsync(async () =>
        {
            var name = await there.CallAsync(() => Task.FromResult(SimContext.Running!.Name));
            Assert.Equal("there", name);
            Assert.Same(here, SimContext.Running);
        });
    });

    private static async Task BusyStoryAsync(SimLoop loop)
    {
        var clock = new SimClock(loop);
        var channel = Channel.CreateBounded<int>(3);
        var producers = Enumerable.Range(0, 3).Select(_ => ProduceAsync(channel.Writer, 20, complete: false)).ToArray();
        var consumer = ConsumeAsync(channel.Reader, 60, clock);
        await Task.WhenAll(producers);
        await consumer;
    }

    private static async Task ConsumeAsync(ChannelReader<int> reader, int count, TimeProvider clock)
    {
        while (count > 0 && await reader.WaitToReadAsync())
        {
            while (reader.TryRead(out _)) count--;
            await Task.Delay(TimeSpan.FromMilliseconds(5), clock);
        }
    }

    private static async Task ProduceAsync(ChannelWriter<int> writer, int count, bool complete = true)
    {
        for (var item = 0; item < count; item++)
        {
            await Task.Yield();
            await writer.WriteAsync(item);
        }
        if (complete) writer.Complete();
    }

    private static async IAsyncEnumerable<int> CountAsync(TimeProvider clock, int count)
    {
        for (var item = 0; item < count; item++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(1), clock);
            yield return item;
        }
    }
}
