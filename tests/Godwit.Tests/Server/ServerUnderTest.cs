using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Server;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>A whole server on a real unix socket and a real SQLite file, with hosts that are told what to do.</summary>
internal sealed class ServerUnderTest : IAsyncDisposable
{
    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("godwit-test-").FullName;
    private ServerApp _app = null!;
    private IPEndPoint? _listen;
    private TimeProvider _time = TimeProvider.System;
    private bool _dials, _stopped;
    private OidcSettings? _oidc;

    public FakeCluster Cluster { get; } = new();
    public HttpClient Http { get; private set; } = null!;
    public ControlPlane Control => _app.Control;
    public string Directory => _directory;
    public string StorePath => Path.Combine(_directory, "godwit.db");
    public string FenceHooks => Path.Combine(_directory, "fence.d");
    public string PowerHooks => Path.Combine(_directory, "power.d");
    public string SocketPath => Path.Combine(_directory, "server.sock");

    /// <param name="hosts">Already added.</param>
    public static Task<ServerUnderTest> StartAsync(params string[] hosts) => StartAtAsync(TimeProvider.System, hosts);

    public static async Task<ServerUnderTest> StartAtAsync(TimeProvider time, params string[] hosts)
    {
        var server = new ServerUnderTest { _time = time };
        await server.StartAgainAsync();
        foreach (var host in hosts) await server.OkAsync<HostView>("POST", "hosts", new { name = host, endpoint = $"{host}:7443" });
        return server;
    }

    /// <summary>Listens on TLS too, at a free port of loopback.</summary>
    public static async Task<ServerUnderTest> StartRemoteAsync(TimeProvider? time = null, OidcSettings? oidc = null)
    {
        var server = new ServerUnderTest
        { _listen = new IPEndPoint(IPAddress.Loopback, 0), _time = time ?? TimeProvider.System, _oidc = oidc };
        await server.StartAgainAsync();
        return server;
    }

    /// <summary>As that; and it reaches its hosts over real TLS, where the cluster's are fakes else.</summary>
    public static async Task<ServerUnderTest> StartDialingAsync(TimeProvider? time = null)
    {
        var server = new ServerUnderTest
        { _listen = new IPEndPoint(IPAddress.Loopback, 0), _time = time ?? TimeProvider.System, _dials = true };
        await Rpc.AgentUnderTest.OtherClusterAsync(server._directory); // An old CA: what it signed may have expired.
        await server.StartAgainAsync();
        return server;
    }

    public IReadOnlyList<Microsoft.AspNetCore.Http.Endpoint> Endpoints => _app.Endpoints;
    public IPEndPoint Listening => _app.Listening!;

    public async Task<string> TokenAsync(Role role, string? name = null) =>
        (await OkAsync<NewTokenView>("POST", "tokens", new { name = name ?? $"for-{role.ToString().ToLowerInvariant()}", role })).Text;

    /// <summary>A client from elsewhere, which trusts the server because it knows the cluster's CA.</summary>
    public async Task<HttpClient> RemoteAsync(string? token)
    {
        var ca = X509Certificate2.CreateFromPem(await Http.GetStringAsync("/ca.pem"));
        var client = new HttpClient(new SocketsHttpHandler
        {
            SslOptions =
            {
                RemoteCertificateValidationCallback = (_, peer, _, _) => ApiCertificate.Problem(peer, ca, DateTimeOffset.UtcNow) is null,
            },
        })
        { BaseAddress = new Uri($"https://{Listening}/api/v1/"), Timeout = TimeSpan.FromSeconds(60) };
        if (token is not null) client.DefaultRequestHeaders.Authorization = new("Bearer", token);
        return client;
    }

