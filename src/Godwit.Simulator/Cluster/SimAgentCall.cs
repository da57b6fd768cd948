using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Grpc.Core;

namespace Godwit.Simulator.Cluster;

/// <summary>One order at the agent's side, from the bytes that arrive to those that go back.</summary>
internal sealed class SimAgentCall(SimRpc rpc, SimAgent agent, SimRequest request, TimeSpan? limit, Action<SimFrame> reply)
{
    /// <summary>gRPC's default for a server, which the agent does not change.</summary>
    private const int MessageBytesMax = 4 << 20;
    private readonly CancellationTokenSource _cancel = new();
    /// <summary>A connection ends with the power of its host: what was under way on it is not delivered after the next boot.</summary>
    private readonly int _boots = agent.Host.Boots;
    private SimProcess? _process;

    public void Arrive()
    {
        if (!agent.Host.IsUp || agent.Host.Boots != _boots) return;
        if (agent.Serving is not { } serving)
        {
            reply(SimFrame.Failed(StatusCode.Unavailable, $"Connection refused ({agent.Host.Address}:7443)"));
            return;
        }
        if (request.Message.Length > MessageBytesMax)
        {
            reply(SimFrame.Failed(StatusCode.ResourceExhausted, "Received message exceeds the maximum configured message size."));
            return;
        }
        _process = agent.Process!;
        _ = RunAsync(serving, _process);
    }

    /// <summary>The caller left: the order is told so, as gRPC tells it.</summary>
    public void HangUp()
    {
        if (_process is { HasExited: false }) _process.Context.Post(_ => _cancel.Cancel(), null);
    }

    private async Task RunAsync(IHostAgent serving, SimProcess process)
    {
        if (limit is { } most) rpc.Loop.After(most, HangUp);
        byte[]? answer = null;
        void Say(byte[] message, bool isLast)
        {
            if (isLast) answer = message;
            else reply(new SimFrame(message, null, IsEnd: false));
        }

        var context = new SimCallContext(request.Method, _cancel.Token);
        var work = process.Context.CallAsync(() => new SimService(serving, rpc.Loop).CallAsync(request, context, Say));
        await Joining.AnyAsync(work, process.Exited);
        _process = null; // Nothing of it is left to be told.
        if (!work.IsCompleted)
        {
            if (agent.Host.IsUp) reply(SimFrame.Failed(StatusCode.Unavailable, "the agent ended during the call"));
            return;
        }
        try
        {
            await work;
            reply(new SimFrame(answer, null, IsEnd: true));
        }
        catch (RpcException failure) { reply(new SimFrame(null, failure, IsEnd: true)); }
        catch (OperationCanceledException) { reply(SimFrame.Failed(StatusCode.Cancelled, "the server gave up waiting")); }
        catch (Exception bug) { rpc.Loop.Fail(new SimFailedException($"{request.Method} met a bug: {bug}", bug)); }
    }
}

/// <summary>What the shipped service and its interceptor ask of a call's context.</summary>
internal sealed class SimCallContext(string method, CancellationToken cancel) : ServerCallContext
{
    protected override string MethodCore => method;
    protected override string HostCore => "";
    protected override string PeerCore => "server";
    protected override DateTime DeadlineCore => DateTime.MaxValue;
    protected override Metadata RequestHeadersCore => [];
    protected override CancellationToken CancellationTokenCore => cancel;
    protected override Metadata ResponseTrailersCore { get; } = [];
    protected override Status StatusCore { get; set; }
    protected override WriteOptions? WriteOptionsCore { get; set; }
    protected override AuthContext AuthContextCore => new(null, []);
    protected override ContextPropagationToken CreatePropagationTokenCore(ContextPropagationOptions? options) =>
        throw new NotSupportedException();
    protected override Task WriteResponseHeadersAsyncCore(Metadata responseHeaders) => Task.CompletedTask;
}
