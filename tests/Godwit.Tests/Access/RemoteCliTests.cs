using System.Net.Sockets;
using Godwit.Cli;
using Godwit.Cli.Api;
using Godwit.Cli.Consoles;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Api;
using Godwit.Tests.Cli;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Xunit;

namespace Godwit.Tests.Access;

/// <summary>The command line against a real server elsewhere.</summary>
public sealed class RemoteCliTests : IDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("godwit-home-").FullName;

    private string CaFile => Path.Combine(_home, "ca.pem");
    private string TokenFile => Path.Combine(_home, "config", "token");

    [Fact]
    public async Task A_token_made_on_the_servers_machine_works_elsewhere_with_the_CA_as_file_or_fingerprint()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var ca = await HereAsync(server, $"ca --out {CaFile}");
        Assert.Equal(0, ca.ExitCode);
        var fingerprint = ca.Error.Split(' ')[^1].Trim();
        var token = (await HereAsync(server, "token create ci --role viewer --expires 30d")).Output.Trim();
        Assert.StartsWith("gwt_", token);

        foreach (var pin in new[] { CaFile, fingerprint, fingerprint.ToUpperInvariant().Replace("SHA256", "sha256") })
        {
            var me = await ElsewhereAsync(server, "whoami", new RemoteSettings(token, TokenFile, pin));
            Assert.Equal((0, ""), (me.ExitCode, me.Error));
            Assert.StartsWith("ci, viewer, from 127.0.0.1, token tk-", me.Output);
        }
        var refused = await ElsewhereAsync(server, "token list", new RemoteSettings(token, TokenFile, CaFile));
        Assert.Contains("ci has the role viewer, which may not GET tokens", refused.Error);
        Assert.Contains("roles admin", refused.Error);
        Assert.Contains("tk-", (await HereAsync(server, "token list")).Output);
        Assert.Equal(0, (await HereAsync(server, "token revoke ci")).ExitCode);
        Assert.Contains("token-invalid", (await ElsewhereAsync(server, "whoami", new RemoteSettings(token, TokenFile, CaFile))).Error);
    }

    [Fact]
    public async Task A_user_logs_in_and_the_token_lies_in_a_file_of_his_own()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await HereAsync(server, $"ca --out {CaFile}");
        var settings = new RemoteSettings(null, TokenFile, CaFile);
        Assert.Equal(0, (await HereAsync(server, "user add ann --role operator", "seven godwits over the sea")).ExitCode);
        Assert.Contains("token-missing", (await ElsewhereAsync(server, "vm list", settings)).Error);
        Assert.Contains("login-failed", (await ElsewhereAsync(server, "login ann", settings, "wrong wrong wrong")).Error);
        Assert.False(File.Exists(TokenFile));

        var login = await ElsewhereAsync(server, "login ann", settings, "seven godwits over the sea");
        Assert.StartsWith("ann is logged in as operator until ", login.Output);
        Assert.DoesNotContain("gwt_", login.Output + login.Error);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(TokenFile));
        Assert.StartsWith("ann, operator", (await ElsewhereAsync(server, "whoami", settings)).Output);

        File.SetUnixFileMode(TokenFile, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead);
        Assert.Contains("token-file-open", (await ElsewhereAsync(server, "whoami", settings)).Error);
        File.SetUnixFileMode(TokenFile, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Assert.Equal(0, (await ElsewhereAsync(server, "logout", settings)).ExitCode);
        Assert.False(File.Exists(TokenFile));
        Assert.Contains("ann", (await HereAsync(server, "user list")).Output);
        Assert.Equal(0, (await HereAsync(server, "user remove ann")).ExitCode);
    }

    [Fact]
    public async Task A_server_that_is_not_the_one_gets_neither_belief_nor_the_token()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await using var other = await ServerUnderTest.StartRemoteAsync();
        await HereAsync(other, $"ca --out {CaFile}");
        var token = $"gwt_{new string('1', 64)}";
        foreach (var (pin, code) in new[]
        {
            (CaFile, "server-not-trusted"), ($"sha256:{new string('0', 64)}", "server-not-trusted"),
            (Path.Combine(_home, "none.pem"), "ca-unknown"), ("/proc/self/status", "ca-unusable"),
        })
            Assert.Contains(code, (await ElsewhereAsync(server, "vm list", new RemoteSettings(token, TokenFile, pin))).Error);
        var rows = await server.OkAsync<Server.Audit.AuditRow[]>("GET", "audit?after=0");
        Assert.Empty(rows); // Not even a refused attempt: the token was never sent.
    }

    [Fact]
    public async Task A_host_of_the_cluster_cannot_pass_for_its_server()
    {
        await using var agent = await Rpc.AgentUnderTest.StartAsync("h1", new FakeCluster()["h1"]);
        var host = Joined.Host(agent.Ca, "h1");
        using var api = agent.Ca.IssueApi([], ["h1"]);
        var now = DateTimeOffset.UtcNow;
        Assert.Null(ApiCertificate.Problem(api, host.Ca, now));
        Assert.Contains("not of its server", ApiCertificate.Problem(host.Own, host.Ca, now));
        Assert.Contains("not of its server", ApiCertificate.Problem(agent.Ca.IssueControlPlane().Own, host.Ca, now));
        Assert.NotNull(ApiCertificate.Problem(host.Ca, host.Ca, now));
        Assert.NotNull(ApiCertificate.Problem(api, host.Ca, now + TimeSpan.FromDays(31)));
        Assert.NotNull(ApiCertificate.Problem(null, host.Ca, now));
        Assert.IsType<PeerVerdict.Refused>(host.Check(api, now)); // Nor the other way round: no agent obeys it.
    }

    [Theory]
    [InlineData("http://127.0.0.1:7445", "bad-server-address")]
    [InlineData("https://", "bad-server-address")]
    [InlineData("https://user:secret@host/", "bad-server-address")]
    [InlineData("https://host/path", "bad-server-address")]
    [InlineData("ftp://host", "bad-server-address")]
    [InlineData("https://127.0.0.1:1", "server-not-reachable")]
    public async Task An_address_that_cannot_work_says_why(string address, string code)
    {
        var settings = new RemoteSettings(null, TokenFile, $"sha256:{new string('0', 64)}");
        var run = await GodwitRun.OfAsync(ServerAddress.Find(address, _ => false), "vm list", isTerminal: false, default, settings);
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.Contains(code, run.Error);
        Assert.Contains("Next: ", run.Error);
    }

    [Theory]
    [InlineData("https://host", "https://host:7445")]
    [InlineData("https://host/", "https://host:7445")]
    [InlineData("https://host:443/", "https://host")]
    [InlineData("https://[::1]:9000", "https://[::1]:9000")]
    public void A_port_left_out_is_godwits(string chosen, string place) =>
        Assert.Equal(place, ServerAddress.Find(chosen, _ => false).Place);

    [Fact]
    public async Task The_audit_is_read_exported_and_checked_here_and_without_a_server()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        Assert.Contains("POST hosts", (await HereAsync(server, "audit list --since 1h")).Output);
        var verified = await HereAsync(server, "audit verify");
        Assert.StartsWith("Whole: 4 rows", verified.Output);
        var head = verified.Error.Split(' ')[1];
        Assert.Equal(0, (await HereAsync(server, $"audit verify --head {head}")).ExitCode);

        var export = Path.Combine(_home, "audit.jsonl");
        await File.WriteAllTextAsync(export, (await HereAsync(server, "audit export")).Output);
        Assert.StartsWith("Whole: 4 rows", (await HereAsync(server, $"audit verify --file {export} --head {head}")).Output);
        var lines = await File.ReadAllLinesAsync(export);
        await File.WriteAllLinesAsync(export, [lines[0], lines[1].Replace("h1", "h9"), lines[2], lines[3]]);
        var changed = await HereAsync(server, $"audit verify --file {export}");
        Assert.Equal(1, changed.ExitCode);
        Assert.Contains("row 2 was changed", changed.Output);
        await File.WriteAllLinesAsync(export, [lines[0], lines[2], lines[1], lines[3]]);
        Assert.Contains("out-of-order", (await HereAsync(server, $"audit verify --file {export}")).Output);
        await File.WriteAllLinesAsync(export, lines[..3]);
        Assert.Contains("cut-off", (await HereAsync(server, $"audit verify --file {export} --head {head}")).Output);
    }

    [Fact]
    public async Task The_console_works_from_elsewhere_with_a_token_that_may_do_nothing_else()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        await server.CreateVmAsync("web");
        await HereAsync(server, $"ca --out {CaFile}");
        var token = (await HereAsync(server, "token create desk --role console")).Output.Trim();
        using var session = new Session(new Surroundings
        {
            Output = TextWriter.Null, Error = TextWriter.Null, IsTerminal = false, Width = 80, Time = TimeProvider.System,
            Server = ServerAddress.Find($"https://{server.Listening}", _ => false), Remote = new RemoteSettings(token, TokenFile, CaFile),
        }, json: false);
        var keys = new System.IO.Pipelines.Pipe();
        var picture = new System.IO.Pipelines.Pipe();
        var run = new SerialConsole(session, "web", keys.Reader.AsStream(), picture.Writer.AsStream()).RunAsync(default);
        await keys.Writer.WriteAsync("ls\n"u8.ToArray());
        var echoed = await picture.Reader.ReadAtLeastAsync(3);
        Assert.Equal("ls\n", System.Text.Encoding.ASCII.GetString(echoed.Buffer.FirstSpan));
        await keys.Writer.WriteAsync("\u001d"u8.ToArray());
        Assert.Equal(ExitCode.All, await run);
        await Assert.ThrowsAsync<ApiException>(() => session.Api.VmsAsync(default));
    }

    [Fact]
    public async Task A_display_is_at_a_socket_of_the_persons_own_for_as_long_as_the_command_runs()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.OkAsync<VmView>("POST", "vms", new { name = "web", display = "vnc", start = true });
        await server.CreateVmAsync("plain");
        using var session = new Session(new Surroundings
        {
            Output = TextWriter.Null, Error = TextWriter.Null, IsTerminal = false, Width = 80, Time = TimeProvider.System,
            Server = new ServerAddress(server.SocketPath, IsChosen: true),
        }, json: false);
        var none = await Assert.ThrowsAsync<ApiException>(() => DisplaySocket.ServeAsync(session, "plain", null, default));
        Assert.Equal("display-none", none.Error.Code);

        var path = Path.Combine(_home, "web.vnc");
        using var leave = new CancellationTokenSource();
        var run = DisplaySocket.ServeAsync(session, "web", path, leave.Token);
        const UnixFileMode own = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        for (var look = 0; look < 250 && !(File.Exists(path) && File.GetUnixFileMode(path) == own); look++) await Task.Delay(20);
        Assert.Equal(own, File.GetUnixFileMode(path));
        await using (var viewer = await ViewerAsync(path))
        {
            await viewer.WriteAsync("RFB"u8.ToArray());
            var echoed = new byte[3];
            await viewer.ReadExactlyAsync(echoed);
            Assert.Equal("RFB", System.Text.Encoding.ASCII.GetString(echoed));
        }
        var others = Path.Combine(_home, "others");
        await File.WriteAllTextAsync(others, "");
        foreach (var bad in new[] { "/nowhere/at/all", others })
            await Assert.ThrowsAsync<ApiException>(() => DisplaySocket.ServeAsync(session, "web", bad, default));
        Assert.True(File.Exists(others));
        await leave.CancelAsync();
        Assert.Equal(ExitCode.All, await run);
        Assert.False(File.Exists(path));
    }

    private static async Task<NetworkStream> ViewerAsync(string path)
    {
        var viewer = new Socket(AddressFamily.Unix, SocketType.Stream,
            ProtocolType.Unspecified);
        for (var tries = 0; ; tries++)
        {
            try
            {
                await viewer.ConnectAsync(new UnixDomainSocketEndPoint(path));
                return new NetworkStream(viewer, ownsSocket: true);
            }
            catch (SocketException) when (tries < 100)
            {
                await Task.Delay(20); // Bound, and not listening yet.
            }
        }
    }

    public void Dispose() => Directory.Delete(_home, recursive: true);

    private static Task<GodwitRun> HereAsync(ServerUnderTest server, string line, string? secret = null) =>
        GodwitRun.OfAsync(new ServerAddress(server.SocketPath, IsChosen: true), line, isTerminal: false, default,
            RemoteSettings.Of(_ => null), secret);

    private static Task<GodwitRun> ElsewhereAsync(ServerUnderTest server, string line, RemoteSettings settings, string? secret = null) =>
        GodwitRun.OfAsync(ServerAddress.Find($"https://{server.Listening}", _ => false), line, isTerminal: false, default,
            settings, secret);
}
