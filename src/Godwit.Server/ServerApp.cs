using System.Net;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Server.Access;
using Godwit.Server.Agents;
using Godwit.Server.Api;
using Godwit.Server.Audit;
using Godwit.Server.Fencing;
using Godwit.Server.Identity;
using Godwit.Server.Observing;
using Godwit.Server.Power;
using Godwit.Server.Store;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.Protocols;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;

namespace Godwit.Server;

/// <summary>How one server is started: all of it from its command line.</summary>
/// <param name="StateDirectory">Store and CA; 0700. One server at a time.</param>
/// <param name="SocketPath">Where the API listens for this machine's admin: 0600, and that is who may use it. Null:
/// server.sock in the state directory.</param>
/// <param name="Listen">Where the API listens for everybody with a token, over TLS; null: nowhere.</param>
public sealed record ServerOptions(string StateDirectory, string? SocketPath = null, IPEndPoint? Listen = null)
{
    /// <summary>More host names for the TLS certificate; the machine's own and its addresses are in it always.</summary>
    public IReadOnlyList<string> Names { get; init; } = [];
    /// <summary>Whose people may log in; null: only users made here.</summary>
    public OidcSettings? Oidc { get; init; }
    /// <summary>Where the hooks are that turn hosts off.</summary>
    public string FenceHooks { get; init; } = CommandFence.DirectoryDefault;
    /// <summary>Where the hooks are that turn hosts off and on to save power: never the same directory.</summary>
    public string PowerHooks { get; init; } = CommandPower.DirectoryDefault;
    /// <summary>How long a host is silent before its fence is tried for VMs marked <c>ha</c>; null: the default.</summary>
    public TimeSpan? HaAfter { get; init; }
    /// <summary>How long a minute of the balancer is; null: a minute.</summary>
    public BalancerPace? BalancerPace { get; init; }
    /// <summary>How long a host that is fenced by its watchdog goes on without a server; null: the default.</summary>
    public TimeSpan? WatchdogLease { get; init; }
    /// <summary>Logs as a JSON document a line, with each value under its name, instead of sentences.</summary>
    public bool JsonLogs { get; init; }
    /// <summary>Logs with priorities and without the time, as the journal wants them.</summary>
    public bool LogsToJournal { get; init; }
    public string Socket => SocketPath ?? Path.Combine(StateDirectory, "server.sock");
}

/// <summary>What of the machine the server is given.</summary>
/// <param name="Connector">Null: gRPC with the cluster's certificates.</param>
public sealed record ServerPorts(IDisk Disk, IRandomness Randomness, TimeProvider Time, IAgentConnector? Connector = null)
{
    /// <summary>What runs hooks, and says which may be run; null: this server has none.</summary>
    public (IProcesses Processes, IProgramFiles Files)? Programs { get; init; }
    /// <summary>Pages for people; null: there is the API only.</summary>
    public IWebConsole? Console { get; init; }
}

/// <summary>The server process, put together: store, CA, control plane, and the REST API in front.</summary>
public sealed class ServerApp : IAsyncDisposable
{
    private readonly WebApplication _web;
    private readonly ControlPlane _control;
    private readonly IDisposable[] _owned;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _anchoring;

    private ServerApp(WebApplication web, ControlPlane control, AuditAnchor anchor, params IDisposable[] owned)
    {
        (_web, _control, _owned) = (web, control, owned);
        _anchoring = anchor.RunAsync(control.Audit, _stopping.Token);
    }

    public ControlPlane Control => _control;
    /// <summary>Everything that can be called.</summary>
    public IReadOnlyList<Endpoint> Endpoints => _web.Services.GetRequiredService<EndpointDataSource>().Endpoints;
    /// <summary>Where the API really listens over TLS; null: nowhere.</summary>
    public IPEndPoint? Listening => _web.Urls.Where(url => url.StartsWith("https://", StringComparison.Ordinal))
        .Select(url => IPEndPoint.Parse(new Uri(url).Authority)).FirstOrDefault();

    /// <summary>Runs until <paramref name="stopping"/>, a signal, or a store that cannot be trusted any more.</summary>
    /// <param name="serving">Called once, when the API answers.</param>
    public static async Task RunAsync(ServerOptions options, ServerPorts ports, Action serving, CancellationToken stopping)
    {
        await using var app = await StartAsync(options, ports, stopping);
        serving();
        await app._web.WaitForShutdownAsync(stopping);
    }

