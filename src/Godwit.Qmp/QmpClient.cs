using System.Text.Json;
using System.Text.Json.Nodes;

namespace Godwit.Qmp;

/// <summary>
/// One QEMU's monitor over a duplex byte stream: greets, negotiates (with oob where offered), sends commands, matches
/// replies by id, hands out events. Owns the stream.
/// </summary>
public sealed class QmpClient : IAsyncDisposable
{
    /// <summary>Reads the greeting and negotiates; throws <see cref="QmpException"/> on a peer that is not QMP.</summary>
    public static Task<QmpClient> ConnectAsync(Stream stream, TimeProvider time, CancellationToken cancel) =>
        throw new NotSupportedException("skeleton: the transport lands next");

    /// <summary>"7.2.22"; from the greeting.</summary>
    public string Version { get; } = "";

    /// <summary>Completes (never faults) when the monitor is gone: QEMU ended, or the peer broke the protocol.</summary>
    public Task<string> Closed { get; } = Task.FromResult("");

    /// <summary>
    /// Sends a command and waits for its reply. Throws <see cref="QmpException"/> on an error reply, a closed monitor
    /// or a missed deadline. A missed deadline proves nothing about QEMU (the monitor shares its main loop).
    /// </summary>
    public Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments, TimeSpan deadline, CancellationToken cancel) =>
        throw new NotSupportedException("skeleton: the transport lands next");

    /// <summary>Calls <paramref name="handler"/> on the reading loop for each event, in order, until disposed. Must not block.</summary>
    public IDisposable Subscribe(Action<QmpEvent> handler) =>
        throw new NotSupportedException("skeleton: the transport lands next");

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <param name="TimestampMicros">QEMU's own clock at the event: microseconds since 1970.</param>
public sealed record QmpEvent(string Name, JsonElement Data, long TimestampMicros);

/// <param name="errorClass">QEMU's error class, or "Closed", "Deadline", "Protocol" for our own.</param>
public sealed class QmpException(string errorClass, string description, Exception? inner = null)
    : Exception(description, inner)
{
    public string ErrorClass { get; } = errorClass;
}
