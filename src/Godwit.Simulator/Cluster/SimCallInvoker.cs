using Godwit.Core;
using Godwit.Server.Agents;
using Godwit.Simulator.Machines;
using Grpc.Core;

namespace Godwit.Simulator.Cluster;

/// <summary>
/// The client's half of gRPC, as far as one thread can have it: messages as bytes, deadlines, cancelling, statuses with
/// trailers, streams that go silent. No HTTP/2 below it: no flow control, no connection that many calls share.
/// </summary>
internal sealed class SimCallInvoker(HostId host, SimRpc rpc, SimProcess server) : CallInvoker
{
    public override AsyncUnaryCall<TResponse> AsyncUnaryCall<TRequest, TResponse>(
        Method<TRequest, TResponse> method, string? _, CallOptions options, TRequest request)
    {
        var call = new SimCall(host, rpc, server, method.Name);
        call.Begin(new SimRequest(method.FullName, SimPayload.Write(request)), options);
        return new AsyncUnaryCall<TResponse>(AnswerAsync(), NoHeaders, call.Status, call.Trailers, call.Dispose);

        async Task<TResponse> AnswerAsync()
        {
            await call.NextAsync(CancellationToken.None);
            call.Tell();
            return SimPayload.Read(method.ResponseMarshaller, call.Current!);
        }
    }

    public override AsyncServerStreamingCall<TResponse> AsyncServerStreamingCall<TRequest, TResponse>(
        Method<TRequest, TResponse> method, string? _, CallOptions options, TRequest request)
    {
        var call = new SimCall(host, rpc, server, method.Name);
        call.Begin(new SimRequest(method.FullName, SimPayload.Write(request)), options);
        var reader = new Reader<TResponse>(call, bytes => SimPayload.Read(method.ResponseMarshaller, bytes));
        return new AsyncServerStreamingCall<TResponse>(reader, NoHeaders, call.Status, call.Trailers, call.Dispose);
    }

    public override TResponse BlockingUnaryCall<TRequest, TResponse>(
        Method<TRequest, TResponse> method, string? _, CallOptions options, TRequest request) =>
        throw new NotSupportedException($"{method.Name} would block the loop");

    public override AsyncClientStreamingCall<TRequest, TResponse> AsyncClientStreamingCall<TRequest, TResponse>(
        Method<TRequest, TResponse> method, string? _, CallOptions options) =>
        throw new NotSupportedException("the simulator does not import images");

    public override AsyncDuplexStreamingCall<TRequest, TResponse> AsyncDuplexStreamingCall<TRequest, TResponse>(
        Method<TRequest, TResponse> method, string? _, CallOptions options) =>
        throw new NotSupportedException("the simulator has no consoles");

    private static Task<Metadata> NoHeaders => Task.FromResult(new Metadata());

    private sealed class Reader<T>(SimCall call, Func<byte[], T> read) : IAsyncStreamReader<T>
    {
        public T Current { get; private set; } = default!;

        public async Task<bool> MoveNext(CancellationToken cancel)
        {
            if (!await call.NextAsync(cancel)) return false;
            Current = read(call.Current!);
            return true;
        }
    }
}

/// <summary>One call as the server's process has it.</summary>
internal sealed class SimCall(HostId host, SimRpc rpc, SimProcess server, string name) : IDisposable
{
    /// <summary>Asked all the time: only their failures are worth a line.</summary>
    private static readonly HashSet<string> Quiet = ["Describe", "ListVms", "ListEpochs", "SampleLoad", "WatchMove", "RenewLease"];

    private readonly Queue<byte[]> _messages = new();
    private readonly List<IDisposable?> _watches = [];
    private TaskCompletionSource? _waiting;
    private RpcException? _failure;
    private Action? _hangUp;
    private bool _ended;

    public byte[]? Current { get; private set; }

    public void Begin(SimRequest request, CallOptions options)
    {
        if (server.HasExited) return; // The step in which it was killed goes on; nothing leaves it any more.
        TimeSpan? limit = options.Deadline is { } deadline ? deadline - server.Host.Clock.GetUtcNow().UtcDateTime : null;
        if (!Quiet.Contains(name)) rpc.Loop.Trace("server", $"-> {host}: {name}Async");
        _hangUp = rpc.Send(server, host, request, limit, Hear);
        if (limit is { } most)
            _watches.Add(server.Host.Clock.CreateTimer(
                _ => Fail(StatusCode.DeadlineExceeded, $"no answer within {most.TotalSeconds:0} s"), null, most, Timeout.InfiniteTimeSpan));
        _watches.Add(rpc.KeepAlive(server, host, limit, () => Fail(StatusCode.Unavailable, "the connection is gone: no answer to pings")));
        _watches.Add(options.CancellationToken.UnsafeRegister(_ => Fail(StatusCode.Cancelled, "the caller left"), null));
    }

    /// <summary>False at the good end of a stream; throws the status of any other end.</summary>
    public async Task<bool> NextAsync(CancellationToken cancel)
    {
        while (true)
        {
            if (_messages.TryDequeue(out var message))
            {
                Current = message;
                return true;
            }
            if (_failure is not null) throw _failure;
            if (_ended) return false;
            _waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            using var left = cancel.UnsafeRegister(_ => Fail(StatusCode.Cancelled, "the caller left"), null);
            await _waiting.Task;
        }
    }

    public Status Status() => _failure?.Status ?? Grpc.Core.Status.DefaultSuccess;

    public Metadata Trailers() => _failure?.Trailers ?? [];

    public void Dispose() => Fail(StatusCode.Cancelled, "the call was dropped");

    /// <summary>From the wire, as the world.</summary>
    private void Hear(SimFrame frame)
    {
        if (_ended || server.HasExited) return;
        if (frame.Message is { Length: > AgentChannels.MessageBytesMax })
        {
            Fail(StatusCode.ResourceExhausted, "Received message exceeds the maximum configured message size.");
            return;
        }
        if (frame.Message is not null) _messages.Enqueue(frame.Message);
        if (frame.IsEnd) End(frame.Failure);
        _waiting?.TrySetResult();
    }

    /// <summary>This side gives up: the agent is told, if the wire still carries it.</summary>
    private void Fail(StatusCode code, string detail)
    {
        if (_ended || server.HasExited) return;
        End(new RpcException(new Status(code, detail)));
        _hangUp?.Invoke();
        _waiting?.TrySetResult();
    }

    private void End(RpcException? failure)
    {
        (_ended, _failure) = (true, failure);
        foreach (var watch in _watches) watch?.Dispose();
        if (failure is not null) rpc.Loop.Trace("server", $"<- {host}: {name}Async: {failure.Status.StatusCode} {failure.Status.Detail}");
    }

    /// <summary>The answer is in the server's hands.</summary>
    public void Tell()
    {
        if (!Quiet.Contains(name)) rpc.Loop.Trace("server", $"<- {host}: {name}Async");
    }
}