    /// <summary>Serves when it returns. Throws <see cref="RefusedException"/> where it cannot.</summary>
    public static async Task<ServerApp> StartAsync(ServerOptions options, ServerPorts ports, CancellationToken stopping)
    {
        Directory.CreateDirectory(options.StateDirectory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var alone = Alone(options.StateDirectory);
        SqliteDatabase? database = null;
        AgentChannels? channels = null;
        ControlPlane? control = null;
        try
        {
            var ca = await ClusterCa.OpenOrCreateAsync(options.StateDirectory, ports.Disk, ports.Randomness, ports.Time, stopping);
            var storePath = Path.Combine(options.StateDirectory, "godwit.db");
            var isFresh = ports.Disk.SizeOf(storePath) is not > 0;
            database = OpenStore(storePath);
            var identity = new ControlPlaneIdentity(ca, ports.Time);
            if (ports.Connector is null) channels = new AgentChannels(identity.Current, ports.Time, new AgentDeadlines());

            var builder = Builder(options, ports, ca);
            var web = builder.Build();
            if (isFresh)
                web.Logger.LogWarning("{Store} was not there: an empty one is made. If it was lost, stop this server and run: "
                    + "godwit server rebuild --host NAME=ADDRESS:PORT", storePath);
            control = new ControlPlane(database, ports.Connector ?? channels!, ports.Randomness, ports.Time,
                web.Services.GetRequiredService<ILoggerFactory>(), identity,
                new FailPoints(Environment.GetEnvironmentVariable("GODWIT_FAILPOINTS"), ports.Time, ports.Disk),
                new FenceSettings(Fence(options, ports), options.HaAfter, options.WatchdogLease) { Power = Power(options, ports) },
                options.BalancerPace);
            var anchor = new AuditAnchor(Path.Combine(options.StateDirectory, "audit-head"), ports.Disk, control.Stores.Audit, ports.Time,
                web.Services.GetRequiredService<ILogger<AuditAnchor>>());
            var metrics = new ServerMetrics(control);
            database.Measured = (ports.Time, metrics.Wrote);
            var oidc = options.Oidc is { } settings ? Oidc(settings, control, ports) : null;
            Map(web, control, ca, anchor, oidc, new GatePorts(ports.Randomness, ports.Time, ports.Console), metrics);
            ((IEndpointRouteBuilder)web).DataSources.SelectMany(source => source.Endpoints).CheckNeeds();
            await control.StartAsync();
            await web.StartAsync(stopping);
            var app = new ServerApp(web, control, anchor, channels is null ? [database, alone] : [channels, database, alone]);
            if (app.Listening is { } at)
                web.Logger.LogInformation("the API listens at https://{At}; the cluster's CA is {Fingerprint}", at, ca.Fingerprint);
            return app;
        }
        catch
        {
            if (control is not null) await control.StopAsync();
            channels?.Dispose();
            database?.Dispose();
            alone.Dispose();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _web.StopAsync();
        await _control.StopAsync();
        _stopping.Cancel();
        await _anchoring;
        await _web.DisposeAsync();
        _stopping.Dispose();
        foreach (var owned in _owned) owned.Dispose();
    }

    private static CommandFence? Fence(ServerOptions options, ServerPorts ports) => ports.Programs is { } programs
        ? new CommandFence(options.FenceHooks, programs.Processes, programs.Files) : null;

    private static CommandPower? Power(ServerOptions options, ServerPorts ports) => ports.Programs is { } programs
        ? new CommandPower(options.PowerHooks, programs.Processes, programs.Files) : null;

    /// <summary>Nothing is fetched before somebody logs in: a server starts, and lets local users in, while the issuer is away.</summary>
    private static OidcLogIn Oidc(OidcSettings settings, ControlPlane control, ServerPorts ports)
    {
        settings.Check();
        var http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false })
        { Timeout = TimeSpan.FromSeconds(10), MaxResponseContentBufferSize = 1 << 20 };
        var documents = new HttpDocumentRetriever(http) { RequireHttps = settings.Issuer.StartsWith("https:", StringComparison.Ordinal) };
        var issuer = new ConfigurationManager<OpenIdConnectConfiguration>(
            settings.Discovery, new OpenIdConnectConfigurationRetriever(), documents);
        return new OidcLogIn(settings, issuer, control.Access, ports.Randomness, ports.Time);
    }

