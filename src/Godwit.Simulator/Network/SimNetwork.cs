using System.Globalization;
using System.Net.Sockets;
using System.Security.Authentication;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Network;

/// <summary>The network as one process sees it. What the process opened closes when it ends.</summary>
public sealed class SimNetwork(SimNet net, SimProcess owner) : INetwork
{
    private const int UnixBytes = 208 << 10, TcpBytes = 512 << 10;
    private const string Tls = "TLS 1.3, TLS_AES_128_GCM_SHA256";
    /// <summary>The real one's limit.</summary>
    private static readonly TimeSpan ConnectMax = TimeSpan.FromSeconds(10);

    private SimHost Host => owner.Host;

    public async Task<Stream> ConnectUnixAsync(string path, CancellationToken cancel)
    {
        Host.Loop.DemandLoopThread();
        await Task.Yield();
        cancel.ThrowIfCancellationRequested();
        if (!Host.UnixSockets.TryGetValue(path, out var listener)) throw Refused(path, SocketError.AddressNotAvailable);
        var (client, server) = net.Connect(owner, listener.Owner, UnixBytes, path);
        if (!listener.TryQueue(new PeerConnection(new SimStream(server), new HostId(Host.Name), "")))
        {
            client.Close();
            throw Refused(path, SocketError.ConnectionRefused);
        }
        return new SimStream(client);
    }

    public Task<IListener> ListenUnixAsync(string path, int ownerUid, CancellationToken cancel)
    {
        Host.Loop.DemandLoopThread();
        Host.Disk.DemandDirectoryOf(path);
        var listener = new SimListener(owner, path);
        Host.UnixSockets[path] = listener;
        owner.Own(listener);
        return Task.FromResult<IListener>(listener);
    }

    public async Task<PeerConnection> ConnectPeerAsync(string endpoint, HostId peer, CancellationToken cancel)
    {
        Host.Loop.DemandLoopThread();
        var (address, port) = Parse(endpoint);
        var there = net.HostAt(address) ?? throw Refused(endpoint, SocketError.HostUnreachable);
        var answer = new TaskCompletionSource<PeerConnection>(TaskCreationOptions.RunContinuationsAsynchronously);
        var (hello, reply) = (net.Link(Host.Name, there.Name).NewFlow(), net.Link(there.Name, Host.Name).NewFlow());
        try
        {
            hello.Send(0, () =>
            {
                if (there.IsUp) Arrive(there, port, peer, action => reply.Send(0, action), answer);
            });
            return await answer.Task.Joinable().WaitAsync(ConnectMax, Host.Clock, cancel);
        }
        catch (TimeoutException)
        {
            throw Refused(endpoint, SocketError.TimedOut);
        }
        finally
        {
            answer.TrySetCanceled(CancellationToken.None); // An answer after this one finds nobody.
            net.Link(Host.Name, there.Name).Forget(hello);
            net.Link(there.Name, Host.Name).Forget(reply);
        }
    }

    public Task<IPeerListener> ListenPeersAsync(string endpoint, CancellationToken cancel)
    {
        Host.Loop.DemandLoopThread();
        var (_, port) = Parse(endpoint);
        if (port == 0) port = Host.NextPort();
        if (Host.PeerListeners.TryGetValue(port, out var other) && other.IsOpen)
            throw Refused(endpoint, SocketError.AddressAlreadyInUse);
        var listener = new SimListener(owner, string.Create(CultureInfo.InvariantCulture, $"{Host.Address}:{port}"));
        Host.PeerListeners[port] = listener;
        owner.Own(listener);
        return Task.FromResult<IPeerListener>(listener);
    }

    /// <summary>Runs at the other host when the connection's first packet lands there.</summary>
    private void Arrive(
        SimHost there, int port, HostId wanted, Action<Action> reply, TaskCompletionSource<PeerConnection> answer)
    {
        if (!there.PeerListeners.TryGetValue(port, out var listener) || !listener.IsOpen)
        {
            reply(() => answer.TrySetException(Refused($"{there.Address}:{port}", SocketError.ConnectionRefused)));
            return;
        }
        if (there.Name != wanted.Value)
        {
            var stranger = new AuthenticationException($"the peer at {there.Address} proved to be {there.Name}, not {wanted}");
            reply(() => answer.TrySetException(new IOException(stranger.Message, stranger)));
            return;
        }
        var (client, server) = net.Connect(owner, listener.Owner, TcpBytes, $"{Host.Name}-{there.Name}");
        listener.TryQueue(new PeerConnection(new SimStream(server), new HostId(Host.Name), Tls));
        reply(() =>
        {
            if (!answer.TrySetResult(new PeerConnection(new SimStream(client), wanted, Tls))) client.Close();
        });
    }

    /// <summary>As the real adapter says it: one kind of failure, and the system's words.</summary>
    private static IOException Refused(string place, SocketError error)
    {
        var reason = new SocketException((int)error);
        return new IOException($"{place} does not take connections: {reason.Message}", reason);
    }

    private static (string Address, int Port) Parse(string endpoint)
    {
        var colon = endpoint.LastIndexOf(':');
        if (colon <= 0 || !int.TryParse(endpoint.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port))
            throw new ArgumentException($"'{endpoint}' is not address:port");
        return (endpoint[..colon], port);
    }
}
