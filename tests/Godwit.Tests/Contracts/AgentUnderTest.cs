using System.Net;
using Godwit.Agent.Host;
using Godwit.Agent.Rpc;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Identity;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Godwit.Tests.Identity;

namespace Godwit.Tests.Rpc;

/// <summary>An agent's real gRPC end over real TLS on loopback, in front of a host that tests script.</summary>
internal sealed class AgentUnderTest : IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-rpc-").FullName;
    private readonly List<AgentChannels> _channels = [];
    private WebApplication _web = null!;

    public ClusterCa Ca { get; private set; } = null!;
    public string Endpoint { get; private set; } = "";

    public static async Task<AgentUnderTest> StartAsync(string name, IHostAgent host)
    {
        var agent = new AgentUnderTest();
        agent.Ca = await OtherClusterAsync(agent._directory);
        var bundle = Joined.Host(agent.Ca, name);

        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddGrpc(grpc =>
        {
            grpc.Interceptors.Add<TraceInterceptor>();
            grpc.Interceptors.Add<RefusalInterceptor>();
        });
        builder.Services.AddSingleton(host);
        builder.WebHost.ConfigureKestrel(kestrel =>
            AgentListener.Listen(kestrel, new IPEndPoint(IPAddress.Loopback, 0), () => bundle, TimeProvider.System, NullLogger.Instance));
        agent._web = builder.Build();
        agent._web.MapGrpcService<HostAgentService>();
        await agent._web.StartAsync();
        agent.Endpoint = new Uri(agent._web.Urls.Single()).Authority;
        return agent;
    }

    /// <summary>The cluster's own CA as it was, or will be.</summary>
    public Task<ClusterCa> CaAtAsync(TimeSpan offset) => CaAsync(_directory, offset);

    /// <summary>A cluster that is old enough to have certificates that expired.</summary>
    public static async Task<ClusterCa> OtherClusterAsync(string directory)
    {
        await CaAsync(directory, TimeSpan.FromDays(-40));
        return await CaAsync(directory, TimeSpan.Zero);
    }

    public static Task<ClusterCa> CaAsync(string directory, TimeSpan offset) => ClusterCa.OpenOrCreateAsync(
        directory, new RealDisk(), new RealRandomness(), new ShiftedTime { Offset = offset }, CancellationToken.None);

    /// <summary>The server's view of it.</summary>
    /// <param name="name">Who it is expected to be.</param>
    /// <param name="identity">Null: the control plane of its cluster.</param>
    public IHostAgent Client(string name, IdentityBundle? identity = null, AgentDeadlines? deadlines = null, string? endpoint = null)
    {
        var own = identity ?? Ca.IssueControlPlane();
        var channels = new AgentChannels(() => own, TimeProvider.System, deadlines ?? new AgentDeadlines());
        _channels.Add(channels);
        return channels.Connect(new HostId(name), endpoint ?? Endpoint);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var channels in _channels) channels.Dispose();
        await _web.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }
}
