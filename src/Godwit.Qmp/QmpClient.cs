using System.Buffers;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Unicode;

namespace Godwit.Qmp;

/// <summary>
/// One QEMU's monitor over a duplex byte stream: greets, negotiates (with oob where offered), sends commands, matches
/// replies by id, hands out events. Owns the stream. Safe to use from several threads.
/// One loop reads; it calls subscribers itself, so STOP and RESUME reach them with no queue in between.
/// A peer that breaks the protocol ends the monitor: half-understood answers would be worse than none.
/// </summary>
public sealed class QmpClient : IAsyncDisposable
{
    /// <summary>QEMU's main loop may be busy for seconds around a switch-over, and the greeting comes from it.</summary>
    public static readonly TimeSpan GreetingDeadline = TimeSpan.FromSeconds(15);

    private const int CommandBytesMax = 1 << 20;
    private const int SubscribersMax = 64;
    private const int ReadsWithoutPauseMax = 16;

    private readonly Stream stream;
    private readonly TimeProvider time;
    private readonly Lock gate = new();
    private readonly CancellationTokenSource lifetime = new();
    private readonly TaskCompletionSource<string> closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly QmpOutbox outbox = new();
    private readonly QmpCall greeting = new(0, "greeting", oob: false, []);
    private volatile Subscription[] subscribers = [];
    private (string Class, string Reason)? end;
    private long lastId;
    private bool writing;
    private bool greeted;

    private QmpClient(Stream stream, TimeProvider time) => (this.stream, this.time) = (stream, time);

    /// <summary>
    /// Reads the greeting and negotiates; throws <see cref="QmpException"/> on a peer that is not QMP.
    /// Events before the first <see cref="Subscribe"/> are lost: subscribe, then query the state.
    /// </summary>
    public static async Task<QmpClient> ConnectAsync(Stream stream, TimeProvider time, CancellationToken cancel)
    {
        var client = new QmpClient(stream, time);
        _ = client.ReadAsync();
        try
        {
            await client.GreetAsync(cancel);
            return client;
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }
    }

    /// <summary>"7.2.22"; from the greeting.</summary>
    public string Version { get; private set; } = "";

    /// <summary>The distribution's words for its build ("Debian 1:7.2+dfsg-7"); often empty.</summary>
    public string Package { get; private set; } = "";

    /// <summary>True where commands can overtake a stuck main loop.</summary>
    public bool HasOob { get; private set; }

    /// <summary>Completes (never faults) when the monitor is gone: QEMU ended, or the peer broke the protocol.</summary>
    public Task<string> Closed => closed.Task;

