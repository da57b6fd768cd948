using Godwit.Core.Migration;
using Grpc.Core;
using Grpc.Core.Interceptors;

namespace Godwit.Agent.Rpc;

/// <summary>An order that carries a trace context gets a span in that trace (<see cref="MoveTrace"/>); all others pass.</summary>
public sealed class TraceInterceptor : Interceptor
{
    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        using var span = MoveTrace.Order(context.Method[(context.Method.LastIndexOf('/') + 1)..],
            context.RequestHeaders.GetValue(MoveTrace.Header));
        return await continuation(request, context);
    }
}
