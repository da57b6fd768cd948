using System.Net;
using Godwit.Agent.Host;
using Godwit.Agent.Identity;
using Godwit.Agent.Rpc;
using Godwit.Cli.Api;
using Godwit.Cli.Services;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Server.Api;
using Godwit.Tests.Control;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Godwit.Tests.Identity;

/// <summary>
/// A machine that joins as `godwit agent join` does, over TLS, and then listens as an agent does: real identity, real listener for
/// orders, real listener for links. Behind them a host that does what it is told in memory.
/// </summary>
internal sealed class HostUnderTest : IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-host-").FullName;
    private readonly TimeProvider _time;
    private WebApplication? _web;

    public HostUnderTest(string name, TimeProvider time) => (Fake, _time) = (new FakeCluster()[name], time);

    public FakeHost Fake { get; }
    public string IdentityFile => Path.Combine(_directory, HostIdentity.FileName);
    public HostIdentity Identity => Fake.Identity!;
    public RealNetwork Network => new(() => Identity.Current, NullLogger<RealNetwork>.Instance);
    public IPeerListener Link { get; private set; } = null!;
    /// <summary>Where it will listen for orders: chosen before it joins, as in life.</summary>
    public string Endpoint { get; } = FreePort();

    /// <summary>Joins, listens, and is in the cluster when this returns.</summary>
    public static async Task<HostUnderTest> InAsync(ServerUnderTest server, string name, TimeProvider? time = null)
    {
        var host = new HostUnderTest(name, time ?? TimeProvider.System);
        await host.JoinAsync(server, await TokenAsync(server));
        await host.ListenAsync();
        await server.Control.Certificates.RoundAsync(CancellationToken.None);
        await server.OkAsync<HostView>("GET", $"hosts/{name}");
        return host;
    }

    public static async Task<JoinToken> TokenAsync(ServerUnderTest server, string? name = null) =>
        JoinToken.Parse((await server.OkAsync<NewJoinTokenView>("POST", "join-tokens", new { host = name })).Text);

    /// <param name="at">Null: where that server listens.</param>
    public async Task<JoinedView> JoinAsync(ServerUnderTest server, JoinToken token, string? name = null, IPEndPoint? at = null)
    {
        var settings = new RemoteSettings(null, "", token.CaFingerprint);
        using var client = ServerWay.Client(ServerAddress.Find($"https://{at ?? server.Listening}", _ => false), settings, _time);
        return await JoinRun.RunAsync(client, token, name ?? Fake.Id.Value, Endpoint, IdentityFile, _time, CancellationToken.None);
    }

    public async Task ListenAsync()
    {
        await ReadIdentityAsync();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddGrpc(grpc => grpc.Interceptors.Add<RefusalInterceptor>());
        builder.Services.AddSingleton<IHostAgent>(Fake);
        builder.WebHost.ConfigureKestrel(kestrel =>
            AgentListener.Listen(kestrel, IPEndPoint.Parse(Endpoint), () => Identity.Current, _time, NullLogger.Instance));
        _web = builder.Build();
        _web.MapGrpcService<HostAgentService>();
        await _web.StartAsync();
        Link = await Network.ListenPeersAsync("127.0.0.1:0", CancellationToken.None);
    }

    /// <summary>As a restart of the agent does.</summary>
    public async Task ReadIdentityAsync() => Fake.Identity =
        await HostIdentity.OpenAsync(IdentityFile, _directory, new RealDisk(), _time, CancellationToken.None);

    /// <summary>Null where a link opens from here to there, or why it does not.</summary>
    public async Task<string?> WhyNoLinkAsync(HostUnderTest other)
    {
        try
        {
            var accepting = other.Link.AcceptAsync(CancellationToken.None);
            var link = await Network.ConnectPeerAsync(other.Link.Endpoint, other.Fake.Id, CancellationToken.None);
            await link.Stream.DisposeAsync();
            await (await accepting).Stream.DisposeAsync();
            return null;
        }
        catch (IOException refused)
        {
            return refused.Message;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_web is not null)
        {
            await Link.DisposeAsync();
            await _web.DisposeAsync();
        }
        Directory.Delete(_directory, recursive: true);
    }

    private static string FreePort()
    {
        using var probe = new System.Net.Sockets.TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return probe.LocalEndpoint.ToString()!;
    }
}