    public async Task StartAgainAsync()
    {
        var ports = new ServerPorts(new RealDisk(), new RealRandomness(), _time, _dials ? null : Cluster)
        {
            Programs = (new RealProcesses(), new ProgramFiles()),
            Console = _listen is null ? null : new Godwit.WebConsole.WebConsoleApp(),
        };
        var options = new ServerOptions(_directory, Listen: _listen) { Oidc = _oidc, FenceHooks = FenceHooks, PowerHooks = PowerHooks };
        _app = await ServerApp.StartAsync(options, ports, CancellationToken.None);
        _stopped = false;
        Http = new HttpClient(Handler()) { BaseAddress = new Uri("http://godwit/api/v1/"), Timeout = TimeSpan.FromSeconds(60) };
    }

    public async Task StopAsync()
    {
        if (_stopped) return;
        _stopped = true;
        Http.Dispose();
        await _app.DisposeAsync();
    }

    public async Task<T> OkAsync<T>(string method, string path, object? body = null, string? key = null)
    {
        using var answer = await SendAsync(method, path, body, key);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, $"{method} {path}: {text}");
        return JsonSerializer.Deserialize<T>(text, ApiJson.Lenient)!;
    }

    public async Task<ApiProblem> ProblemAsync(string method, string path, object? body = null, string? key = null)
    {
        using var answer = await SendAsync(method, path, body, key);
        return await ReadProblemAsync(answer);
    }

    public static async Task<ApiProblem> ReadProblemAsync(HttpResponseMessage answer)
    {
        var text = await answer.Content.ReadAsStringAsync();
        Assert.False(answer.IsSuccessStatusCode, text);
        Assert.Equal(ApiErrors.ContentType, answer.Content.Headers.ContentType?.MediaType);
        var problem = JsonSerializer.Deserialize<ApiProblem>(text, ApiJson.Lenient)!;
        Assert.Equal((int)answer.StatusCode, problem.Status);
        Assert.NotEmpty(problem.Next);
        Assert.NotEmpty(problem.Cause);
        Assert.NotEmpty(problem.Code);
        Assert.All(problem.Reasons, reason => Assert.NotEmpty(reason.Fix));
        return problem;
    }

    public Task<HttpResponseMessage> SendAsync(string method, string path, object? body = null, string? key = null)
    {
        var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (body is string json) request.Content = new StringContent(json, Encoding.UTF8, "application/json");
        else if (body is not null) request.Content = JsonContent.Create(body, options: ApiJson.Lenient);
        if (key is not null) request.Headers.Add("Idempotency-Key", key);
        return Http.SendAsync(request);
    }

    public async Task<VmView> CreateVmAsync(string name, string? host = null, bool start = true) =>
        await OkAsync<VmView>("POST", "vms", new CreateVmRequest(name) { Host = host, Start = start });

    /// <summary>The move once it has ended.</summary>
    public async Task<Migration> EndOfAsync(MoveId move)
    {
        await foreach (var seen in WatchAsync(move))
            if (seen.End is not null) return seen;
        throw new InvalidOperationException("the stream ended before the move");
    }

    public async IAsyncEnumerable<Migration> WatchAsync(MoveId move)
    {
        using var stream = await Http.GetStreamAsync($"migrations/{move}/events");
        var parser = System.Net.ServerSentEvents.SseParser.Create(
            stream, (_, data) => JsonSerializer.Deserialize<Migration>(data, ApiJson.Lenient)!);
        await foreach (var item in parser.EnumerateAsync()) yield return item.Data;
    }

    public async Task<WebSocket> ConsoleAsync(string vm, string seat = "console")
    {
        var socket = new ClientWebSocket();
        await socket.ConnectAsync(
            new Uri($"ws://godwit/api/v1/vms/{vm}/{seat}"), new HttpMessageInvoker(Handler()), CancellationToken.None);
        return socket;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        System.IO.Directory.Delete(_directory, recursive: true);
    }

    private SocketsHttpHandler Handler() => new()
    {
        ConnectCallback = async (_, cancel) =>
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath), cancel);
            return new NetworkStream(socket, ownsSocket: true);
        },
        AutomaticDecompression = DecompressionMethods.None,
    };
}
