using Godwit.Agent.Host;
using Godwit.Contracts;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Identity;
using Godwit.Tests.Control;
using Godwit.Tests.Rpc;
using Google.Protobuf.Reflection;
using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Godwit.Tests.Identity;
using Xunit;

namespace Godwit.Tests.Access;

/// <summary>Every call an agent takes, as its descriptor lists them: obeyed from the control plane, refused from all others.</summary>
public sealed class AgentAccessTests
{
    private static readonly byte[] emptyMessage = new byte[5]; // Not compressed, length 0: every kind of call takes it.

    public static TheoryData<string> Strangers => new(
        "another host of the cluster", "this host itself", "the server's API certificate", "another cluster's control plane",
        "another cluster's host", "a control plane whose certificate expired", "a control plane of tomorrow",
        "a control plane that signed itself", "nobody");

    [Fact]
    public async Task The_control_plane_reaches_every_call()
    {
        var cluster = new FakeCluster();
        await using var agent = await AgentUnderTest.StartAsync("h1", cluster["h1"]);
        using var client = Client(agent, agent.Ca.IssueControlPlane().Own);
        foreach (var call in Calls()) Assert.Equal((call.Name, true), (call.Name, await ReachesAsync(client, call)));
    }

    [Theory, MemberData(nameof(Strangers))]
    public async Task Nobody_else_reaches_any_call(string who)
    {
        var cluster = new FakeCluster();
        await using var agent = await AgentUnderTest.StartAsync("h1", cluster["h1"]);
        var directory = Directory.CreateTempSubdirectory("godwit-other-").FullName;
        var certificate = await CertificateAsync(who, agent, await AgentUnderTest.OtherClusterAsync(directory));
        var calls = Calls();
        Assert.InRange(calls.Count, 20, 200);
        foreach (var call in calls)
        {
            using var client = Client(agent, certificate); // A connection each: none lives off another's handshake.
            Assert.Equal((call.Name, false), (call.Name, await ReachesAsync(client, call)));
        }
        Assert.Empty(cluster["h1"].Calls);
        Directory.Delete(directory, recursive: true);
    }

    private static async Task<X509Certificate2?> CertificateAsync(string who, AgentUnderTest agent, ClusterCa other) => who switch
    {
        "a control plane whose certificate expired" => (await agent.CaAtAsync(TimeSpan.FromDays(-31))).IssueControlPlane().Own,
        "a control plane of tomorrow" => (await agent.CaAtAsync(TimeSpan.FromDays(1))).IssueControlPlane().Own,
        "a control plane that signed itself" => SelfSigned(new CertificateRole.ControlPlane(agent.Ca.Cluster)),
        _ => Certificate(who, agent.Ca, other),
    };

    private static X509Certificate2 SelfSigned(CertificateRole role)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=control-plane", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(SubjectUri.ToExtension(role.ToUri()));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    private static X509Certificate2? Certificate(string who, ClusterCa own, ClusterCa other) => who switch
    {
        "another host of the cluster" => Host(own, "h2"),
        "this host itself" => Host(own, "h1"),
        "the server's API certificate" => own.IssueApi([IPAddress.Loopback], ["control-plane"]),
        "another cluster's control plane" => other.IssueControlPlane().Own,
        "another cluster's host" => Host(other, "h1"),
        _ => null,
    };

    private static X509Certificate2 Host(ClusterCa ca, string name) => Joined.Host(ca, name).Own;

    private static List<MethodDescriptor> Calls() =>
        AgentReflection.Descriptor.Services.SelectMany(service => service.Methods).ToList();

    private static HttpClient Client(AgentUnderTest agent, X509Certificate2? certificate) => new(new SocketsHttpHandler
    {
        SslOptions =
        {
            EnabledSslProtocols = SslProtocols.Tls13,
            LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate!,
            RemoteCertificateValidationCallback = (_, peer, _, _) => peer?.Subject == "CN=h1", // The agent's own doing is asked for.
        },
    })
    { BaseAddress = new Uri($"https://{agent.Endpoint}/") };

    /// <summary>True where anything at all answers behind the handshake, be it only that the message makes no sense.</summary>
    private static async Task<bool> ReachesAsync(HttpClient client, MethodDescriptor call)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"{call.Service.FullName}/{call.Name}");
        (request.Version, request.VersionPolicy) = (HttpVersion.Version20, HttpVersionPolicy.RequestVersionExact);
        request.Content = new ByteArrayContent(emptyMessage) { Headers = { ContentType = new("application/grpc") } };
        try
        {
            using var answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
            return true;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }
}
