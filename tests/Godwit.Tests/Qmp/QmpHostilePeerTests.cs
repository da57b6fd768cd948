using System.Text;
using CsCheck;
using Godwit.Qmp;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Qmp;

/// <summary>A broken or hostile QEMU gives errors: never a hang, never memory without limit.</summary>
public sealed class QmpHostilePeerTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("SSH-2.0-OpenSSH_9.2")]
    [InlineData("{\"hello\": 1}")]
    [InlineData("{\"QMP\": 5}")]
    [InlineData("{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"seven\"}}, \"capabilities\": []}}")]
    [InlineData("{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 0}}")]
    [InlineData("{,}")]
    public void A_peer_that_does_not_greet_as_QMP_gives_an_error(string greeting) => OneThread.Run(async () =>
    {
        var monitor = new ScriptedMonitor();
        var connecting = QmpClient.ConnectAsync(monitor.Ours, monitor.Time, default);
        await monitor.SayAsync(greeting);

        Assert.Equal(QmpErrors.Protocol, (await Assert.ThrowsAsync<QmpException>(() => connecting)).ErrorClass);
        Assert.Null(await monitor.HearOrEndAsync());
    });

    [Fact]
    public void A_peer_silent_from_the_start_gives_an_error_after_the_greeting_deadline() => OneThread.Run(async () =>
    {
        var monitor = new ScriptedMonitor();
        var connecting = QmpClient.ConnectAsync(monitor.Ours, monitor.Time, default);
        monitor.Time.Advance(QmpClient.GreetingDeadline - TimeSpan.FromMilliseconds(1));
        Assert.False(connecting.IsCompleted);
        monitor.Time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.Equal(QmpErrors.Deadline, (await Assert.ThrowsAsync<QmpException>(() => connecting)).ErrorClass);
    });

    [Fact]
    public void A_peer_silent_in_negotiation_gives_an_error() => OneThread.Run(async () =>
    {
        var monitor = new ScriptedMonitor();
        var connecting = QmpClient.ConnectAsync(monitor.Ours, monitor.Time, default);
        await monitor.SayAsync(ScriptedMonitor.Greeting);
        await monitor.HearAsync();
        monitor.Time.Advance(QmpClient.GreetingDeadline);

        Assert.Equal("qmp_capabilities", (await Assert.ThrowsAsync<QmpException>(() => connecting)).Command);
    });

    [Fact]
    public void A_late_reply_is_no_surprise_and_the_monitor_goes_on() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var late = client.ContAsync(Deadline, default);
        var id = ScriptedMonitor.Id(await monitor.HearAsync());
        monitor.Time.Advance(Deadline);
        var missed = await Assert.ThrowsAsync<QmpException>(() => late);
        Assert.Equal("No answer to 'cont' within 30 s; QEMU may still act on it", missed.Message);

        await monitor.SayAsync($$"""{"return": {}, "id": {{id}}}""");
        var next = client.QueryStatusAsync(Deadline, default);
        await monitor.AnswerNextAsync("""{"status": "running", "running": true}""");
        Assert.Equal(new QmpRunState("running", true), await next);
    });

    [Fact]
    public void The_65th_unanswered_command_is_refused_also_when_the_others_missed_their_deadlines() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var stuck = Enumerable.Range(0, 64)
            .Select(_ => client.ExecuteOobAsync("x", null, Deadline, default)).ToList();
        for (var i = 0; i < 64; i++) await monitor.HearAsync();
        monitor.Time.Advance(Deadline);
        foreach (var one in stuck) await Assert.ThrowsAsync<QmpException>(() => one);

        var refused = await Assert.ThrowsAsync<QmpException>(() => client.StopAsync(Deadline, default));
        Assert.Equal(QmpErrors.Busy, refused.ErrorClass);
    });

    [Fact]
    public void Callers_that_come_and_give_up_while_QEMU_hangs_leave_nothing_behind() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var stuck = Enumerable.Range(0, 7).Select(_ => client.ExecuteAsync("x", null, Deadline, default)).ToList();
        for (var i = 0; i < 1000; i++)
        {
            using var cancel = new CancellationTokenSource();
            var waiting = client.ExecuteAsync("y", null, Deadline, cancel.Token);
            cancel.Cancel();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        }

        for (var i = 0; i < 7; i++) Assert.Equal("x", ScriptedMonitor.Name(await monitor.AnswerNextAsync("{}")));
        await Task.WhenAll(stuck);
        var last = client.StopAsync(Deadline, default);
        Assert.Equal("stop", ScriptedMonitor.Name(await monitor.AnswerNextAsync("{}")));
        await last;
    });

    [Theory]
    [InlineData("garbage")]
    [InlineData("{\"return\": {}, \"id\": 999}")]
    [InlineData("{\"return\": {}, \"id\": \"ID\"}")]
    [InlineData("{\"return\": {}, \"id\": 1}")] // Answered already, in negotiation.
    [InlineData("{\"return\": {}}")]
    [InlineData("{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}")]
    [InlineData("{\"return\": {}, \"error\": {\"class\": \"a\", \"desc\": \"b\"}, \"id\": ID}")]
    [InlineData("{\"id\": ID}")]
    [InlineData("{\"return\": {}, \"id\": ID, \"id\": ID}")]
    [InlineData("{\"return\": {\"status\": \"running\", \"status\": \"paused\"}, \"id\": ID}")]
    [InlineData("{\"return\": {}, \"id\": ID")]
    [InlineData("{\"event\": \"STOP\"}")]
    [InlineData("{\"event\": 7, \"timestamp\": {\"seconds\": 1, \"microseconds\": 0}}")]
    [InlineData("{\"event\": \"STOP\", \"data\": [], \"timestamp\": {\"seconds\": 1, \"microseconds\": 0}}")]
    [InlineData("{\"event\": \"\\ud800\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 0}}")]
    [InlineData("{\"\\ud800\": 1, \"id\": ID}")]
    public void A_message_that_makes_no_sense_ends_the_monitor_and_fails_who_waits(string message) => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var waiting = client.ContAsync(Deadline, default);
        var id = ScriptedMonitor.Id(await monitor.HearAsync());
        await monitor.SayAsync(message.Replace("ID", $"{id}", StringComparison.Ordinal));
        monitor.HangUp();

        var failure = await Assert.ThrowsAsync<QmpException>(() => waiting);
        Assert.NotEqual(QmpErrors.Deadline, failure.ErrorClass);
        Assert.NotEqual("", await client.Closed);
        Assert.Null(await monitor.HearOrEndAsync());
    });

    [Fact]
    public void An_answer_of_the_wrong_shape_fails_its_command_only() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var asking = client.QueryStatusAsync(Deadline, default);
        await monitor.AnswerNextAsync("""{"status": ["running"]}""");

        var misshapen = await Assert.ThrowsAsync<QmpException>(() => asking);
        Assert.Equal("""'status' should be text in: {"status": ["running"]}""", misshapen.Message);
        Assert.False(client.Closed.IsCompleted);
    });

    [Fact]
    public void Half_a_message_and_then_the_end_is_told_as_such() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        await monitor.SayAsync("""{"event": "ST""");
        monitor.HangUp();
        Assert.Equal("the monitor ended in the middle of a message", await client.Closed);
    });

    [Fact]
    public void A_line_without_end_ends_the_monitor_at_the_limit() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        await monitor.SayAsync("{\"a\": \"");
        var line = Encoding.ASCII.GetBytes(new string('x', 1 << 20));
        for (var i = 0; i < 8; i++) await monitor.SayAsync(line);
        Assert.Contains("longer than 8388608 bytes", await client.Closed, StringComparison.Ordinal);
    });

    [Fact]
    public void Deep_nesting_ends_the_monitor() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        await monitor.SayAsync("{\"return\": " + new string('[', 100_000));
        Assert.Contains("nested deeper than 64", await client.Closed, StringComparison.Ordinal);
    });

    [Fact]
    public void A_flood_of_events_that_never_pauses_starves_nobody() => OneThread.Run(async () =>
    {
        var time = new FakeTimeProvider();
        var flood = new FloodStream();
        await using var client = await QmpClient.ConnectAsync(flood, time, default);
        var seen = 0;
        using var subscription = client.Subscribe(_ => seen++);
        var unanswered = client.StopAsync(Deadline, default);
        for (var i = 0; i < 50; i++) await Task.Yield();
        Assert.False(unanswered.IsCompleted);
        time.Advance(Deadline);

        Assert.Equal(QmpErrors.Deadline, (await Assert.ThrowsAsync<QmpException>(() => unanswered)).ErrorClass);
        Assert.True(seen > 50);
    });

    [Fact]
    public void A_failing_subscriber_ends_the_monitor_instead_of_going_deaf() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        using var subscription = client.Subscribe(_ => throw new InvalidOperationException("ouch"));
        await monitor.SayAsync("""{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 0}}""");
        Assert.Equal("a subscriber failed on STOP: ouch", await client.Closed);
    });

    [Fact]
    public void Writing_to_a_dead_peer_is_an_error() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        monitor.Ours.Dispose();
        var failure = await Assert.ThrowsAsync<QmpException>(() => client.StopAsync(Deadline, default));
        Assert.Equal(QmpErrors.Closed, failure.ErrorClass);
        Assert.Contains("writing to the monitor failed", await client.Closed, StringComparison.Ordinal);
    });

    [Fact]
    public void Random_damage_to_a_good_talk_never_hangs_the_client() =>
        Gen.Select(Gen.Int[0, 2], Gen.Double[0, 1], Gen.Byte, Gen.Int[1, 50]).Sample((step, where, value, cut) =>
            OneThread.Run(async () =>
            {
                byte[][] talk =
                [
                    Encoding.UTF8.GetBytes(ScriptedMonitor.Greeting + "\n"),
                    Encoding.UTF8.GetBytes("""{"return": {}, "id": 1}"""),
                    Encoding.UTF8.GetBytes("""
                        {"timestamp": {"seconds": 1795375133, "microseconds": 167778}, "event": "STOP"}
                        {"return": {"status": "paused", "singlestep": false, "running": false}, "id": 2}
                        """),
                ];
                talk[step][(int)(where * (talk[step].Length - 1))] = value;
                var monitor = new ScriptedMonitor();
                var connecting = QmpClient.ConnectAsync(monitor.Ours, monitor.Time, default);
                var playing = PlayAsync(monitor, talk, cut);
                try
                {
                    await using var client = await connecting;
                    using var subscription = client.Subscribe(e => e.MigrationStatus());
                    var state = await client.QueryStatusAsync(Deadline, default);
                    Assert.NotEqual("", state.Status);
                }
                catch (QmpException e) // Any answer but a hang is right; the deadline cannot be it, the clock stands.
                {
                    Assert.NotEqual(QmpErrors.Deadline, e.ErrorClass);
                }
                await playing;
            }), iter: 1500);

    /// <summary>Says one step in pieces, waits for the next command, and hangs up where none comes.</summary>
    private static async Task PlayAsync(ScriptedMonitor monitor, byte[][] talk, int cut)
    {
        foreach (var said in talk)
        {
            for (var from = 0; from < said.Length; from += cut)
                await monitor.SayAsync(said[from..Math.Min(said.Length, from + cut)]);
            var heard = monitor.HearOrEndAsync();
            for (var turn = 0; turn < 100 && !heard.IsCompleted; turn++) await Task.Yield();
            if (!heard.IsCompleted || await heard is null) break;
        }
        monitor.HangUp();
    }

    /// <summary>Greets, answers the negotiation, then events for ever; reads never wait.</summary>
    private sealed class FloodStream : Stream
    {
        private readonly byte[] events = Encoding.UTF8.GetBytes(
            """{"event": "NIC_RX_FILTER_CHANGED", "timestamp": {"seconds": 1, "microseconds": 0}} """);
        private readonly Queue<byte[]> first = new([
            Encoding.UTF8.GetBytes(ScriptedMonitor.Greeting)]);

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var bytes = first.TryDequeue(out var next) ? next : events;
            bytes.CopyTo(buffer);
            return ValueTask.FromResult(bytes.Length);
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (Encoding.UTF8.GetString(buffer.Span).Contains("qmp_capabilities", StringComparison.Ordinal))
                first.Enqueue("""{"return": {}, "id": 1}"""u8.ToArray());
            return ValueTask.CompletedTask;
        }

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;
        public override bool CanRead => true;
        public override bool CanWrite => true;
        public override bool CanSeek => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override void Flush() { }
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