    /// <summary>
    /// Sends a command and waits for its reply. Throws <see cref="QmpException"/> on an error reply, a closed monitor
    /// or a missed deadline. A missed deadline proves nothing about QEMU (the monitor shares its main loop).
    /// </summary>
    public Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments, TimeSpan deadline, CancellationToken cancel) =>
        ExecuteAsync(command, arguments, oob: false, deadline, cancel);

    /// <summary>
    /// The same, past QEMU's main loop and past our own queue, for the few commands that allow it (migrate-pause,
    /// yank, …).
    /// </summary>
    public Task<JsonElement> ExecuteOobAsync(
        string command, JsonObject? arguments, TimeSpan deadline, CancellationToken cancel)
    {
        if (!HasOob)
            throw new QmpException(QmpErrors.NoOob, $"QEMU {Version} takes no out-of-band commands on this monitor")
                { Command = command };
        return ExecuteAsync(command, arguments, oob: true, deadline, cancel);
    }

    /// <summary>Calls <paramref name="handler"/> on the reading loop for each event, in order, until disposed. Must not block.</summary>
    public IDisposable Subscribe(Action<QmpEvent> handler)
    {
        var subscription = new Subscription(this, handler);
        lock (gate)
        {
            if (subscribers.Length >= SubscribersMax)
                throw new InvalidOperationException($"a monitor serves at most {SubscribersMax} subscribers");
            subscribers = [.. subscribers, subscription]; // A new array: the reading loop walks the old one unlocked.
        }
        return subscription;
    }

    public ValueTask DisposeAsync()
    {
        Close(QmpErrors.Closed, "this side closed the monitor");
        return ValueTask.CompletedTask;
    }

    private async Task GreetAsync(CancellationToken cancel)
    {
        var hello = (await AnswerAsync(greeting, GreetingDeadline, cancel)).Object("QMP");
        var version = hello.Object("version");
        var numbers = version.Object("qemu");
        Version = $"{numbers.Number("major")}.{numbers.Number("minor")}.{numbers.Number("micro")}";
        Package = version.TextOrNull("package") ?? "";

        var offersOob = hello.Items("capabilities", c => c.AsText()).Contains("oob");
        var wish = offersOob ? new JsonObject { ["enable"] = new JsonArray("oob") } : null;
        await ExecuteAsync("qmp_capabilities", wish, oob: false, GreetingDeadline, cancel);
        HasOob = offersOob;
    }

    private Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments, bool oob, TimeSpan deadline, CancellationToken cancel)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(deadline, TimeSpan.Zero);
        if (cancel.IsCancellationRequested) return Task.FromCanceled<JsonElement>(cancel);

        var call = QmpCall.Create(Interlocked.Increment(ref lastId), command, oob, arguments);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(call.Bytes.Length, CommandBytesMax, nameof(arguments));
        lock (gate)
        {
            if (end is { } gone) return Task.FromException<JsonElement>(Gone(call, gone));
            if (outbox.IsFull) return Task.FromException<JsonElement>(Busy(call));
            outbox.Add(call);
        }
        var answer = AnswerAsync(call, deadline, cancel); // Its clock runs from before the sending.
        Pump();
        return answer;
    }

    /// <summary>
    /// Own timer and registration instead of <c>Task.WaitAsync</c>: that one continues on the thread pool behind an
    /// asynchronous completion source, which would leave a simulator's loop.
    /// </summary>
    private async Task<JsonElement> AnswerAsync(QmpCall call, TimeSpan deadline, CancellationToken cancel)
    {
        using var timer = time.CreateTimer(
            _ => call.Reply.TrySetException(MissedDeadline(call, deadline, wasSent: GiveUp(call))),
            null, deadline, Timeout.InfiniteTimeSpan);
        using var cancelled = cancel.UnsafeRegister(
            _ =>
            {
                GiveUp(call);
                call.Reply.TrySetCanceled(cancel);
            },
            null);
        return await call.Reply.Task;
    }

    /// <summary>True where it was sent already and QEMU may still act on it.</summary>
    private bool GiveUp(QmpCall call)
    {
        lock (gate)
        {
            outbox.GiveUp(call);
            return call.Sent;
        }
    }

    private void Pump()
    {
        QmpCall? next;
        lock (gate)
        {
            if (writing || end is not null) return;
            next = outbox.TakeNext();
            writing = next is not null;
        }
        if (next is not null) _ = WriteAsync(next);
    }

    /// <summary>One writer at a time; ends when nothing may be written. Whoever adds or frees a slot starts it again.</summary>
    private async Task WriteAsync(QmpCall first)
    {
        try
        {
            for (QmpCall? call = first; call is not null; call = NextToWrite())
            {
                await stream.WriteAsync(call.Bytes, lifetime.Token);
                await stream.FlushAsync(lifetime.Token);
            }
        }
        catch (Exception e) // Reported through Closed and to every waiting caller.
        {
            Close(QmpErrors.Closed, $"writing to the monitor failed: {e.Message}");
        }
    }

    private QmpCall? NextToWrite()
    {
        lock (gate)
        {
            var next = end is null ? outbox.TakeNext() : null;
            writing = next is not null;
            return next;
        }
    }

    private async Task ReadAsync()
    {
        var framer = new QmpFramer();
        var buffer = new byte[64 << 10];
        try
        {
            for (var readsWithoutPause = 0; !lifetime.IsCancellationRequested;)
            {
                var reading = stream.ReadAsync(buffer, lifetime.Token);
                readsWithoutPause = reading.IsCompleted ? readsWithoutPause + 1 : 0;
                var count = await reading;
                if (count == 0)
                {
                    Close(QmpErrors.Closed, framer.InMessage
                        ? "the monitor ended in the middle of a message"
                        : "QEMU closed the monitor");
                    return;
                }

                TakeMessages(framer, buffer.AsSpan(0, count));
                if (readsWithoutPause < ReadsWithoutPauseMax) continue;
                readsWithoutPause = 0;
                await Task.Yield(); // A flood that never lets a read wait must not starve callers of this thread.
            }
        }
        catch (QmpException e)
        {
            Close(e.ErrorClass, e.Message);
        }
        catch (Exception e) // Reported through Closed and to every waiting caller.
        {
            Close(QmpErrors.Closed, $"reading from the monitor failed: {e.Message}");
        }
    }

    private void TakeMessages(QmpFramer framer, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0 && !lifetime.IsCancellationRequested)
        {
            var status = framer.Read(bytes, out var consumed, out var message);
            if (status == OperationStatus.InvalidData) throw Broken(framer.Fault);
            if (status == OperationStatus.Done) Take(Parse(message));
            bytes = bytes[consumed..];
        }
    }

    private void Take(JsonElement message)
    {
        if (!greeted)
        {
            if (!message.TryGetProperty("QMP", out _)) throw Broken("it does not begin with a QMP greeting");
            greeted = true;
            greeting.Reply.TrySetResult(message);
        }
        else if (message.TryGetProperty("event", out _)) Publish(QmpEvent.Read(message));
        else Settle(message);
    }

    private void Publish(QmpEvent happened)
    {
        foreach (var subscriber in subscribers)
        {
            try
            {
                subscriber.Handler?.Invoke(happened);
            }
            catch (Exception e) // A deaf subscriber would believe it sees every STOP and RESUME: end the monitor instead.
            {
                throw new QmpException(QmpErrors.Closed, $"a subscriber failed on {happened.Name}: {e.Message}", e);
            }
        }
    }

    private void Settle(JsonElement message)
    {
        var isReturn = message.TryGetProperty("return", out var answer);
        var isError = message.TryGetProperty("error", out var error);
        if (isReturn == isError) throw Broken("a message is neither greeting, event, return nor error");
        if (!message.TryGetProperty("id", out var id) || id.ValueKind != JsonValueKind.Number || !id.TryGetInt64(out var number))
            throw Broken(isError ? $"QEMU could not read a command: {error.TextOrNull("desc")}" : "a reply has no id of ours");

        QmpCall? call;
        lock (gate) call = outbox.Answer(number);
        if (call is null) throw Broken($"a reply has the id {number}, which no waiting command has");

        if (isReturn) call.Reply.TrySetResult(answer);
        else
        {
            var refusal = RefusedOrMisshapen(call, error);
            call.Reply.TrySetException(refusal);
            if (refusal.ErrorClass == QmpErrors.Protocol) throw refusal;
        }
        Pump();
    }

    private void Close(string errorClass, string reason)
    {
        IReadOnlyList<QmpCall> waiting;
        lock (gate)
        {
            if (end is not null) return;
            end = (errorClass, reason);
            waiting = outbox.TakeAll();
        }

        greeting.Reply.TrySetException(Gone(greeting, (errorClass, reason)));
        foreach (var call in waiting) call.Reply.TrySetException(Gone(call, (errorClass, reason)));
        closed.TrySetResult(reason);
        lifetime.Cancel();
        stream.Dispose();
    }

    private static JsonElement Parse(ReadOnlySpan<byte> message)
    {
        if (!Utf8.IsValid(message)) throw Broken("a message is not UTF-8"); // The parser would accept it and throw later.
        var strict = new JsonDocumentOptions { MaxDepth = QmpFramer.DepthMax, AllowDuplicateProperties = false };
        try
        {
            return JsonElement.Parse(message, strict);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new QmpException(QmpErrors.Protocol, $"the peer broke the protocol: not JSON: {e.Message}", e);
        }
    }

    private static QmpException Broken(string how) => new(QmpErrors.Protocol, $"the peer broke the protocol: {how}");

    /// <summary>The call is out of the outbox already: whatever its error looks like, it must be answered here.</summary>
    private static QmpException RefusedOrMisshapen(QmpCall call, JsonElement error)
    {
        try { return Refused(call, error); }
        catch (QmpException misshapen) { return misshapen; }
    }

    private static QmpException Refused(QmpCall call, JsonElement error)
    {
        var words = error.Text("desc");
        return new QmpException(error.Text("class"), $"QEMU refused '{call.Command}': {words}")
            { Command = call.Command, QemuWords = words };
    }

    private static QmpException Gone(QmpCall call, (string Class, string Reason) gone) =>
        new(gone.Class, $"No answer to '{call.Command}': {gone.Reason}") { Command = call.Command };

    private static QmpException Busy(QmpCall call) =>
        new(QmpErrors.Busy, $"'{call.Command}' was not sent: {QmpOutbox.OutstandingMax} commands wait for QEMU's answers")
            { Command = call.Command };

    private static QmpException MissedDeadline(QmpCall call, TimeSpan deadline, bool wasSent)
    {
        var state = call.Id == 0 ? "is this a QMP socket?" : wasSent ? "QEMU may still act on it" : "it was not sent";
        return new QmpException(
            QmpErrors.Deadline, $"No answer to '{call.Command}' within {deadline.TotalSeconds:0.###} s; {state}")
            { Command = call.Command };
    }

    private sealed class Subscription(QmpClient client, Action<QmpEvent> handler) : IDisposable
    {
        public Action<QmpEvent>? Handler { get; private set; } = handler;

        public void Dispose()
        {
            Handler = null; // Also for a walk over the old array that is under way.
            lock (client.gate) client.subscribers = [.. client.subscribers.Where(s => s != this)];
        }
    }
}
