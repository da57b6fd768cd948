using System.Net;
using System.Net.Sockets;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Benchmarks;

/// <summary>TCP without TLS: only here, to see what TLS costs.</summary>
internal sealed class PlainTcp : IPeerListener
{
    private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp);

    public PlainTcp(string endpoint)
    {
        _socket.Bind(IPEndPoint.Parse(endpoint));
        _socket.Listen(1);
    }

    public string Endpoint => $"127.0.0.1:{((IPEndPoint)_socket.LocalEndPoint!).Port}";

    public async Task<PeerConnection> AcceptAsync(CancellationToken cancel) =>
        new(new NetworkStream(await _socket.AcceptAsync(cancel), ownsSocket: true), new("h1"), "none");

    public static async Task<Stream> ConnectAsync(string endpoint)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPEndPoint.Parse(endpoint));
        return new NetworkStream(socket, ownsSocket: true);
    }

    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        return ValueTask.CompletedTask;
    }
}
