using Godwit.Cli.Api;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Server.Api;
using Godwit.Server.Audit;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Identity;

/// <summary>Machines that want to become hosts, over real TLS.</summary>
public sealed class JoinTests
{
    [Fact]
    public async Task A_machine_with_a_token_becomes_a_host_once_the_server_has_reached_it()
    {
        await using var server = await ServerUnderTest.StartDialingAsync();
        await using var host = new HostUnderTest("h1", TimeProvider.System);
        var joined = await host.JoinAsync(server, await HostUnderTest.TokenAsync(server));

        Assert.Equal("h1", joined.Host);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(host.IdentityFile));
        await server.Control.Certificates.RoundAsync(default);
        Assert.Empty(await server.OkAsync<HostView[]>("GET", "hosts")); // Nobody has answered there yet.

        await host.ListenAsync();
        Assert.Equal(new CertificateRole.Host(joined.Cluster, new HostId("h1")), host.Identity.Current.Role);
        await server.Control.Certificates.RoundAsync(default);
        var shown = Assert.Single(await server.OkAsync<HostView[]>("GET", "hosts"));
        Assert.Equal((HostState.Ready, host.Endpoint), (shown.State, shown.Endpoint));
        Assert.InRange(shown.Facts!.Certificate!.NotAfter - DateTimeOffset.UtcNow, TimeSpan.FromDays(29.9), TimeSpan.FromDays(30.1));
    }

    [Fact]
    public async Task A_token_is_good_once()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var token = await HostUnderTest.TokenAsync(server);
        await using var first = new HostUnderTest("h1", TimeProvider.System);
        await using var second = new HostUnderTest("h2", TimeProvider.System);
        await first.JoinAsync(server, token);

        Assert.Equal("join-token-used", await WhyNotAsync(() => second.JoinAsync(server, token)));
        Assert.Equal("join-token-used", await WhyNotAsync(() => first.JoinAsync(server, token)));
        Assert.False(File.Exists(second.IdentityFile));
    }

    [Fact]
    public async Task Of_many_at_once_with_one_token_one_wins()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var token = await HostUnderTest.TokenAsync(server);
        var hosts = Enumerable.Range(1, 8).Select(n => new HostUnderTest($"h{n}", TimeProvider.System)).ToList();
        var answers = await Task.WhenAll(hosts.Select(host => WhyNotAsync(() => host.JoinAsync(server, token))));
        Assert.Equal(1, answers.Count(answer => answer is null));
        Assert.Equal(7, answers.Count(answer => answer == "join-token-used"));
        Assert.Equal(1, hosts.Count(host => File.Exists(host.IdentityFile)));
        foreach (var host in hosts) await host.DisposeAsync();
    }

    [Fact]
    public async Task An_expired_token_a_wrong_name_and_a_wrong_secret_are_each_told_apart()
    {
        var time = new ShiftedTime();
        await using var server = await ServerUnderTest.StartRemoteAsync(time);
        await using var host = new HostUnderTest("h1", time);
        var token = await HostUnderTest.TokenAsync(server);
        Assert.Equal("join-token-unknown", await WhyNotAsync(() => host.JoinAsync(server, token with { Secret = new string('0', 64) })));
        Assert.Equal("join-token-unknown", await WhyNotAsync(() => host.JoinAsync(server, token with { Id = "000000000000" })));
        Assert.Equal("bad-name", await WhyNotAsync(() => host.JoinAsync(server, token, name: "H 1")));
        var forH2 = await HostUnderTest.TokenAsync(server, "h2");
        Assert.Equal("join-token-for-other-host", await WhyNotAsync(() => host.JoinAsync(server, forH2)));
        time.Offset = TimeSpan.FromMinutes(16);
        Assert.Equal("join-token-expired", await WhyNotAsync(() => host.JoinAsync(server, token)));
        time.Offset = TimeSpan.Zero;
        Assert.Null(await WhyNotAsync(() => host.JoinAsync(server, token))); // None of it has spent the token.
    }

    [Fact]
    public async Task A_name_that_is_taken_needs_a_token_made_for_it()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        await using var host = new HostUnderTest("h1", TimeProvider.System);
        Assert.Equal("name-taken", await WhyNotAsync(async () => await host.JoinAsync(server, await HostUnderTest.TokenAsync(server))));
        Assert.Null(await WhyNotAsync(async () => await host.JoinAsync(server, await HostUnderTest.TokenAsync(server, "h1"))));
        await using var another = new HostUnderTest("h2", TimeProvider.System);
        Assert.Null(await WhyNotAsync(async () => await another.JoinAsync(server, await HostUnderTest.TokenAsync(server))));
        await using var sameName = new HostUnderTest("h2", TimeProvider.System);
        Assert.Equal("name-taken", await WhyNotAsync(async () => await sameName.JoinAsync(server, await HostUnderTest.TokenAsync(server))));
    }

    [Fact]
    public async Task A_server_of_another_CA_never_sees_the_secret()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await using var impostor = await ServerUnderTest.StartRemoteAsync();
        await using var host = new HostUnderTest("h1", TimeProvider.System);
        var token = await HostUnderTest.TokenAsync(server);

        Assert.Equal("server-not-trusted", await WhyNotAsync(() => host.JoinAsync(server, token, at: impostor.Listening)));
        Assert.False(File.Exists(host.IdentityFile));
        Assert.DoesNotContain(await impostor.OkAsync<AuditRow[]>("GET", "audit?after=0"), row => row.Entry.Action.Contains("join"));
        Assert.Null(await WhyNotAsync(() => host.JoinAsync(server, token)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("no request")]
    [InlineData("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----")]
    public async Task A_request_that_cannot_be_signed_spends_no_token(string request)
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var token = await HostUnderTest.TokenAsync(server);
        var problem = await server.ProblemAsync("POST", "join",
            new JoinRequest(token.Id, token.Secret, "h1", request, "127.0.0.1:7443"));
        Assert.Equal("signing-request-unusable", problem.Code);
        await using var host = new HostUnderTest("h1", TimeProvider.System);
        Assert.Null(await WhyNotAsync(() => host.JoinAsync(server, token)));
    }

    [Fact]
    public async Task Of_a_token_only_a_hash_is_kept_and_the_audit_has_who_made_and_who_used_it()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var token = await HostUnderTest.TokenAsync(server);
        await using var host = new HostUnderTest("h1", TimeProvider.System);
        await WhyNotAsync(() => host.JoinAsync(server, token with { Secret = new string('0', 64) }));
        await host.JoinAsync(server, token);

        var rows = await server.OkAsync<AuditRow[]>("GET", "audit?after=0");
        Assert.Equal(["POST join-tokens begun", "POST join-tokens done", "POST join refused", "POST join begun", "POST join done"],
            rows.Select(row => $"{row.Entry.Action} {row.Entry.Result}"));
        Assert.Equal($"hosts/h1 with token {token.Id}", rows[^1].Entry.Object);
        Assert.DoesNotContain(rows, row => $"{row}".Contains(token.Secret));
        await server.StopAsync();
        foreach (var file in Directory.EnumerateFiles(server.Directory, "godwit.db*"))
            Assert.DoesNotContain(token.Secret, System.Text.Encoding.Latin1.GetString(await File.ReadAllBytesAsync(file)));
        await server.StartAgainAsync();
    }

    [Fact]
    public async Task A_token_lives_a_quarter_of_an_hour_and_at_most_a_day()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var made = await server.OkAsync<NewJoinTokenView>("POST", "join-tokens", new { });
        Assert.InRange(made.ExpiresAt - DateTimeOffset.UtcNow, TimeSpan.FromMinutes(14), TimeSpan.FromMinutes(15));
        await server.OkAsync<NewJoinTokenView>("POST", "join-tokens", new { minutes = 1440 });
        Assert.Equal("bad-expiry", (await server.ProblemAsync("POST", "join-tokens", new { minutes = 1441 })).Code);
        Assert.Equal("bad-expiry", (await server.ProblemAsync("POST", "join-tokens", new { minutes = 0 })).Code);
        Assert.Equal("bad-name", (await server.ProblemAsync("POST", "join-tokens", new { host = "../h1" })).Code);
    }

    [Fact]
    public async Task A_host_that_is_never_reached_is_given_up_after_an_hour_and_told()
    {
        var time = new ShiftedTime();
        await using var server = await ServerUnderTest.StartDialingAsync(time);
        await using var host = new HostUnderTest("h1", time);
        await host.JoinAsync(server, await HostUnderTest.TokenAsync(server));
        time.Offset = TimeSpan.FromMinutes(61);
        await server.Control.Certificates.RoundAsync(default);
        var events = await server.Control.Stores.Events.AfterAsync(0, 100);
        Assert.Contains(events, e => e.Kind == "host-not-joined" && e.Text.Contains(host.Endpoint));
        Assert.Empty(await server.Control.Stores.Identity.JoiningAsync());
    }

    /// <summary>The code of the first reason, or null where it went well.</summary>
    private static async Task<string?> WhyNotAsync(Func<Task> join)
    {
        try
        {
            await join();
            return null;
        }
        catch (ApiException refused)
        {
            return refused.Error.Code;
        }
        catch (RefusedException refused)
        {
            return refused.Reasons[0].Code;
        }
    }
}
