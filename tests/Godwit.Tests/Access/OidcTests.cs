using System.Net;
using System.Text;
using Godwit.Cli.Api;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Godwit.Server.Audit;
using Godwit.Tests.Cli;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Microsoft.IdentityModel.Tokens;
using Xunit;

namespace Godwit.Tests.Access;

/// <summary>Log-in through an issuer that runs in this process, over HTTP as in life.</summary>
public sealed class OidcTests : IAsyncLifetime
{
    private readonly ShiftedTime _time = new();
    private readonly string _home = Directory.CreateTempSubdirectory("godwit-oidc-").FullName;
    private FakeIssuer _issuer = null!;
    private ServerUnderTest _server = null!;

    public async Task InitializeAsync()
    {
        _issuer = await FakeIssuer.StartAsync();
        _server = await ServerUnderTest.StartRemoteAsync(_time, _issuer.Settings);
    }

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        await _issuer.DisposeAsync();
        Directory.Delete(_home, recursive: true);
    }

    [Fact]
    public async Task A_right_token_of_the_issuer_is_exchanged_for_one_of_ours_with_the_role_of_the_group()
    {
        var made = await _server.OkAsync<NewTokenView>("POST", "login/oidc", new { idToken = _issuer.Sign(await NonceAsync()) });
        Assert.Equal(("oidc:248289761001 (ann)", Role.Operator), (made.Token.User, made.Token.Role));
        Assert.InRange(made.Token.ExpiresAt!.Value - made.Token.CreatedAt, TimeSpan.FromHours(7.9), TimeSpan.FromHours(8.1));

        using var ann = await _server.RemoteAsync(made.Text);
        Assert.Contains("oidc:248289761001 (ann)", await ann.GetStringAsync("whoami"));
        Assert.Equal(HttpStatusCode.Forbidden, (await ann.GetAsync("users")).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await ann.PostAsync("logout", null)).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await ann.GetAsync("whoami")).StatusCode);
        var row = (await _server.OkAsync<AuditRow[]>("GET", "audit?after=0"))[0].Entry;
        Assert.Equal(("POST login/oidc", "oidc:248289761001 (ann) as operator", "begun"), (row.Action, row.Object, row.Result));
    }

    public static TheoryData<string, string> WrongTokens => new()
    {
        { "for another client", "another client (aud)" },
        { "for two clients", "another client (azp)" },
        { "of another issuer", "of another issuer" },
        { "expired", "it expired at " },
        { "of tomorrow", "it is not valid before " },
        { "without an end", "does not say when it expires" },
        { "signed by nobody", "its signature is not the issuer's" },
        { "signed by a stranger's key", "its signature is not the issuer's" },
        { "signed by a stranger under the issuer's key id", "its signature is not the issuer's" },
        { "sealed with the issuer's public key", "" },
        { "changed after it was signed", "its signature is not the issuer's" },
        { "without a nonce", "its nonce is of no log-in" },
        { "with a nonce of its own", "its nonce is of no log-in" },
        { "without a subject", "whom it is about" },
        { "no token at all", "it is no ID token" },
    };

    [Theory, MemberData(nameof(WrongTokens))]
    public async Task A_wrong_token_is_not_taken_and_makes_nothing(string what, string why)
    {
        var nonce = await NonceAsync();
        var problem = await _server.ProblemAsync("POST", "login/oidc", new { idToken = Wrong(what, nonce) });
        Assert.Equal(("login-failed", 401), (problem.Code, problem.Status));
        Assert.Contains(why, problem.Cause);
        Assert.Empty(await _server.OkAsync<TokenView[]>("GET", "tokens"));
        var rows = await _server.OkAsync<AuditRow[]>("GET", "audit?after=0");
        Assert.Equal(("POST login/oidc", "refused"), (rows[^1].Entry.Action, rows[^1].Entry.Result));
        await _server.OkAsync<NewTokenView>("POST", "login/oidc", new { idToken = _issuer.Sign(nonce) }); // It was not the nonce.
    }

    [Fact]
    public async Task A_nonce_is_good_once_and_for_ten_minutes()
    {
        var token = _issuer.Sign(await NonceAsync());
        await _server.OkAsync<NewTokenView>("POST", "login/oidc", new { idToken = token });
        Assert.Contains("used before", (await _server.ProblemAsync("POST", "login/oidc", new { idToken = token })).Cause);

        var late = await NonceAsync();
        _time.Offset = TimeSpan.FromMinutes(11);
        var problem = await _server.ProblemAsync("POST", "login/oidc",
            new { idToken = _issuer.Sign(late, token => token.Expires = DateTime.UtcNow.AddHours(1)) });
        Assert.Contains("more than 10 min ago", problem.Cause);
    }

    [Fact]
    public async Task Who_is_in_no_group_that_counts_is_told_so()
    {
        _issuer.Person["groups"] = new[] { "staff", "OPS", "ops " };
        var problem = await _server.ProblemAsync("POST", "login/oidc", new { idToken = _issuer.Sign(await NonceAsync()) });
        Assert.Equal(("oidc-no-role", 401), (problem.Code, problem.Status));
        _issuer.Person.Remove("groups");
        problem = await _server.ProblemAsync("POST", "login/oidc", new { idToken = _issuer.Sign(await NonceAsync()) });
        Assert.Equal("oidc-no-role", problem.Code);
        _issuer.Person["groups"] = "ops"; // Some issuers write one group so.
        await _server.OkAsync<NewTokenView>("POST", "login/oidc", new { idToken = _issuer.Sign(await NonceAsync()) });
    }

    [Fact]
    public async Task Of_several_groups_the_first_in_the_servers_list_counts()
    {
        _issuer.Person["groups"] = new[] { "ops", "admins" };
        var made = await _server.OkAsync<NewTokenView>("POST", "login/oidc", new { idToken = _issuer.Sign(await NonceAsync()) });
        Assert.Equal(Role.Admin, made.Token.Role);
    }

    [Fact]
    public async Task A_name_at_the_issuer_cannot_be_made_to_look_like_another_person()
    {
        _issuer.Person["preferred_username"] = "x) as admin (oidc:1\n";
        var made = await _server.OkAsync<NewTokenView>("POST", "login/oidc", new { idToken = _issuer.Sign(await NonceAsync()) });
        Assert.Equal("oidc:248289761001 (x? as admin ?oidc:1?)", made.Token.User);
    }

    [Fact]
    public async Task An_issuer_that_calls_itself_otherwise_is_not_believed()
    {
        _issuer.CallsItself = "https://other.example";
        Assert.Equal("oidc-issuer-unusable", (await _server.ProblemAsync("GET", "login/oidc")).Code);
    }

    [Fact]
    public async Task While_the_issuer_is_away_local_users_log_in_all_the_same()
    {
        await using var away = await ServerUnderTest.StartRemoteAsync(oidc: _issuer.Settings with { Issuer = "http://127.0.0.1:1" });
        Assert.Equal(("oidc-issuer-silent", 503), await CodeAsync(away));
        await away.OkAsync<UserView>("POST", "users", new { name = "bob", role = "viewer", password = "seven godwits over the sea" });
        await away.OkAsync<NewTokenView>("POST", "login", new { name = "bob", password = "seven godwits over the sea" });
        await using var without = await ServerUnderTest.StartRemoteAsync();
        Assert.Equal(("oidc-not-found", 404), await CodeAsync(without));

        static async Task<(string, int)> CodeAsync(ServerUnderTest server)
        {
            var problem = await server.ProblemAsync("GET", "login/oidc");
            return (problem.Code, problem.Status);
        }
    }

    [Theory]
    [InlineData("http://issuer.example", "godwit", true, "bad-oidc-issuer")]
    [InlineData("ftp://127.0.0.1", "godwit", true, "bad-oidc-issuer")]
    [InlineData("https://user@issuer.example", "godwit", true, "bad-oidc-issuer")]
    [InlineData("https://issuer.example", "", true, "bad-oidc-client")]
    [InlineData("https://issuer.example", "godwit", false, "bad-oidc-roles")]
    public void Settings_that_would_let_in_the_wrong_ones_or_nobody_are_refused_at_start(
        string issuer, string client, bool roles, string code) =>
        Assert.Equal(code, Assert.Throws<RefusedException>(() =>
            new OidcSettings(issuer, client, roles ? [("a", Role.Viewer)] : []).Check()).Reasons[0].Code);

    [Fact]
    public async Task The_command_line_logs_in_through_a_browser_and_keeps_the_token_to_itself()
    {
        var run = await LogInAsync(address => FakeIssuer.BrowseAsync(address));
        Assert.Contains("oidc:248289761001 (ann) is logged in as operator until ", run.Output);
        Assert.DoesNotContain("gwt_", run.Output + run.Error);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(_home, "token")));
    }

    [Fact]
    public async Task An_answer_with_another_state_changes_nothing_and_the_right_one_still_counts()
    {
        var run = await LogInAsync(async address =>
        {
            Assert.Contains("not the log-in", await FakeIssuer.BrowseAsync(address, back => back.Replace("state=", "state=x")));
            Assert.Contains("not the log-in", await FakeIssuer.BrowseAsync(address, back => back.Split('?')[0] + "?code=stolen"));
            return await FakeIssuer.BrowseAsync(address);
        });
        Assert.Equal(0, run.ExitCode);
    }

    [Theory]
    [InlineData("code=", "code=x", "gave no ID token: 400 invalid_grant")]
    [InlineData("iss=http", "iss=https", "the answer came from https")]
    [InlineData("code=", "error=access_denied&x=", "says access_denied")]
    public async Task An_answer_that_is_not_the_issuers_ends_the_log_in(string part, string bent, string why)
    {
        var run = await LogInAsync(address => FakeIssuer.BrowseAsync(address, back => back.Replace(part, bent)));
        Assert.Equal(1, run.ExitCode);
        Assert.Contains(why, run.Error);
        Assert.False(File.Exists(Path.Combine(_home, "token")));
    }

    private string Wrong(string what, string nonce) => what switch
    {
        "for another client" => _issuer.Sign(nonce, token => token.Audience = "other"),
        "for two clients" => _issuer.Sign(nonce, token =>
        {
            token.Audience = null;
            token.Audiences.Add(FakeIssuer.Client);
            token.Audiences.Add("other");
        }),
        "of another issuer" => _issuer.Sign(nonce, token => token.Issuer = "https://other.example"),
        "expired" => _issuer.Sign(nonce, token => Valid(token, -2, -1)),
        "of tomorrow" => _issuer.Sign(nonce, token => Valid(token, 24, 48)),
        "without an end" => _issuer.Sign(nonce, token => token.Expires = null),
        "signed by nobody" => _issuer.Sign(nonce, token => token.SigningCredentials = null),
        "signed by a stranger's key" => SignedBy(FakeIssuer.NewKey("k9"), nonce),
        "signed by a stranger under the issuer's key id" => SignedBy(FakeIssuer.NewKey("k1"), nonce),
        "sealed with the issuer's public key" => _issuer.Sign(nonce, token => token.SigningCredentials = new SigningCredentials(
            new SymmetricSecurityKey(_issuer.Key.ECDsa.ExportSubjectPublicKeyInfo()) { KeyId = "k1" }, SecurityAlgorithms.HmacSha256)),
        "changed after it was signed" => Changed(_issuer.Sign(nonce)),
        "without a nonce" => _issuer.Sign(null),
        "with a nonce of its own" =>
            _issuer.Sign($"{DateTimeOffset.UtcNow.ToUnixTimeSeconds()}.{new string('0', 32)}.{new string('0', 64)}"),
        "without a subject" => _issuer.Sign(nonce, token => token.Claims.Remove("sub")),
        _ => "ey.no.token",
    };

    private static void Valid(SecurityTokenDescriptor token, int fromHours, int toHours) =>
        (token.NotBefore, token.Expires) = (DateTime.UtcNow.AddHours(fromHours), DateTime.UtcNow.AddHours(toHours));

    private string SignedBy(ECDsaSecurityKey key, string nonce) =>
        _issuer.Sign(nonce, token => token.SigningCredentials = new SigningCredentials(key, SecurityAlgorithms.EcdsaSha256));

    private static string Changed(string token)
    {
        var parts = token.Split('.');
        var payload = Encoding.UTF8.GetString(Base64UrlEncoder.DecodeBytes(parts[1])).Replace("\"ops\"", "\"admins\"");
        return $"{parts[0]}.{Base64UrlEncoder.Encode(payload)}.{parts[2]}";
    }

    private async Task<string> NonceAsync() => (await _server.OkAsync<OidcBeginView>("GET", "login/oidc")).Nonce;

    /// <summary>The command, and a browser that is shown the address it prints.</summary>
    private async Task<GodwitRun> LogInAsync(Func<string, Task<string>> browse)
    {
        var pin = (await GodwitRun.OfAsync(new ServerAddress(_server.SocketPath, true), "ca", false, default)).Error.Split(' ')[^1].Trim();
        var settings = new RemoteSettings(null, Path.Combine(_home, "token"), pin);
        var shown = new AddressSeen();
        var place = ServerAddress.Find($"https://{_server.Listening}", _ => false);
        var running = GodwitRun.OfAsync(place, "login --oidc", false, default, settings, error: shown);
        if (await Task.WhenAny(shown.Address, running) == shown.Address) await browse(await shown.Address);
        return await running;
    }

    /// <summary>Standard error, of which one line is an address.</summary>
    private sealed class AddressSeen : StringWriter
    {
        private readonly TaskCompletionSource<string> _address = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<string> Address => _address.Task;

        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            if (value?.Split('\n').FirstOrDefault(line => line.StartsWith("http", StringComparison.Ordinal)) is { } address)
                _address.TrySetResult(address);
        }
    }
}
