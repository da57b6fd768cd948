using Godwit.Qmp;
using Xunit;

namespace Godwit.Tests.Qmp;

/// <summary>On one thread: a client that waits for ever, or leaves its thread, is a failed test and no hang.</summary>
public sealed class QmpClientTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public void Greeting_gives_the_version_and_oob_is_enabled_where_offered() => OneThread.Run(async () =>
    {
        var monitor = new ScriptedMonitor();
        var connecting = QmpClient.ConnectAsync(monitor.Ours, monitor.Time, CancellationToken.None);
        await monitor.SayAsync(ScriptedMonitor.Greeting);
        var negotiation = await monitor.AnswerNextAsync("{}");
        await using var client = await connecting;

        Assert.Equal("qmp_capabilities", ScriptedMonitor.Name(negotiation));
        Assert.Equal("""{"enable":["oob"]}""", negotiation.GetProperty("arguments").GetRawText());
        Assert.Equal(("7.2.22", "test", true), (client.Version, client.Package, client.HasOob));
    });

    [Fact]
    public void A_monitor_without_oob_is_used_without_it_and_oob_commands_are_not_sent() => OneThread.Run(async () =>
    {
        var monitor = new ScriptedMonitor();
        var connecting = QmpClient.ConnectAsync(monitor.Ours, monitor.Time, CancellationToken.None);
        await monitor.SayAsync("""{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 5}}, "capabilities": []}}""");
        Assert.False((await monitor.AnswerNextAsync("{}")).TryGetProperty("arguments", out _));
        await using var client = await connecting;

        var refused = await Assert.ThrowsAsync<QmpException>(() => client.YankMigrationAsync(Deadline, default));
        Assert.Equal(QmpErrors.NoOob, refused.ErrorClass);
    });

    [Fact]
    public void Replies_find_their_commands_in_whatever_order_they_come() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var first = client.ExecuteAsync("one", null, Deadline, default);
        var second = client.ExecuteAsync("two", null, Deadline, default);
        var (one, two) = (await monitor.HearAsync(), await monitor.HearAsync());
        await monitor.SayAsync($$"""{"return": 2, "id": {{ScriptedMonitor.Id(two)}}}""");
        await monitor.SayAsync($$"""{"return": 1, "id": {{ScriptedMonitor.Id(one)}}}""");

        Assert.Equal((1, 2), ((await first).GetInt32(), (await second).GetInt32()));
    });

    [Fact]
    public void An_error_reply_carries_class_command_and_QEMUs_words() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var running = client.ContAsync(Deadline, default);
        var id = ScriptedMonitor.Id(await monitor.HearAsync());
        await monitor.SayAsync($$$"""{"error": {"class": "GenericError", "desc": "Failed to get lock"}, "id": {{{id}}}}""");

        var refused = await Assert.ThrowsAsync<QmpException>(() => running);
        Assert.Equal(("GenericError", "cont", "Failed to get lock"), (refused.ErrorClass, refused.Command, refused.QemuWords));
        Assert.Equal("QEMU refused 'cont': Failed to get lock", refused.Message);
        Assert.False(client.Closed.IsCompleted);
    });

    [Fact]
    public void Events_reach_subscribers_in_order_before_the_reply_behind_them_is_seen() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var seen = new List<QmpEvent>();
        using var subscription = client.Subscribe(seen.Add);
        var running = client.ContAsync(Deadline, default);
        var id = ScriptedMonitor.Id(await monitor.HearAsync());
        await monitor.SayAsync($$$"""
            {"event": "STOP", "timestamp": {"seconds": 1700000000, "microseconds": 42}}
            {"event": "MIGRATION", "data": {"status": "quiesced-by-moonlight"}, "timestamp": {"seconds": -1, "microseconds": -1}}
            {"return": {}, "id": {{{id}}}}
            """);
        await running;

        Assert.Equal(["STOP", "MIGRATION"], seen.Select(e => e.Name));
        Assert.Equal([1_700_000_000_000_042, -1], seen.Select(e => e.TimestampMicros));
        Assert.Equal("quiesced-by-moonlight", seen[1].MigrationStatus());
        Assert.Null(seen[0].MigrationStatus());
    });

    [Fact]
    public void A_disposed_subscription_hears_nothing_more() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var seen = 0;
        var subscription = client.Subscribe(_ => seen++);
        await monitor.SayAsync("""{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 0}}""");
        await RoundTripAsync(monitor, client);
        subscription.Dispose();
        await monitor.SayAsync("""{"event": "STOP", "timestamp": {"seconds": 2, "microseconds": 0}}""");
        await RoundTripAsync(monitor, client);

        Assert.Equal(1, seen);
    });

    [Fact]
    public void At_most_7_commands_are_written_ahead_and_an_oob_command_overtakes_the_rest() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var ordinary = Enumerable.Range(0, 10).Select(i => client.ExecuteAsync($"c{i}", null, Deadline, default)).ToList();
        var oob = client.ExecuteOobAsync("migrate-pause", null, Deadline, default);
        var heard = new List<System.Text.Json.JsonElement>();
        for (var i = 0; i < 8; i++) heard.Add(await monitor.HearAsync());

        Assert.Equal(["c0", "c1", "c2", "c3", "c4", "c5", "c6", "migrate-pause"], heard.Select(ScriptedMonitor.Name));
        Assert.True(heard[7].TryGetProperty("exec-oob", out _));

        foreach (var command in heard) await monitor.SayAsync($$"""{"return": {}, "id": {{ScriptedMonitor.Id(command)}}}""");
        for (var i = 7; i < 10; i++) Assert.Equal($"c{i}", ScriptedMonitor.Name(await monitor.AnswerNextAsync("{}")));
        await Task.WhenAll([.. ordinary, oob]);
    });

    [Fact]
    public void A_reply_to_a_command_that_was_not_sent_yet_ends_the_monitor() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var commands = Enumerable.Range(0, 8).Select(_ => client.StopAsync(Deadline, default)).ToList();
        long last = 0;
        for (var i = 0; i < 7; i++) last = ScriptedMonitor.Id(await monitor.HearAsync());
        await monitor.SayAsync($$"""{"return": {}, "id": {{last + 1}}}""");

        Assert.Contains("which no waiting command has", await client.Closed, StringComparison.Ordinal);
        foreach (var command in commands) await Assert.ThrowsAsync<QmpException>(() => command);
    });

    [Fact]
    public void A_command_given_up_before_it_was_written_never_reaches_QEMU() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var stuck = Enumerable.Range(0, 7).Select(i => client.ExecuteAsync($"c{i}", null, Deadline, default)).ToList();
        using var cancel = new CancellationTokenSource();
        var waiting = client.ContAsync(Deadline, cancel.Token);
        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);

        for (var i = 0; i < 7; i++) await monitor.AnswerNextAsync("{}");
        await Task.WhenAll(stuck);
        var after = client.StopAsync(Deadline, default);
        Assert.Equal("stop", ScriptedMonitor.Name(await monitor.AnswerNextAsync("{}")));
        await after;
    });

    [Fact]
    public void Devices_behind_bridges_are_listed_too() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var asking = client.QueryPciAsync(Deadline, default);
        const string facts =
            """
            "id": {"vendor": 1, "device": 2}, "class_info": {"class": 3}, "slot": 0, "function": 0
            """;
        await monitor.AnswerNextAsync(
            """
            [{"bus": 0, "devices": [{FACTS, "bus": 0, "qdev_id": "port", "pci_bridge": {"bus": {"number": 1},
              "devices": [{FACTS, "bus": 1, "qdev_id": "behind"}]}}]}]
            """.Replace("FACTS", facts, StringComparison.Ordinal));
        Assert.Equal(["port", "behind"], (await asking).Select(d => d.QdevId));
    });

    [Fact]
    public void Disposing_fails_what_waits_and_closes_the_stream() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var waiting = client.StopAsync(Deadline, default);
        await monitor.HearAsync();
        await client.DisposeAsync();

        Assert.Equal(QmpErrors.Closed, (await Assert.ThrowsAsync<QmpException>(() => waiting)).ErrorClass);
        Assert.Null(await monitor.HearOrEndAsync());
        Assert.Equal("this side closed the monitor", await client.Closed);
        await Assert.ThrowsAsync<QmpException>(() => client.StopAsync(Deadline, default));
    });

    [Fact]
    public void A_whole_talk_stays_on_one_thread() => OneThread.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        var home = Environment.CurrentManagedThreadId;
        using var subscription = client.Subscribe(_ => Assert.Equal(home, Environment.CurrentManagedThreadId));
        await monitor.SayAsync("""{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 0}}""");
        await RoundTripAsync(monitor, client);

        var silent = client.StopAsync(Deadline, default);
        await monitor.HearAsync();
        monitor.Time.Advance(Deadline);
        Assert.Equal(QmpErrors.Deadline, (await Assert.ThrowsAsync<QmpException>(() => silent)).ErrorClass);
        monitor.HangUp();
        await client.Closed;
        Assert.Equal(home, Environment.CurrentManagedThreadId);
    });

    /// <summary>On the thread pool with no context, where a continuation could run inside the reading loop.</summary>
    [Fact]
    public Task A_caller_that_blocks_after_its_reply_does_not_hold_up_events() => Task.Run(async () =>
    {
        var (monitor, client) = await ScriptedMonitor.ConnectedAsync();
        using var seen = new ManualResetEventSlim();
        using var subscription = client.Subscribe(_ => seen.Set());
        var caller = WaitForEventAfterReplyAsync();
        var id = ScriptedMonitor.Id(await monitor.HearAsync());
        await monitor.SayAsync($$$"""
            {"return": {}, "id": {{{id}}}}
            {"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 0}}
            """);
        Assert.True(await caller, "the reading loop ran its caller's code");

        async Task<bool> WaitForEventAfterReplyAsync()
        {
            await client.ContAsync(Deadline, default);
            return seen.Wait(TimeSpan.FromSeconds(10));
        }
    });

    private static async Task RoundTripAsync(ScriptedMonitor monitor, QmpClient client)
    {
        var running = client.ExecuteAsync("query-name", null, Deadline, default);
        await monitor.AnswerNextAsync("{}");
        await running;
    }
}
