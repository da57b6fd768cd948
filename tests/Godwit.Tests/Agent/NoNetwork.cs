using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Tests.Agent;

/// <summary>Nobody answers.</summary>
internal sealed class NoNetwork : INetwork
{
    public Task<Stream> ConnectUnixAsync(string path, CancellationToken cancel) => throw new IOException("nobody listens");
    public Task<IListener> ListenUnixAsync(string path, int ownerUid, CancellationToken cancel) => throw new NotSupportedException();
    public Task<PeerConnection> ConnectPeerAsync(string endpoint, HostId peer, CancellationToken cancel) =>
        throw new NotSupportedException();
    public Task<IPeerListener> ListenPeersAsync(string endpoint, CancellationToken cancel) => throw new NotSupportedException();
}
