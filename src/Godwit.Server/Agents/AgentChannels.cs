using System.Collections.Concurrent;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Godwit.Contracts;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Grpc.Net.Client;

namespace Godwit.Server.Agents;

/// <summary>
/// gRPC channels to agents: TLS 1.3 both ways, no name or certificate store of the system trusted; the peer must be
/// this very host of this cluster.
/// </summary>
/// <param name="identity">Asked at every connection, so that a renewed certificate needs no restart.</param>
public sealed class AgentChannels(Func<IdentityBundle> identity, TimeProvider time, AgentDeadlines deadlines) : IAgentConnector, IDisposable
{
    /// <summary>Trailers carry every reason of a refusal.</summary>
    private const int HeadersKilobytesMax = 128;
    public const int MessageBytesMax = 16 << 20;

    private readonly ConcurrentDictionary<HostId, GrpcChannel> _channels = new();

    public IHostAgent Connect(HostId host, string endpoint)
    {
        var channel = GrpcChannel.ForAddress($"https://{endpoint}", new GrpcChannelOptions
        {
            HttpHandler = Handler(host),
            DisposeHttpClient = true,
            MaxReceiveMessageSize = MessageBytesMax,
            // The default waits up to two minutes after failures, and calls made meanwhile fail with the last one's words. An agent
            // that is back should be seen at once: nothing connects unasked, so that a short wait costs nothing.
            MaxReconnectBackoff = TimeSpan.FromMilliseconds(100),
            InitialReconnectBackoff = TimeSpan.FromMilliseconds(20),
        });
        _channels[host] = channel;
        return new GrpcHostAgent(host, new HostAgentRpc.HostAgentRpcClient(channel), time, deadlines);
    }

    public void Disconnect(HostId host)
    {
        if (_channels.TryRemove(host, out var channel)) channel.Dispose();
    }

    public void Dispose()
    {
        foreach (var host in _channels.Keys) Disconnect(host);
    }

    private SocketsHttpHandler Handler(HostId host)
    {
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            AllowAutoRedirect = false,
            EnableMultipleHttp2Connections = true,
            ConnectTimeout = TimeSpan.FromSeconds(5),
            // A peer that vanished without a word is noticed within 20 s, also while nothing is asked of it.
            KeepAlivePingDelay = TimeSpan.FromSeconds(10),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(10),
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            MaxResponseHeadersLength = HeadersKilobytesMax,
            SslOptions = new SslClientAuthenticationOptions
            {
                EnabledSslProtocols = SslProtocols.Tls13,
                LocalCertificateSelectionCallback = (_, _, _, _, _) => identity().Own,
                RemoteCertificateValidationCallback = (_, peer, _, _) => IsHost(peer, host),
                CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            },
        };
        return handler;
    }

    /// <summary>What TLS says of names and system roots is not asked; see <see cref="PeerIdentity"/>.</summary>
    private bool IsHost(X509Certificate? peer, HostId host) => identity().Check(peer, time.GetUtcNow()) switch
    {
        PeerVerdict.Accepted { Role: CertificateRole.Host role } when role.Name == host => true,
        PeerVerdict.Accepted accepted => throw new AuthenticationException($"the agent there is {accepted.Role}, not host {host}"),
        PeerVerdict.Refused refused => throw new AuthenticationException(refused.Reason),
        _ => false,
    };
}
