using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// TLS 1.3 between two agents of one cluster, certificates on both sides, nothing weaker and no fallback. After the
/// handshake the accepting side writes one byte: in TLS 1.3 the connecting side would otherwise learn that its own
/// certificate was refused only at its first read, long after it believed itself connected.
/// </summary>
internal sealed class RealNetworkTls(IdentityBundle identity)
{
    private const byte Ready = 0x47;
    /// <summary>Keeps another service's TLS on the same port from being taken for a link.</summary>
    private static readonly SslApplicationProtocol Protocol = new("godwit-link/1");
    private static readonly CipherSuitesPolicy Ciphers = new(
        [TlsCipherSuite.TLS_AES_128_GCM_SHA256, TlsCipherSuite.TLS_AES_256_GCM_SHA384,
         TlsCipherSuite.TLS_CHACHA20_POLY1305_SHA256]);

    private readonly SslStreamCertificateContext _certificate =
        SslStreamCertificateContext.Create(identity.Own, additionalCertificates: null, offline: true);
    private PeerVerdict _verdict = new PeerVerdict.Refused("the peer did not speak TLS");

    public CertificateRole Own => identity.Role;

    /// <summary>As <see cref="INetwork.ConnectPeerAsync"/>; owns the socket on success.</summary>
    public async Task<PeerConnection> ConnectAsync(Socket socket, HostId peer, CancellationToken cancel)
    {
        var stream = new RealNetworkPeerStream(socket);
        var tls = stream.Tls;
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = peer.Value, // Sent as a hint only; the certificate's role decides.
            ClientCertificateContext = _certificate,
            EnabledSslProtocols = SslProtocols.Tls13,
            CipherSuitesPolicy = Ciphers,
            ApplicationProtocols = [Protocol],
            AllowTlsResume = false,
            CertificateChainPolicy = PeerIdentity.ChainPolicy(identity.Ca, DateTimeOffset.UtcNow),
            RemoteCertificateValidationCallback = (_, certificate, _, _) => IsHost(certificate, peer),
        };
        await HandshakeAsync(() => tls.AuthenticateAsClientAsync(options, cancel));

        var ready = new byte[1];
        if (await tls.ReadAsync(ready, cancel) != 1 || ready[0] != Ready)
            throw new AuthenticationException($"it refused this host; the log of {peer}'s agent says why");
        return new(stream, peer, Security(tls));
    }

    /// <summary>The peer may be any host of the cluster; throws <see cref="AuthenticationException"/> on all others.</summary>
    public async Task<PeerConnection> AcceptAsync(Socket socket, CancellationToken cancel)
    {
        var stream = new RealNetworkPeerStream(socket);
        var tls = stream.Tls;
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = _certificate,
            ClientCertificateRequired = true,
            EnabledSslProtocols = SslProtocols.Tls13,
            CipherSuitesPolicy = Ciphers,
            ApplicationProtocols = [Protocol],
            AllowTlsResume = false,
            CertificateChainPolicy = PeerIdentity.ChainPolicy(identity.Ca, DateTimeOffset.UtcNow),
            RemoteCertificateValidationCallback = (_, certificate, _, _) => IsHost(certificate, expected: null),
        };
        await HandshakeAsync(() => tls.AuthenticateAsServerAsync(options, cancel));
        if (_verdict is not PeerVerdict.Accepted { Role: CertificateRole.Host host })
            throw new AuthenticationException("the peer is no host"); // The handshake cannot have succeeded then.
        await tls.WriteAsync(new[] { Ready }, cancel);
        return new(stream, host.Name, Security(tls));
    }

    public static void Tune(Socket socket)
    {
        socket.NoDelay = true;
        // A peer that is gone without a word is noticed in about 10 s, also while nothing is sent.
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 5);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 1);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 5);
    }

    /// <summary>TLS says only "rejected by the callback"; the callback knows more.</summary>
    private async Task HandshakeAsync(Func<Task> handshake)
    {
        try
        {
            await handshake();
        }
        catch (AuthenticationException reason) when (_verdict is PeerVerdict.Refused refused)
        {
            string detail = reason.InnerException?.Message ?? reason.Message;
            throw new AuthenticationException($"{refused.Reason} ({detail})", reason);
        }
    }

    private bool IsHost(X509Certificate? certificate, HostId? expected)
    {
        _verdict = identity.Check(certificate, DateTimeOffset.UtcNow);
        if (_verdict is not PeerVerdict.Accepted accepted) return false;
        if (accepted.Role is CertificateRole.Host host && (expected is null || host.Name == expected)) return true;

        _verdict = new PeerVerdict.Refused(expected is null
            ? $"the peer is {accepted.Role}; only hosts open links"
            : $"the peer is {accepted.Role}, not host {expected}");
        return false;
    }

    private static string Security(SslStream tls)
    {
        if (tls.SslProtocol != SslProtocols.Tls13 || !tls.IsMutuallyAuthenticated || tls.NegotiatedApplicationProtocol != Protocol)
            throw new AuthenticationException($"the connection is {tls.SslProtocol}, not mutual TLS 1.3 of a link");
        return $"TLS 1.3, {tls.NegotiatedCipherSuite}";
    }
}
