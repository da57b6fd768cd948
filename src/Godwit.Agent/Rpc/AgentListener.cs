using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Godwit.Core.Identity;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Rpc;

/// <summary>
/// Where an agent hears its server: HTTP/2 over mutual TLS 1.3. Only the control plane of this cluster gets as far as
/// a method: the handshake itself refuses others, other hosts of the cluster as well.
/// </summary>
public static class AgentListener
{
    private const int ConnectionsMax = 64;

    /// <param name="identity">Asked at every connection, so that a renewed certificate needs no restart.</param>
    public static void Listen(
        KestrelServerOptions kestrel, IPEndPoint address, Func<IdentityBundle> identity, TimeProvider time, ILogger log)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxConcurrentConnections = ConnectionsMax;
        kestrel.Listen(address, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            listen.UseHttps(https =>
            {
                https.ServerCertificateSelector = (_, _) => identity().Own;
                https.SslProtocols = SslProtocols.Tls13;
                https.ClientCertificateMode = ClientCertificateMode.RequireCertificate;
                https.ClientCertificateValidation = (certificate, _, _) => IsControlPlane(certificate, identity(), time.GetUtcNow(), log);
            });
        });
    }

    private static bool IsControlPlane(X509Certificate2 certificate, IdentityBundle identity, DateTimeOffset now, ILogger log)
    {
        switch (identity.Check(certificate, now))
        {
            case PeerVerdict.Accepted { Role: CertificateRole.ControlPlane }:
                return true;
            case PeerVerdict.Accepted other:
                log.LogWarning("{Peer} wanted to give orders; only the control plane may", other.Role);
                return false;
            case PeerVerdict.Refused refused:
                log.LogWarning("Somebody who wanted to give orders was refused: {Reason}", refused.Reason);
                return false;
            default:
                return false;
        }
    }
}
