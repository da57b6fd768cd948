using System.Net;
using System.Net.Http.Json;
using System.Security.Authentication;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Godwit.Tests.Control;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Access;

/// <summary>Tokens and users, from being made to being taken back, as a client from elsewhere sees them.</summary>
public sealed class AccessTests
{
    private const string Password = "seven godwits over the sea";

    [Fact]
    public async Task A_token_is_shown_once_and_only_its_hash_is_kept()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var made = await server.OkAsync<NewTokenView>("POST", "tokens", new { name = "ci", role = "operator", days = 30 });
        Assert.Matches("^gwt_[0-9a-f]{64}$", made.Text);
        Assert.InRange(made.Token.ExpiresAt!.Value - made.Token.CreatedAt, TimeSpan.FromDays(29.9), TimeSpan.FromDays(30.1));

        var listed = await (await server.SendAsync("GET", "tokens")).Content.ReadAsStringAsync();
        Assert.Contains(made.Token.Id, listed);
        Assert.DoesNotContain(made.Text, listed);
        await server.StopAsync();
        foreach (var file in Directory.EnumerateFiles(server.Directory)) Assert.DoesNotContain(made.Text, Latin1(file));
        await server.StartAgainAsync();
    }

    [Fact]
    public async Task Only_its_owner_may_read_the_store_also_one_that_was_open_to_others_before()
    {
        const UnixFileMode open = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
        await using var server = await ServerUnderTest.StartAsync();
        await server.StopAsync();
        File.SetUnixFileMode(server.StorePath, open);
        await server.StartAgainAsync();
        foreach (var file in Directory.EnumerateFiles(server.Directory, "godwit.db*"))
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
    }

    [Fact]
    public async Task A_token_is_who_its_bearer_is_until_it_is_revoked()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var ci = await server.RemoteAsync(await server.TokenAsync(Role.Viewer, "ci"));
        var me = (await ci.GetFromJsonAsync<ActorView>("whoami", ApiJson.Lenient))!;
        Assert.Equal(("ci", Role.Viewer, "127.0.0.1"), (me.Name, me.Role, me.Source));
        Assert.NotNull(Assert.Single(await server.OkAsync<TokenView[]>("GET", "tokens")).LastUsedAt);

        using var revoked = await server.SendAsync("DELETE", "tokens/ci");
        Assert.Equal(HttpStatusCode.NoContent, revoked.StatusCode);
        Assert.Equal("token-invalid", await CodeAsync(ci, "GET", "whoami"));
        Assert.Equal("token-not-found", (await server.ProblemAsync("DELETE", "tokens/ci")).Code);
    }

    [Fact]
    public async Task A_token_that_has_expired_is_nobodys()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var server = await ServerUnderTest.StartRemoteAsync(time);
        var made = await server.OkAsync<NewTokenView>("POST", "tokens", new { name = "ci", role = "viewer", days = 1 });
        using var ci = await server.RemoteAsync(made.Text);
        Assert.Null(await CodeAsync(ci, "GET", "vms"));
        time.Advance(TimeSpan.FromDays(1));
        Assert.Equal("token-invalid", await CodeAsync(ci, "GET", "vms"));
    }

    [Fact]
    public async Task What_is_no_token_lets_nobody_in_not_even_on_the_local_socket()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var remote = await server.RemoteAsync(null);
        var zeros = new string('0', 64);
        foreach (var text in new[] { "", "gwt_", $"gwt_{zeros}", $"GWT_{zeros}", $"gwt_{zeros}0", "gwt_' OR 1=1 --", "tk-000000000000" })
        foreach (var (scheme, client) in new[] { ("Bearer", remote), ("Bearer", server.Http), ("Basic", server.Http) })
        {
            client.DefaultRequestHeaders.Authorization = new(scheme, text);
            Assert.Equal("token-invalid", await CodeAsync(client, "GET", "vms"));
        }
    }

    [Fact]
    public async Task The_local_socket_is_the_machines_admin_and_says_which_uid()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var me = await server.OkAsync<ActorView>("GET", "whoami");
        Assert.Matches("^uid [0-9]+$", me.Name);
        Assert.Equal((Role.Admin, $"local, pid {Environment.ProcessId}"), (me.Role, me.Source));
    }

    [Fact]
    public async Task A_user_logs_in_changes_the_password_and_is_out_everywhere()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<UserView>("POST", "users", new { name = "ann", role = "vm-admin", password = Password });
        using var nobody = await server.RemoteAsync(null);
        var first = await LogInAsync(nobody, "ann", Password);
        Assert.Equal(AccessVerbs.LoginLife, first.Token.ExpiresAt - first.Token.CreatedAt);
        using var ann = await server.RemoteAsync(first.Text);
        Assert.Equal(Role.VmAdmin, (await ann.GetFromJsonAsync<ActorView>("whoami", ApiJson.Lenient))!.Role);

        var wrong = await ann.PostAsJsonAsync("password", new { current = "not the password at all", password = "x" }, ApiJson.Strict);
        Assert.Equal("login-failed", (await ServerUnderTest.ReadProblemAsync(wrong)).Code);
        var changed = await ann.PostAsJsonAsync("password", new { current = Password, password = "eight godwits or so" }, ApiJson.Strict);
        Assert.Equal(HttpStatusCode.NoContent, changed.StatusCode);
        Assert.Equal("token-invalid", await CodeAsync(ann, "GET", "vms"));
        var old = await nobody.PostAsJsonAsync("login", new { name = "ann", password = Password }, ApiJson.Strict);
        Assert.Equal("login-failed", (await ServerUnderTest.ReadProblemAsync(old)).Code);
        using var again = await server.RemoteAsync((await LogInAsync(nobody, "ann", "eight godwits or so")).Text);
        Assert.Null(await CodeAsync(again, "GET", "vms"));

        using var removed = await server.SendAsync("DELETE", "users/ann");
        Assert.Equal("token-invalid", await CodeAsync(again, "GET", "vms"));
    }

    [Fact]
    public async Task Logging_out_ends_that_session_and_only_that()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<UserView>("POST", "users", new { name = "ann", role = "viewer", password = Password });
        using var nobody = await server.RemoteAsync(null);
        using var one = await server.RemoteAsync((await LogInAsync(nobody, "ann", Password)).Text);
        using var two = await server.RemoteAsync((await LogInAsync(nobody, "ann", Password)).Text);
        Assert.Null(await CodeAsync(one, "POST", "logout"));
        Assert.Equal("token-invalid", await CodeAsync(one, "GET", "vms"));
        Assert.Null(await CodeAsync(two, "GET", "vms"));
    }

    [Fact]
    public async Task Guessing_is_bounded_and_a_right_password_does_not_help_a_guesser()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var server = await ServerUnderTest.StartRemoteAsync(time);
        await server.OkAsync<UserView>("POST", "users", new { name = "ann", role = "viewer", password = Password });
        using var nobody = await server.RemoteAsync(null);
        for (var i = 0; i < 5; i++) Assert.Equal("login-failed", await TryAsync("wrong wrong wrong"));
        Assert.Equal("too-many-logins", await TryAsync(Password));
        time.Advance(LoginAttempts.Window);
        Assert.Null(await TryAsync(Password));

        async Task<string?> TryAsync(string password)
        {
            using var answer = await nobody.PostAsJsonAsync("login", new { name = "ann", password }, ApiJson.Strict);
            return answer.IsSuccessStatusCode ? null : (await ServerUnderTest.ReadProblemAsync(answer)).Code;
        }
    }

    [Fact]
    public void A_stranger_at_one_address_does_not_lock_a_user_out_at_another_but_all_strangers_together_have_an_end()
    {
        var attempts = new LoginAttempts(new FakeTimeProvider());
        for (var i = 0; i < LoginAttempts.PerNameAndSourceMax; i++) attempts.Enter("ann", "192.0.2.1");
        Assert.Throws<RefusedException>(() => attempts.Enter("ann", "192.0.2.1"));
        attempts.Enter("ann", "192.0.2.2");

        var tries = LoginAttempts.PerNameAndSourceMax + 1;
        Assert.Throws<RefusedException>(() => { for (var i = 0; i < 1000; i++, tries++) attempts.Enter("ann", $"198.51.100.{i}"); });
        Assert.Equal(50, tries); // The bounds as ADR 16 states them.
        for (var i = 0; i < 30; i++) attempts.Enter($"u{i}", "203.0.113.9");
        Assert.Throws<RefusedException>(() => attempts.Enter("another", "203.0.113.9"));
    }

    [Fact]
    public void A_weak_password_is_refused()
    {
        foreach (var password in new[] { "", "eleven long", "ann and some more", new string('x', Passwords.CharsMax + 1) })
            Assert.Equal("bad-password", Assert.Throws<RefusedException>(() => new Passwords().Hash("ann", password)).Reasons[0].Code);
        var passwords = new Passwords();
        var hash = passwords.Hash("ann", Password);
        Assert.True(passwords.Verify(hash, Password));
        Assert.False(passwords.Verify(hash, Password + " "));
        Assert.False(passwords.Verify(null, "of nobody"));
    }

    [Fact]
    public async Task A_request_with_a_password_is_not_remembered_under_an_idempotency_key()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var body = new { name = "ann", role = "viewer", password = Password };
        Assert.Equal("bad-idempotency-key", (await server.ProblemAsync("POST", "users", body, key: "k1")).Code);
        using var file = new SqliteConnection($"Data Source={server.StorePath};Pooling=False");
        file.Open();
        using var count = file.CreateCommand();
        count.CommandText = "SELECT COUNT(*) FROM requests";
        Assert.Equal(0L, count.ExecuteScalar());
    }

    [Fact]
    public async Task A_stream_whose_token_is_taken_back_is_cut_within_a_minute()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var server = await ServerUnderTest.StartRemoteAsync(time);
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        using var viewer = await server.RemoteAsync(await server.TokenAsync(Role.Viewer, "ci"));
        using var events = new HttpRequestMessage(HttpMethod.Get, "events?after=0");
        using var answer = await viewer.SendAsync(events, HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync());
        Assert.Equal("event: host-added", await reader.ReadLineAsync());

        using var revoked = await server.SendAsync("DELETE", "tokens/ci");
        time.Advance(TimeSpan.FromMinutes(1));
        var cut = Assert.ThrowsAnyAsync<IOException>(async () => { while (await reader.ReadLineAsync() is not null) { } });
        await cut.WaitAsync(TimeSpan.FromSeconds(30)); // A stream that is not cut would be read for ever.
    }

    [Fact]
    public async Task Nothing_is_heard_in_plain_text()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var plain = new HttpClient { BaseAddress = new Uri($"http://{server.Listening}/"), Timeout = TimeSpan.FromSeconds(20) };
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => plain.GetAsync("ca.pem"));
        using var old = new HttpClient(new SocketsHttpHandler
        {
            SslOptions =
            {
                EnabledSslProtocols = SslProtocols.Tls12,
                RemoteCertificateValidationCallback = (_, peer, _, _) => peer is not null,
            },
        })
        { BaseAddress = new Uri($"https://{server.Listening}/") };
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => old.GetAsync("ca.pem"));
    }

    private static async Task<NewTokenView> LogInAsync(HttpClient client, string name, string password)
    {
        using var answer = await client.PostAsJsonAsync("login", new { name, password }, ApiJson.Strict);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return (await answer.Content.ReadFromJsonAsync<NewTokenView>(ApiJson.Lenient))!;
    }

    /// <summary>Null where it was answered.</summary>
    private static async Task<string?> CodeAsync(HttpClient client, string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        using var answer = await client.SendAsync(request);
        return answer.IsSuccessStatusCode ? null : (await ServerUnderTest.ReadProblemAsync(answer)).Code;
    }

    private static string Latin1(string file) => System.Text.Encoding.Latin1.GetString(File.ReadAllBytes(file));
}
