using System.Net.Http;
using System.Net.Sockets;

namespace Godwit.Client;

/// <summary>HTTP over a server's unix socket.</summary>
public static class LocalSocket
{
    /// <summary>Each connection is one to <paramref name="path"/>, whatever host a request names.</summary>
    public static SocketsHttpHandler Handler(string path) => new()
    {
        ConnectCallback = (_, cancel) => ConnectAsync(path, cancel),
        UseProxy = false,
        AllowAutoRedirect = false,
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
    };

    private static async ValueTask<Stream> ConnectAsync(string path, CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