    private static SqliteDatabase OpenStore(string path)
    {
        try
        {
            MakePrivate(path);
            return new SqliteDatabase(path, broken => Environment.FailFast(
                $"The store failed: {broken.Message}. The next start recovers what was committed.", broken));
        }
        catch (Exception reason) when (reason is StoreFailedException or InvalidDataException or IOException or UnauthorizedAccessException)
        {
            throw new RefusedException("store-unusable", reason.Message,
                "look at the disk, restore the file from a backup, or start the godwit version that wrote it; VMs go on running meanwhile");
        }
    }

    /// <summary>It holds hashes of passwords, and its directory may be one that was there before and is open to others.</summary>
    internal static void MakePrivate(string path)
    {
        const UnixFileMode ownersOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        // SQLite gives the files beside it the mode of the first.
        var create = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write, UnixCreateMode = ownersOnly };
        using (new FileStream(path, create)) { }
        foreach (var file in new[] { path, path + "-wal", path + "-shm" })
            if (File.Exists(file)) File.SetUnixFileMode(file, ownersOnly);
    }

    private static WebApplicationBuilder Builder(ServerOptions options, ServerPorts ports, ClusterCa ca)
    {
        var builder = WebApplication.CreateSlimBuilder();
        (options.JsonLogs
            ? builder.Logging.ClearProviders().AddJsonConsole(json => (json.TimestampFormat, json.UseUtcTimestamp) = ("O", true))
            : options.LogsToJournal ? builder.Logging.ClearProviders().AddSystemdConsole()
            : builder.Logging.ClearProviders().AddSimpleConsole(console =>
            {
                console.SingleLine = true;
                console.TimestampFormat = "HH:mm:ss.fff ";
                console.UseUtcTimestamp = true;
            }))
            .AddFilter("Microsoft", LogLevel.Warning).AddFilter("Grpc", LogLevel.Warning);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(5));
        builder.Services.Configure<JsonOptions>(json => ApiJson.Configure(json.SerializerOptions, strict: true));
        builder.Services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        builder.Services.AddOpenApi("v1");
        ServerAppListeners.Add(builder, options, ca, ports.Time);
        ports.Console?.AddTo(builder, options);
        return builder;
    }

    private static void Map(WebApplication web, ControlPlane control, ClusterCa ca, AuditAnchor anchor, OidcLogIn? oidc, GatePorts gate,
        ServerMetrics metrics)
    {
        var stopping = web.Lifetime.ApplicationStopping;
        var streams = new Streams();
        web.Use(metrics.CountAsync); // Outside all that turns failures into answers: it counts what was answered.
        web.UseMiddleware<ApiErrors>();
        web.UseMiddleware<Gate>(control, gate);
        web.UseMiddleware<RequestKeys>(control.Stores.Operations);
        web.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.FromSeconds(30) });
        gate.Console?.Use(web);
        gate.Console?.MapTo(web);
        web.MapOpenApi("/openapi/{documentName}.json").Needs(Permission.OwnAccount);
        web.MapCa(ca);
        web.MapMetrics(metrics);
        var api = web.MapGroup("/api/v1");
        api.MapHosts(control);
        api.MapDrains(control, gate.Time);
        api.MapLoads(control, gate.Time);
        api.MapBalance(control);
        api.MapPower(control);
        api.MapPlacement(control);
        api.MapJoining(control);
        api.MapTemplates(control);
        api.MapVms(control);
        api.MapSnapshots(control);
        api.MapMigrations(control, streams, stopping);
        api.MapEvents(control, streams, stopping);
        api.MapConsole(control, streams, stopping);
        api.MapAccess(control);
        api.MapOidc(oidc);
        api.MapAudit(control, anchor);
        api.MapChecks(control, anchor);
    }

    /// <summary>Two servers on one store would run every move twice.</summary>
    internal static FileStream Alone(string stateDirectory)
    {
        var path = Path.Combine(stateDirectory, "server.lock");
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException reason)
        {
            throw new RefusedException("server-runs-already", $"{path} is held: {reason.Message}",
                "another server uses this state directory: stop it, or choose another with --state-dir");
        }
    }
}
