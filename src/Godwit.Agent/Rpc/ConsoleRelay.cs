using Google.Protobuf;
using Grpc.Core;

namespace Godwit.Agent.Rpc;

/// <summary>Bytes both ways between a guest's console, or its display, and one gRPC call, until either side closes.</summary>
public static class ConsoleRelay
{
    private const int MessageBytesMax = 64 * 1024;

    public static async Task RunAsync(
        Stream console, IAsyncStreamReader<Contracts.ConsoleInput> input,
        IServerStreamWriter<Contracts.ConsoleOutput> output, CancellationToken cancel)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var typed = TypeAsync(console, input, either.Token);
        var shown = ShowAsync(console, output, either.Token);
        await Task.WhenAny(typed, shown);
        either.Cancel();
        foreach (var side in new[] { typed, shown })
        {
            try
            {
                await side;
            }
            catch (Exception error) when (error is OperationCanceledException or IOException or RpcException)
            {
                // The other side closed: that is how every console session ends.
            }
        }
    }

    private static async Task TypeAsync(
        Stream console, IAsyncStreamReader<Contracts.ConsoleInput> input, CancellationToken cancel)
    {
        while (await input.MoveNext(cancel))
            await console.WriteAsync(input.Current.Data.Memory, cancel);
    }

    private static async Task ShowAsync(
        Stream console, IServerStreamWriter<Contracts.ConsoleOutput> output, CancellationToken cancel)
    {
        var buffer = new byte[MessageBytesMax];
        int read;
        while ((read = await console.ReadAsync(buffer, cancel)) > 0)
            await output.WriteAsync(new Contracts.ConsoleOutput { Data = ByteString.CopyFrom(buffer, 0, read) }, cancel);
    }
}
