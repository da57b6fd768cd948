using System.Buffers;
using System.Text;
using Godwit.Qmp;

namespace Godwit.Fuzz;

/// <summary>
/// The monitor's reader and client: whatever a QEMU says, there is an answer or a <see cref="QmpException"/>, never
/// anything else and never a hang. A talk is what QEMU says; a NUL stands where it waits for a command.
/// </summary>
internal static class QmpTarget
{
    private const string Greeting =
        """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}""";

    public static IEnumerable<byte[]> Seeds() => ((string[])
    [
        Greeting + "\0{\"return\": {}, \"id\": 1}\0"
            + "{\"return\": {\"status\": \"paused\", \"singlestep\": false, \"running\": false}, \"id\": 2}",
        Greeting + "\0{\"return\": {}, \"id\": 1}\0{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 2}",
        Greeting + "\0{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}{\"return\": {}, \"id\": 1}\0"
            + "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}, \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}",
        "{\"a\": [\"\\\"}\", {\"b\": {}}]}\r\n{}",
    ]).Select(Encoding.UTF8.GetBytes);

    public static void Try(byte[] bytes)
    {
        Frame(bytes);
        Talk(bytes);
    }

    private static void Frame(byte[] bytes)
    {
        var whole = Messages(bytes, bytes.Length + 1);
        var slices = Messages(bytes, 1 + (bytes.Length > 0 ? bytes[^1] % 37 : 0));
        PromiseBrokenException.Unless(whole.Fault == slices.Fault && whole.Count == slices.Count && whole.Bytes == slices.Bytes,
            "how bytes are cut changes no message");
    }

    private static (int Count, long Bytes, string Fault) Messages(ReadOnlySpan<byte> bytes, int slice)
    {
        var framer = new QmpFramer();
        var (count, sum) = (0, 0L);
        for (var steps = 0; bytes.Length > 0; steps++)
        {
            PromiseBrokenException.Unless(steps < 3 * FuzzTarget.InputBytesMax, "reading gets on");
            var status = framer.Read(bytes[..Math.Min(slice, bytes.Length)], out var consumed, out var message);
            if (status == OperationStatus.InvalidData) break;
            PromiseBrokenException.Unless(consumed > 0, "a step takes bytes");
            if (status == OperationStatus.Done) (count, sum) = (count + 1, sum + message.Length);
            bytes = bytes[consumed..];
        }
        return (count, sum, framer.Fault);
    }

    private static void Talk(byte[] bytes)
    {
        var loop = new Loop();
        var previous = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(loop);
        try
        {
            var peer = new Peer(bytes);
            var story = AskAsync(peer);
            // A peer that is waited for says its next piece; after the last it hangs up.
            for (var pieces = 0; !story.IsCompleted; pieces++)
            {
                PromiseBrokenException.Unless(pieces < FuzzTarget.InputBytesMax, "a peer that hung up is not waited for");
                if (!loop.RunOne()) peer.SayMore();
            }
            story.GetAwaiter().GetResult();
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(previous);
        }
    }

    private static async Task AskAsync(Peer peer)
    {
        try
        {
            await using var client = await QmpClient.ConnectAsync(peer, new StandingClock(), default);
            using var subscription = client.Subscribe(e => e.MigrationStatus());
            await client.QueryStatusAsync(TimeSpan.FromSeconds(5), default);
        }
        catch (QmpException) { } // The declared way to fail.
    }

    /// <summary>One thread's work, in order.</summary>
    private sealed class Loop : SynchronizationContext
    {
        private readonly Queue<(SendOrPostCallback Work, object? State)> _queue = new();

        public override void Post(SendOrPostCallback d, object? state) => _queue.Enqueue((d, state));

        public bool RunOne()
        {
            if (!_queue.TryDequeue(out var next)) return false;
            next.Work(next.State);
            return true;
        }
    }

    /// <summary>No deadline ever comes.</summary>
    private sealed class StandingClock : TimeProvider
    {
        public override long GetTimestamp() => 0;
        public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch;
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => new NoTimer();

        private sealed class NoTimer : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;
            public void Dispose() { }
            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }

    private sealed class Peer(byte[] talk) : Stream
    {
        private ReadOnlyMemory<byte> _said, _rest = talk;
        private TaskCompletionSource? _waiting;
        private bool _gone;

        public void SayMore()
        {
            _gone = _rest.IsEmpty;
            var end = _rest.Span.IndexOf((byte)0);
            (_said, _rest) = end < 0 ? (_rest, default) : (_rest[..end], _rest[(end + 1)..]);
            _waiting?.TrySetResult();
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            while (_said.IsEmpty && !_gone)
            {
                _waiting = new TaskCompletionSource();
                await using var left = cancellationToken.Register(() => _waiting.TrySetCanceled());
                await _waiting.Task;
            }
            var count = Math.Min(buffer.Length, _said.Length);
            _said[..count].CopyTo(buffer);
            _said = _said[count..];
            return count;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            ValueTask.CompletedTask;
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
