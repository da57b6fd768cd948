using System.Buffers.Binary;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Godwit.Server.Identity;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;

namespace Godwit.Server;

/// <summary>
/// Where the API is heard: a unix socket for the admin of this machine, and, if asked for, TLS 1.3 on TCP for everybody
/// with a token. There is no third way: nothing is ever heard in plain text over a network.
/// </summary>
internal static class ServerAppListeners
{
    private const int SolSocket = 1, PeerCredentials = 17, CredentialsBytes = 12; // <sys/socket.h>: struct ucred { pid, uid, gid }.

    public static void Add(WebApplicationBuilder builder, ServerOptions options, ClusterCa ca, TimeProvider time)
    {
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            Limit(kestrel);
            kestrel.ListenUnixSocket(options.Socket, listen =>
            {
                listen.Protocols = HttpProtocols.Http1;
                listen.Use(next => connection =>
                {
                    connection.Features.Set(PeerOf(connection));
                    return next(connection);
                });
            });
            if (options.Listen is { } address) kestrel.Listen(address, listen => Secure(listen, Renewed(options, ca, time)));
        });
        builder.Services.Configure<SocketTransportOptions>(sockets => sockets.CreateBoundListenSocket = endpoint =>
            endpoint is UnixDomainSocketEndPoint ? PrivateSocket(options.Socket) : PublicSocket(endpoint));
    }

    private static void Limit(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = ApiLimits.BodyBytesMax;
        kestrel.Limits.MaxConcurrentConnections = ApiLimits.ConnectionsMax;
        kestrel.Limits.MaxConcurrentUpgradedConnections = ApiLimits.StreamsMax;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        kestrel.Limits.MaxRequestHeadersTotalSize = 16 * 1024;
    }

    /// <summary>Strangers never use up all connections: the admin's socket keeps its share.</summary>
    private static void Secure(ListenOptions listen, Func<X509Certificate2> certificate)
    {
        var open = 0;
        listen.Protocols = HttpProtocols.Http1;
        listen.Use(next => async connection =>
        {
            try
            {
                if (Interlocked.Increment(ref open) <= ApiLimits.RemoteConnectionsMax) await next(connection);
                else connection.Abort();
            }
            finally
            {
                Interlocked.Decrement(ref open);
            }
        });
        listen.UseHttps(https =>
        {
            https.ServerCertificateSelector = (_, _) => certificate();
            https.SslProtocols = SslProtocols.Tls13;
            https.HandshakeTimeout = TimeSpan.FromSeconds(5);
        });
    }

    /// <summary>Made anew when a third of its life is left; the CA behind it stays the same, and that is what clients pin.</summary>
    private static Func<X509Certificate2> Renewed(ServerOptions options, ClusterCa ca, TimeProvider time)
    {
        var one = new Lock();
        X509Certificate2? certificate = null;
        return () =>
        {
            lock (one)
            {
                if (certificate is null || time.GetUtcNow() >= CertificateLife.Of(certificate).RenewAt)
                    certificate = ca.IssueApi(Addresses(options.Listen!.Address), Names(options));
                return certificate;
            }
        };
    }

    private static List<IPAddress> Addresses(IPAddress listen)
    {
        if (!listen.Equals(IPAddress.Any) && !listen.Equals(IPAddress.IPv6Any)) return [listen];
        return [.. NetworkInterface.GetAllNetworkInterfaces().SelectMany(card => card.GetIPProperties().UnicastAddresses)
            .Select(unicast => unicast.Address).Where(address => !address.IsIPv6LinkLocal).Distinct().Take(32)];
    }

    private static IEnumerable<string> Names(ServerOptions options) =>
        options.Names.Append(Environment.MachineName.ToLowerInvariant()).Append("localhost")
            .Where(name => Uri.CheckHostName(name) == UriHostNameType.Dns).Distinct();

    /// <summary>Who is at the other end, by the kernel's word.</summary>
    private static LocalPeer PeerOf(ConnectionContext connection)
    {
        var socket = connection.Features.Get<IConnectionSocketFeature>()?.Socket
            ?? throw new InvariantBrokenException("a connection over the local socket has a socket");
        Span<byte> credentials = stackalloc byte[CredentialsBytes];
        socket.GetRawSocketOption(SolSocket, PeerCredentials, credentials);
        return new LocalPeer(
            Uid: BinaryPrimitives.ReadInt32LittleEndian(credentials[4..]), Pid: BinaryPrimitives.ReadInt32LittleEndian(credentials));
    }

    private static Socket PublicSocket(EndPoint endpoint)
    {
        try
        {
            return SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        }
        catch (SocketException reason)
        {
            throw new RefusedException("address-unusable", $"cannot listen on {endpoint}: {reason.Message}",
                "choose another with --listen");
        }
    }

    /// <summary>Bound and made private before it listens: at no moment can another user connect.</summary>
    private static Socket PrivateSocket(string path)
    {
        if (File.Exists(path)) RemoveStale(path);
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Bind(new UnixDomainSocketEndPoint(path));
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            return socket;
        }
        catch (Exception reason)
        {
            socket.Dispose();
            throw new RefusedException("socket-unusable", $"cannot listen on {path}: {reason.Message}",
                "choose another path with --socket");
        }
    }

    private static void RemoveStale(string path)
    {
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException)
        {
            File.Delete(path); // Nobody listens: left by a server that was killed.
            return;
        }
        throw new RefusedException("server-runs-already", $"a server answers at {path} already",
            "use that one, or choose another state directory and socket");
    }
}
