using Godwit.Agent.Rpc;
using Godwit.Contracts;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;
using Grpc.Core;

namespace Godwit.Simulator.Cluster;

/// <summary>The shipped service behind its shipped interceptor, method by method: bytes in, bytes out.</summary>
internal sealed class SimService : ServiceBinderBase
{
    private delegate Task Handler(byte[] request, ServerCallContext context, Action<byte[], bool> say);

    private readonly Dictionary<string, Handler> _methods = new(StringComparer.Ordinal);
    private readonly RefusalInterceptor _interceptor;
    private readonly SimLoop _loop;

    public SimService(IHostAgent agent, SimLoop loop)
    {
        _loop = loop;
        _interceptor = new RefusalInterceptor(Microsoft.Extensions.Logging.Abstractions.NullLogger<RefusalInterceptor>.Instance);
        HostAgentRpc.BindService(this, new HostAgentService(agent));
    }

    /// <param name="say">Called with each message; true with the one that is the whole answer.</param>
    public Task CallAsync(SimRequest request, ServerCallContext context, Action<byte[], bool> say) =>
        _methods.TryGetValue(request.Method, out var handler) ? handler(request.Message, context, say)
            : throw new RpcException(new Status(StatusCode.Unimplemented, request.Method));

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler) =>
        _methods[method.FullName] = async (bytes, context, say) =>
        {
            var request = SimPayload.Read(method.RequestMarshaller, bytes);
            var answer = await _interceptor.UnaryServerHandler(
                request, context, (r, c) => ToldIfBugAsync(() => handler!(r, c)));
            say(SimPayload.Write(answer), true);
        };

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ServerStreamingServerMethod<TRequest, TResponse>? handler) =>
        _methods[method.FullName] = async (bytes, context, say) =>
        {
            var request = SimPayload.Read(method.RequestMarshaller, bytes);
            var writer = new Writer<TResponse>(say);
            await _interceptor.ServerStreamingServerHandler(request, writer, context, (r, w, c) => ToldIfBugAsync(async () =>
            {
                await handler!(r, w, c);
                return true;
            }));
        };

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ClientStreamingServerMethod<TRequest, TResponse>? handler) { } // Images: not simulated.

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, DuplexStreamingServerMethod<TRequest, TResponse>? handler) { } // Consoles: not simulated.

    /// <summary>The interceptor makes INTERNAL of everything; here a bug is to end the run.</summary>
    private async Task<T> ToldIfBugAsync<T>(Func<Task<T>> call)
    {
        try { return await call(); }
        catch (Exception reason)
        {
            SimRpc.FailIfBug(_loop, reason);
            throw;
        }
    }

    private sealed class Writer<T>(Action<byte[], bool> say) : IServerStreamWriter<T> where T : class
    {
        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(T message)
        {
            say(SimPayload.Write(message), false);
            return Task.CompletedTask;
        }

        public Task WriteAsync(T message, CancellationToken cancel)
        {
            cancel.ThrowIfCancellationRequested();
            return WriteAsync(message);
        }
    }
}
