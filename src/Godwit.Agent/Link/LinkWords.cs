using Godwit.Core;

namespace Godwit.Agent.Link;

/// <summary>Length and content of the migration stream as one end saw it, whatever the frames were.</summary>
/// <param name="Digest">XxHash128: TLS authenticates the bytes, this guards our own code.</param>
public readonly record struct StreamSummary(long Length, UInt128 Digest);

/// <summary>The right to run the VM. Once its first byte is written, the source never runs <c>cont</c> by itself.</summary>
/// <param name="Epoch">The epoch the target will own the VM with.</param>
/// <param name="StopTimestampMicros">Source QEMU's STOP event, µs since 1970 by the source's clock; 0 where not running.</param>
public sealed record Token(Epoch Epoch, long Length, UInt128 Digest, long StopTimestampMicros);

/// <summary>How the target answered, seen by the source. The task that holds it never faults.</summary>
public abstract record LinkAnswer
{
    private LinkAnswer() { }

    /// <param name="ResumeTimestampMicros">Target QEMU's RESUME event, µs since 1970 by the target's clock.</param>
    /// <param name="TokenTimestampMicros">When the token had arrived, by the same clock; 0 from an agent that does not tell.</param>
    /// <param name="LoadedTimestampMicros">Target QEMU's "completed"; as the token's.</param>
    public sealed record Running(
        Epoch Epoch, long ResumeTimestampMicros, long TokenTimestampMicros = 0, long LoadedTimestampMicros = 0) : LinkAnswer;
    /// <summary>A rehearsal's target had the guest loaded, never ran it, and is gone. Times as <see cref="Running"/>'s.</summary>
    public sealed record Loaded(long EndTimestampMicros, long LoadedTimestampMicros) : LinkAnswer;
    /// <summary>The target journaled a tombstone for this epoch: it never ran and never will.</summary>
    public sealed record Aborted(Epoch Epoch, string Reason) : LinkAnswer;
    /// <summary>Of the memory a lazy move left behind: the target has all of it, or never will want any.</summary>
    public sealed record AllHere : LinkAnswer;
    /// <summary>No answer will come this way. Proves nothing about the target.</summary>
    public sealed record Closed(string Reason) : LinkAnswer;
}

/// <summary>How the stream ended, seen by the target.</summary>
public abstract record LinkEnd
{
    private LinkEnd() { }

    /// <param name="Seen">What was handed to target QEMU, counted here.</param>
    public sealed record TokenReceived(Token Token, StreamSummary Seen) : LinkEnd
    {
        public bool Matches => Token.Length == Seen.Length && Token.Digest == Seen.Digest;
    }

    /// <summary>A rehearsal's stream is whole, and no token will come.</summary>
    public sealed record Rehearsed(StreamSummary Sent, StreamSummary Seen) : LinkEnd;

    /// <summary>The source says that no token will come.</summary>
    public sealed record Aborted(string Reason) : LinkEnd;
    /// <summary>The link broke before a token came; one that was sent may be lost on the way.</summary>
    public sealed record Closed(string Reason) : LinkEnd;
    /// <summary>Target QEMU closed its end or broke. The link itself still works: <c>SendAnswerAsync</c> tells the source.</summary>
    public sealed record QemuGone(string Reason) : LinkEnd;
}

/// <summary>The source's view of the link at one moment.</summary>
public readonly record struct LinkStats
{
    /// <summary>Payload bytes of data frames: the migration stream as it crosses, packed or plain.</summary>
    public required long SentBytes { get; init; }
    /// <summary>Of them what target QEMU's socket took.</summary>
    public required long AckedBytes { get; init; }
    public long BacklogBytes => SentBytes - AckedBytes;
    /// <summary>What the path delivers when there is enough to send, bytes/s; 0 until measured.</summary>
    public required long DeliveryBytesPerSecond { get; init; }
    /// <summary>The same in bytes of the stream: what was packed lately counts as what it holds.</summary>
    public required long StreamBytesPerSecond { get; init; }
    /// <summary>Last round trip, including what waits on the way.</summary>
    public required TimeSpan RoundTrip { get; init; }
    public required TimeSpan RoundTripMin { get; init; }
    /// <summary>Bytes allowed to wait between the two QEMUs now.</summary>
    public required long WindowBytes { get; init; }
    /// <summary><see cref="TimeProvider.GetTimestamp"/> when the target last took bytes (or the pump began).</summary>
    public required long LastProgress { get; init; }
}

/// <param name="BandwidthBytesPerSecond">Ceiling; 0 is as fast as the path goes.</param>
public sealed record PacingLimits(long BandwidthBytesPerSecond = 0);

/// <summary>The peer wants nothing of what the link was opened for, and says so for good.</summary>
public sealed class NotWantedException(string message) : IOException(message);

/// <summary>The link cannot be opened or broke. The message names the peer and the reason, for an operator.</summary>
public sealed class LinkException(string message, Exception? inner = null) : IOException(message, inner);
