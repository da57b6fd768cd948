using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Godwit.Core.Identity;

namespace Godwit.Benchmarks;

/// <summary>TCP, with or without an ordinary <see cref="SslStream"/> on it: what the link is compared with.</summary>
internal sealed class PlainConnection(bool tls, IdentityBundle identity) : IDisposable
{
    private readonly Socket _listener = new(SocketType.Stream, ProtocolType.Tcp);

    /// <summary>The endpoint, with the port that was free.</summary>
    public string Listen(string endpoint)
    {
        _listener.Bind(IPEndPoint.Parse(endpoint));
        _listener.Listen(1);
        var bound = (IPEndPoint)_listener.LocalEndPoint!;
        return new IPEndPoint(bound.Address.MapToIPv4(), bound.Port).ToString();
    }

    public async Task<Stream> AcceptAsync()
    {
        var stream = new NetworkStream(await _listener.AcceptAsync(), ownsSocket: true);
        if (!tls) return stream;
        var secured = new SslStream(stream);
        await secured.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
        {
            ServerCertificate = identity.Own,
            EnabledSslProtocols = SslProtocols.Tls13,
            CipherSuitesPolicy = new([TlsCipherSuite.TLS_AES_128_GCM_SHA256]),
        });
        return secured;
    }

    public async Task<Stream> ConnectAsync(string endpoint)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPEndPoint.Parse(endpoint));
        var stream = new NetworkStream(socket, ownsSocket: true);
        if (!tls) return stream;
        var secured = new SslStream(stream);
        await secured.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "h2",
            EnabledSslProtocols = SslProtocols.Tls13,
            CertificateChainPolicy = PeerIdentity.ChainPolicy(identity.Ca, DateTimeOffset.UtcNow),
            RemoteCertificateValidationCallback = (_, peer, _, _) =>
                identity.Check(peer, DateTimeOffset.UtcNow) is PeerVerdict.Accepted,
        });
        return secured;
    }

    public void Dispose() => _listener.Dispose();
}
