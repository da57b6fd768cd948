using System.Net;
using System.Net.Sockets;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Host;

/// <summary>Unix sockets to QEMU, TLS 1.3 between agents.</summary>
/// <param name="identity">Asked at every connection, so that a renewed certificate needs no restart.</param>
public sealed partial class RealNetwork(Func<IdentityBundle> identity, ILogger<RealNetwork> log) : INetwork
{
    /// <summary>The kernel's limit on a unix socket's path, without its final zero byte.</summary>
    public const int UnixPathBytesMax = 107;
    private static readonly TimeSpan ConnectMax = TimeSpan.FromSeconds(10);

    public async Task<Stream> ConnectUnixAsync(string path, CancellationToken cancel)
    {
        CheckUnixPath(path);
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            using var file = SocketFile.Open(path);
            var endpoint = new UnixDomainSocketEndPoint(file.Path);
            if (RealNetworkThread.IsCurrent) RealNetworkStream.ConnectBlocking(socket, endpoint, cancel);
            else await socket.ConnectAsync(endpoint, cancel);
            return new RealNetworkStream(socket);
        }
        catch (SocketException reason)
        {
            socket.Dispose();
            throw new IOException($"{path} does not take connections: {reason.Message}", reason);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public Task<IListener> ListenUnixAsync(string path, int ownerUid, CancellationToken cancel)
    {
        CheckUnixPath(path);
        return Task.FromResult<IListener>(new RealNetworkUnixListener(path, ownerUid));
    }

    public async Task<PeerConnection> ConnectPeerAsync(string endpoint, HostId peer, CancellationToken cancel)
    {
        using var deadline = new CancellationTokenSource(ConnectMax);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        var tls = new RealNetworkTls(identity());
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            var address = await ResolveAsync(ParseEndpoint(endpoint), either.Token);
            return await RealNetworkThread.RunAsync("link-connect", () =>
            {
                RealNetworkStream.ConnectBlocking(socket, address, either.Token);
                RealNetworkTls.Tune(socket);
                return tls.ConnectAsync(socket, peer, either.Token);
            });
        }
        catch (Exception reason)
        {
            socket.Dispose();
            if (cancel.IsCancellationRequested) throw;
            string cause = deadline.IsCancellationRequested ? $"no answer in {ConnectMax.TotalSeconds:0} s" : reason.Message;
            throw new IOException($"{tls.Own} cannot reach host {peer} at {endpoint}: {cause}", reason);
        }
    }

    public Task<IPeerListener> ListenPeersAsync(string endpoint, CancellationToken cancel)
    {
        if (ParseEndpoint(endpoint) is not IPEndPoint address)
            throw new IOException($"\"{endpoint}\" is no address to listen on: give IP:PORT, port 0 for any");
        return Task.FromResult<IPeerListener>(
            new RealNetworkPeerListener(address, identity, (peer, cause) => LogRefused(peer, cause)));
    }

    private static async Task<IPEndPoint> ResolveAsync(EndPoint endpoint, CancellationToken cancel)
    {
        if (endpoint is not DnsEndPoint name) return (IPEndPoint)endpoint;
        var addresses = await Dns.GetHostAddressesAsync(name.Host, cancel);
        return new(addresses[0], name.Port);
    }

    private static EndPoint ParseEndpoint(string endpoint)
    {
        int colon = endpoint.LastIndexOf(':');
        if (colon > 0 && ushort.TryParse(endpoint.AsSpan(colon + 1), out ushort port))
        {
            if (IPAddress.TryParse(endpoint[..colon], out var address)) return new IPEndPoint(address, port);
            if (Uri.CheckHostName(endpoint[..colon]) == UriHostNameType.Dns) return new DnsEndPoint(endpoint[..colon], port);
        }
        throw new IOException($"\"{endpoint}\" is no endpoint: ADDRESS:PORT is expected");
    }

    private static void CheckUnixPath(string path)
    {
        int bytes = System.Text.Encoding.UTF8.GetByteCount(path);
        if (bytes > UnixPathBytesMax)
            throw new IOException($"{path} is too long for a socket: {bytes} bytes, {UnixPathBytesMax} at most");
    }
}
