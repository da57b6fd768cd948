using Godwit.Core;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Rpc;

/// <summary>
/// Turns what the agent throws into gRPC's words in one place: an expected "no" becomes FAILED_PRECONDITION with every
/// reason in a trailer; all else is INTERNAL and logged, and the server then treats the outcome as not known.
/// </summary>
public sealed class RefusalInterceptor(ILogger<RefusalInterceptor> log) : Interceptor
{
    public const string RefusedTrailer = "godwit-refused-bin";

    public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation) =>
        TranslateAsync(() => continuation(request, context), context);

    public override Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, ServerCallContext context,
        ClientStreamingServerMethod<TRequest, TResponse> continuation) =>
        TranslateAsync(() => continuation(requestStream, context), context);

    public override Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
        ServerStreamingServerMethod<TRequest, TResponse> continuation) =>
        TranslateAsync(() => Whole(continuation(request, responseStream, context)), context);

    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream,
        ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation) =>
        TranslateAsync(() => Whole(continuation(requestStream, responseStream, context)), context);

    private async Task<T> TranslateAsync<T>(Func<Task<T>> call, ServerCallContext context)
    {
        try
        {
            return await call();
        }
        catch (RefusedException refused)
        {
            var trailers = new Metadata { { RefusedTrailer, ToServer.Message(refused).ToByteArray() } };
            throw new RpcException(new Status(StatusCode.FailedPrecondition, "refused"), trailers);
        }
        catch (OperationCanceledException) when (context.CancellationToken.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.Cancelled, "the server gave up waiting"));
        }
        catch (InvalidDataException error)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, error.Message));
        }
        catch (Exception error) when (error is not RpcException)
        {
            log.LogError(error, "{Method} failed", context.Method);
            throw new RpcException(new Status(StatusCode.Internal, $"{error.GetType().Name}: {error.Message}"));
        }
    }

    private static async Task<bool> Whole(Task call)
    {
        await call;
        return true;
    }
}
