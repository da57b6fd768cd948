using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Identity;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Xunit;

namespace Godwit.Tests.Access;

/// <summary>
/// Every certificate a cluster has, and the bad ones, at every port there is, on real TLS sockets: a host's port for orders, a
/// host's port for links, the server's API. <see cref="AgentAccessTests"/> asks every call behind the first.
/// </summary>
public sealed class CertificateMatrixTests : IAsyncLifetime
{
    private const string Orders = "orders", Link = "link", Api = "api";
    private ServerUnderTest _server = null!;
    private HostUnderTest _host = null!;
    private ClusterCa _ca = null!, _other = null!;
    private readonly string _elsewhere = Directory.CreateTempSubdirectory("godwit-elsewhere-").FullName;

    /// <summary>Who is let in where. The API lets nobody in for a certificate: it wants a token.</summary>
    public static TheoryData<string, string> Table => new()
    {
        { "the control plane", Orders },
        { "another host", Link },
        { "this host itself", Link },
        { "the API's certificate", "" },
        { "a revoked host", "" },
        { "an expired host", "" },
        { "a host of tomorrow", "" },
        { "an expired control plane", "" },
        { "a control plane of tomorrow", "" },
        { "another cluster's host", "" },
        { "another cluster's control plane", "" },
        { "nobody", "" },
    };

    public async Task InitializeAsync()
    {
        _server = await ServerUnderTest.StartDialingAsync();
        _host = await HostUnderTest.InAsync(_server, "h1");
        _ca = await Rpc.AgentUnderTest.CaAsync(_server.Directory, TimeSpan.Zero);
        _other = await Rpc.AgentUnderTest.CaAsync(_elsewhere, TimeSpan.Zero);
        await _host.Identity.DenyAsync(new DenyList([_ca.Deny(new HostId("revoked"))]), CancellationToken.None);
    }

    public async Task DisposeAsync()
    {
        await _host.DisposeAsync();
        await _server.DisposeAsync();
        Directory.Delete(_elsewhere, recursive: true);
    }

    [Theory, MemberData(nameof(Table))]
    public async Task Each_certificate_opens_the_ports_of_its_row_and_no_other(string who, string opens)
    {
        using var certificate = await CertificateAsync(who);
        var open = new List<string>();
        if (await TakesOrdersAsync(certificate)) open.Add(Orders);
        if (await OpensLinkAsync(certificate)) open.Add(Link);
        if (await AnswersAsync(certificate)) open.Add(Api);
        Assert.Equal(opens, string.Join(' ', open));
    }

    [Fact]
    public async Task Plain_text_is_answered_at_no_port()
    {
        foreach (var endpoint in new[] { _host.Endpoint, _host.Link.Endpoint, _server.Listening.ToString() })
        {
            await using var stream = await TcpAsync(endpoint);
            await stream.WriteAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray());
            var heard = new byte[256];
            int read;
            try { read = await stream.ReadAsync(heard); }
            catch (IOException) { read = 0; } // Reset instead of closed.
            Assert.True(read == 0 || heard[0] == 0x15, $"{endpoint} said {Encoding.Latin1.GetString(heard, 0, read)}"); // 0x15: TLS's "no".
        }
    }

    private async Task<X509Certificate2?> CertificateAsync(string who) => who switch
    {
        "the control plane" => _ca.IssueControlPlane().Own,
        "another host" => Joined.Host(_ca, "h2").Own,
        "this host itself" => _host.Identity.Current.Own,
        "the API's certificate" => _ca.IssueApi([IPAddress.Loopback], ["h2"]),
        "a revoked host" => Joined.Host(_ca, "revoked").Own,
        "an expired host" => Joined.Host(await CaAtAsync(-31), "h2").Own,
        "a host of tomorrow" => Joined.Host(await CaAtAsync(1), "h2").Own,
        "an expired control plane" => (await CaAtAsync(-31)).IssueControlPlane().Own,
        "a control plane of tomorrow" => (await CaAtAsync(1)).IssueControlPlane().Own,
        "another cluster's host" => Joined.Host(_other, "h2").Own,
        "another cluster's control plane" => _other.IssueControlPlane().Own,
        _ => null,
    };

    private Task<ClusterCa> CaAtAsync(int days) => Rpc.AgentUnderTest.CaAsync(_server.Directory, TimeSpan.FromDays(days));

    private async Task<bool> TakesOrdersAsync(X509Certificate2? certificate)
    {
        using var client = Client(certificate, new Uri($"https://{_host.Endpoint}"));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/godwit.agent.v1.HostAgentRpc/Describe");
        (request.Version, request.VersionPolicy) = (HttpVersion.Version20, HttpVersionPolicy.RequestVersionExact);
        request.Content = new ByteArrayContent(new byte[5]) { Headers = { ContentType = new("application/grpc") } };
        return await IsAnsweredAsync(client, request) is HttpStatusCode.OK;
    }

    private async Task<bool> OpensLinkAsync(X509Certificate2? certificate)
    {
        await using var stream = await TcpAsync(_host.Link.Endpoint);
        await using var tls = new SslStream(stream);
        try
        {
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
            {
                TargetHost = "h1", EnabledSslProtocols = SslProtocols.Tls13, ApplicationProtocols = [new("godwit-link/1")],
                LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate!,
                RemoteCertificateValidationCallback = (_, peer, _, _) => peer is not null,
            });
            return await tls.ReadAsync(new byte[1]) == 1; // The word that it is ready.
        }
        catch (Exception refused) when (refused is IOException or AuthenticationException)
        {
            return false;
        }
    }

    private async Task<bool> AnswersAsync(X509Certificate2? certificate)
    {
        using var client = Client(certificate, new Uri($"https://{_server.Listening}"));
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/v1/hosts");
        return await IsAnsweredAsync(client, request) is HttpStatusCode.OK;
    }

    private static async Task<HttpStatusCode?> IsAnsweredAsync(HttpClient client, HttpRequestMessage request)
    {
        try
        {
            using var answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
            return answer.StatusCode;
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    private static HttpClient Client(X509Certificate2? certificate, Uri place) => new(new SocketsHttpHandler
    {
        SslOptions =
        {
            EnabledSslProtocols = SslProtocols.Tls13,
            LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate!,
            RemoteCertificateValidationCallback = (_, peer, _, _) => peer is not null,
        },
    })
    { BaseAddress = place };

    private static async Task<NetworkStream> TcpAsync(string endpoint)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPEndPoint.Parse(endpoint));
        return new NetworkStream(socket, ownsSocket: true);
    }
}
